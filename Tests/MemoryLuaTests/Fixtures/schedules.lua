-- Schedules that were printed once: each must still fit, and lead to where it led then. A change of what a
-- step is invalidates what people have written down; it has to be said in the CHANGELOG, and this list made
-- anew.

local function small(kernel, backing)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "16K", backing = backing or "anon", thp = "never" }
  vm:populate()
  local twin = backing and vm:fork("twin")
  if twin then twin:populate() end
  m:kernel(kernel)
  return m, vm, twin
end

local function pin(options)
  return function(_, vm) vm:pin(options or { length = "4K", longterm = true }) end
end

local races = {}

function races.two_pins(kernel)
  local m, vm, twin = small(kernel, "memfd")
  return m, { pin(), function() twin:pin{ length = "4K", longterm = true } end }, vm
end

function races.isolation(kernel)
  local m, vm = small(kernel)
  local x = vm:page(0)
  return m, { pin(), function()
    local other = m:isolate(x)
    if other then other:put_back() end
  end }, vm
end

function races.reference(kernel)
  local m, vm = small(kernel)
  local x = vm:page(0)
  return m, { pin(), function()
    local other = m:temp_ref(x)
    if other then other:release() end
  end }, vm
end

function races.fast_pin(kernel)
  local m, vm = small(kernel)
  m:protection("reread_entry", false)
  return m, { pin{ length = "4K", fast = true }, pin() }, vm
end

function races.fork(kernel)
  local m, vm = small(kernel)
  m:protection("fork_sequence", false)
  return m, { pin{ length = "4K", fast = true },
    function() vm:fork("child") vm:write(0, "4K") end }, vm
end

function races.exit(kernel)
  local m, vm, twin = small(kernel, "memfd")
  return m, { pin(), function() twin:exit() end }, vm
end

function races.cma_alloc(kernel)
  local m, vm = small(kernel)
  return m, { function() vm:pin{ length = "8K", longterm = true } end,
    function() m:cma_alloc("16M") end }, vm
end

function races.mmap(kernel)
  local m, vm = small(kernel)
  return m, { pin(), function()
    local at = vm:mmap{ length = "8K" }
    vm:madvise("populate_write", at, "8K")
    vm:munmap(at, "4K")
  end }, vm
end

-- Race, kernel, schedule, what the tasks came to, pages of long-term pins in CMA, and whether the first
-- pin holds a page that its process does not see any more.
local printed = {
  { "two_pins", "6.12", "1*32 2*5", "1 page | 1 page", 0 },
  { "two_pins", "6.12", "1*4 2*49 1*28", "1 page | ENOMEM", 0 },
  { "two_pins", "6.12", "2*4 1*49 2*28", "ENOMEM | 1 page", 0 },
  { "two_pins", "5.10", "1*13 2*8 1*61", "1 page | 1 page", 2 },
  { "two_pins", "6.14", "1*13 2*8 1*36", "ENOMEM | 1 page", 1 },
  { "two_pins", "6.14", "2*12 1*8 2*37", "1 page | ENOMEM", 1 },
  { "isolation", "6.12", "1*30 2*1", "1 page | EINVAL", 0 },
  { "isolation", "6.12", "2*2 1*30", "1 page | ok, ok", 0 },
  { "isolation", "6.12", "1*20 2*1 1*10", "1 page | EBUSY", 0 },
  { "isolation", "5.10", "2*1 1*8 2*1", "1 page | ok, ok", 1 },
  { "reference", "6.12", "1*30 2*1", "1 page | EINVAL", 0 },
  { "reference", "6.12", "2*1 1*47 2*1", "ENOMEM | ok, ok", 0 },
  { "reference", "6.1", "2*1 1*63 2*1", "ENOMEM | ok, ok", 0 },
  { "fast_pin", "6.12", "1*9 2*55", "1 page | ENOMEM", 0 },
  { "fast_pin", "6.12", "1*2 2*20 1*7 2*10", "1 page | 1 page", 0, true },
  { "fork", "6.12", "1*9 2*13", "1 page | forked, ok", 0 },
  { "fork", "6.12", "1*4 2*3 1*5 2*13", "1 page | forked, ok", 0, true },
  { "exit", "6.12", "1*32 2*7", "1 page | ok", 0 },
  { "exit", "6.12", "2*4 1*47 2*3", "ENOMEM | ok", 0 },
  { "cma_alloc", "6.12", "1*46 2*44", "2 pages | allocated", 0 },
  { "mmap", "6.12", "1*30 2*14", "1 page | ok, ok, ok", 0 },
}

local function shown(results)
  local texts = {}
  for i, task in ipairs(results) do texts[i] = table.concat(task, ", ") end
  return table.concat(texts, " | ")
end

local function check(m, vm, row, results)
  local name = row[1] .. " " .. row[2] .. " " .. row[3]
  assert(shown(results) == row[4], name .. ": " .. shown(results))
  local misplaced = 0
  for _, p in ipairs(m:pins()) do
    for page = 1, p.longterm and p.pages or 0 do
      if p:page(page).migratetype == "CMA" then misplaced = misplaced + 1 end
    end
  end
  assert(misplaced == row[5], name .. ": " .. misplaced .. " pages pinned in CMA")
  local p = m:pins()[1]
  if p then assert((vm:page(0) ~= p:page(1)) == (row[6] or false), name .. ": what the pin holds") end
  if not row[6] then assert(m:check() == true, select(2, m:check())) end
end

for _, row in ipairs(printed) do
  -- On the machine itself.
  local m, tasks, vm = races[row[1]](row[2])
  local before = m:fork()
  local setup = function() return m, vm end
  local results, after = replay_schedule(row[3], { setup = setup, tasks = tasks })
  check(after, vm, row, results)
  -- By hand, and stopped at every third step.
  local steps = 0
  for count in row[3]:gmatch("%*(%d+)") do steps = steps + count end
  for stop = 0, steps, 3 do
    local n, again, guest = races[row[1]](row[2])
    assert(n:same(before))
    local handles = replay_schedule(row[3],
      { setup = function() return n, guest end, tasks = again, step = true, steps = stop })
    local taken = 0
    for _, handle in ipairs(handles) do taken = taken + handle.steps end
    assert(taken == stop, row[1] .. ": " .. taken .. " steps instead of " .. stop)
    for round = 1, 3 do
      for _, handle in ipairs(handles) do handle:run() end
    end
    for _, handle in ipairs(handles) do assert(handle.done, tostring(handle)) end
    if stop == steps then
      check(n, guest, row, { handles[1].results, handles[2].results })
      assert(n:same(after))
    end
    assert((row[6] or n:check() == true) and #n:tasks() == 0)
  end
end

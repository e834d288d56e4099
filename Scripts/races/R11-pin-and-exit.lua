-- R11 · the page is unmapped while it is being pinned
-- A process ends, or unmaps, while another pins the page that both share. Is anything freed too early,
-- or kept for ever?
-- Rules: P10 R11, P9.32.

local function booted(kernel)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "16K", backing = "memfd" }
  vm:populate()
  local twin = vm:fork("twin")
  twin:populate()
  m:kernel(kernel)
  return m, vm, twin
end

local function pin(who)
  return function() who:pin{ length = "4K", longterm = true } end
end

local function race(kernel)
  local m, vm, twin = booted(kernel)
  return explore{
    machine = m, preemptions = 2, tasks = { pin(vm), function() twin:exit() end },
  }
end

-- The exit holds a reference while it gathers pages, which may cost the pin all ten attempts.
for _, kernel in ipairs{ "5.13", "6.1", "6.9", "6.12" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | ok; ENOMEM | ok")
  expect(kernel .. " broken", #e.broken, 0)
end

-- Where a page that does not move is pinned anyway, it stays in CMA.
for _, kernel in ipairs{ "5.1", "5.10" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | ok; 1 page | ok · 1 pinned in CMA or ZONE_MOVABLE")
  expect(kernel .. " pins in CMA", e.broken[1].text:sub(1, 2), "I1")
end

-- A page that nobody maps any more, and a pin holds, is in cma_alloc's way until it is unpinned.
local m = machine{ ram = "64M", cma = "32M" }
local vm = m:guest{ name = "vm", ram = "4K", thp = "never" }
vm:populate()
m:kernel("4.2")
local p = vm:pin{ longterm = true }
expect("it stays in", p:page(1).migratetype, "CMA")
vm:munmap()
local buffer, err = m:cma_alloc("32M")
print(err)
expect("cma_alloc of the whole area", err and err.errno, "EBUSY")
p:unpin()
expect("cma_alloc afterwards", m:cma_alloc("32M") ~= nil, true)

-- A random program of everything that a session can do to a machine, drawn from a seed: guests of all
-- backings, pins and devices, contiguous allocations, memory blocks, pools, pressure, calls that meet
-- between their steps, forks of the machine. After every call the machine has to be sound, no long-term
-- pin may lie in CMA or ZONE_MOVABLE, and `why` has to account for every reference; at the end, when
-- everything was given back, nothing may be left over.
--
-- program(seed, steps) returns nil, or what broke with the calls before it.

local random = math.random
local function pick(list) return list[random(#list)] end
local function chance(n) return random(n) == 1 end

local m            -- the machine
local blocks       -- blocks of alloc_pages: { pfn, order }
local log
local isStepping   -- between two steps of another call
local step_number

-- What a program must not meet, as against the errors of misuse that it draws.
local function hold(condition, what)
  if not condition then error("fault: " .. tostring(what), 0) end
end

local function say(format, ...) log[#log + 1] = format:format(...) end

local function new_machine()
  local c = { cpus = random(3), thp = pick{ "always", "always", "madvise", "never" } }
  local kind = random(6)
  if kind == 1 then
    c.ram = pick{ "48M", "64M", "96M" }
  elseif kind == 2 then
    c.nodes, c.cpus = { "48M", "64M" }, 2
  elseif kind == 3 then
    c.ram, c.movablecore = "128M", pick{ "32M", "64M", "50%" }
  elseif kind == 4 then
    c.ram, c.movablecore = "512M", "256M"
  elseif kind == 5 then
    c.ram = "96M"
  else
    c.ram = "384M"
  end
  local areas = random(4)
  if areas == 1 then
    c.cma = pick{ "12M", "16M" }
  elseif areas == 2 then
    c.cma = {
      { name = "a", size = "8M", order_per_bit = random(0, 9) },
      { name = "b", size = "12M", order_per_bit = random(0, 4) },
    }
  elseif areas == 3 and c.ram then
    c.cma = {
      { name = "a", size = "8M" },
      { name = "b", size = "8M", base = 0x1000 + 512 * random(0, 3), order_per_bit = random(0, 2) },
    }
  end
  if chance(2) then c.swap = pick{ "1M", "16M", "128M" } end
  if chance(4) then c.lru_gen = false end
  local other = random(10)
  if other == 1 then
    c.kernel = pick{ "5.10", "5.13", "6.1.0", "6.6", "6.11", "6.14", "4.2", "5.1", "5.19" }
  elseif other == 2 then
    c.kernel = kernel{ madv_nomovable = true, madv_might_pin = 50, revoke = "forced" }
  end
  return machine(c), c.kernel == nil
end

local function guest()
  local all = m:guests()
  if #all > 0 then return pick(all) end
end

-- An address and a length, mostly inside of an area, not always of whole pages.
local function range(vm)
  local areas = vm:vmas()
  if #areas == 0 or chance(8) then return random(0, 64) * 65536, random(2000) * 4096 end
  local area = areas[random(#areas)]
  local pages = area.bytes // 4096
  local from = chance(3) and area.address or area.address + random(0, pages - 1) * 4096
  if chance(4) then from = from & ~0x1fffff end
  local length = chance(3) and area.bytes or random(math.min(1024, pages)) * 4096
  if chance(4) then length = 4096 end
  if chance(10) then length = length + 1 end
  return from, length
end

local calls = {}
local function call(weight, name, f)
  for _ = 1, weight do calls[#calls + 1] = { name = name, run = f } end
end
local function on_range(weight, name, f)
  call(weight, name, function()
    local vm = guest()
    if not vm then return end
    local from, length = range(vm)
    say("%s of %s: 0x%x, 0x%x", name, vm.name, from, length)
    return f(vm, from, length)
  end)
end

local function start_guest()
  local o = {
    ram = pick{ "64K", "1M", "2M", "4M", "6M", "16M", "5M" },
    backing = pick{ "anon", "anon", "anon", "shared", "memfd", "hugetlb", "file", "device", "dax", "secret" },
    thp = pick{ "always", "madvise", "never" },
  }
  if o.backing == "hugetlb" then o.ram = pick{ "2M", "4M", "8M" } end
  if o.backing == "shared" or o.backing == "memfd" then
    o.shmem_thp = pick{ "never", "always", "within_size", "advise", "force", "deny" }
  end
  if chance(8) and o.backing == "anon" then o.placement = "shuffled" end
  if chance(8) then o.node = 0 end
  say("guest of %s %s, thp %s, %s", o.ram, o.backing, o.thp, tostring(o.shmem_thp))
  return m:guest(o)
end
call(3, "guest", start_guest)
call(2, "fork", function()
  local vm = guest()
  if not vm or #m:guests() > 7 then return end
  say("fork of %s", vm.name)
  return vm:fork(("%s-%d"):format(vm.name, step_number))
end)
call(1, "exit", function()
  local vm = guest()
  if not vm or isStepping then return end
  say("exit of %s", vm.name)
  return vm:exit()
end)

on_range(5, "populate", function(vm, from, length) return vm:populate(from, length) end)
on_range(5, "touch", function(vm, from, length) return vm:touch(from, length) end)
on_range(4, "write", function(vm, from, length) return vm:write(from, length) end)
on_range(3, "read", function(vm, from, length) return vm:read(from, length) end)
on_range(2, "munmap", function(vm, from, length) return vm:munmap(from, length) end)
on_range(5, "madvise", function(vm, from, length)
  local advice = pick{
    "dontneed", "dontneed", "hugepage", "nohugepage", "populate_read", "populate_write", "cold",
    "dontfork", "dofork", "nomovable", "pinnable", "might_pin",
  }
  say("  %s", advice)
  return vm:madvise(advice, from, length)
end)
on_range(3, "mprotect", function(vm, from, length)
  local rights = pick{ "none", "r", "rw", "rw", "w" }
  say("  %s", rights)
  return vm:mprotect(rights, from, length)
end)
on_range(2, "mlock", function(vm, from, length) return vm:mlock(from, length) end)
on_range(1, "munlock", function(vm, from, length) return vm:munlock(from, length) end)
on_range(2, "migrate", function(vm, from, length) return vm:migrate(from, length) end)
on_range(1, "move_pages", function(vm, from, length)
  return vm:move_pages{
    from = from, length = length, node = random(0, #m:nodes() - 1), all = chance(2),
  }
end)
on_range(4, "mmap", function(vm, from)
  local o = {
    length = chance(2) and random(3) << 21 or random(1500) * 4096,
    backing = pick{ "anon", "anon", "shared", "memfd", "hugetlb", "file", "device", "dax", "secret" },
    prot = pick{ "rw", "rw", "r", "w", "none" }, shared = chance(2), populate = chance(3),
  }
  if chance(3) then
    local other = guest()
    local areas = other:vmas()
    if #areas > 0 then
      o.guest, o.of, o.backing = other, areas[random(#areas)].address, nil
    end
  end
  if chance(6) then o.address = from & ~4095 end
  say("  %s, 0x%x, %s", tostring(o.backing), o.length, o.prot)
  return vm:mmap(o)
end)

on_range(8, "pin", function(vm, from, length)
  local o = {
    from = from, length = length, write = not chance(4), longterm = not chance(3), max_rounds = 20,
    output = pick{ "pages", "sg", "bvec", "pfn", "runs", "folios" },
  }
  local how = random(8)
  if how == 1 then
    o.fast = true
  elseif how == 2 then
    o.remote = true
  elseif how == 3 then
    o.unlocked = true
  elseif how == 4 then
    o.fast, o.nofault = true, true
  elseif how == 5 then
    o.get, o.longterm = true, false
  elseif how == 6 then
    o.force = true
  elseif how == 7 then
    o.chunk = "64K"
  end
  if chance(15) then
    o.flags = pick{
      "FOLL_SPLIT_PMD", "FOLL_INTERRUPTIBLE", "FOLL_HONOR_NUMA_FAULT", "FOLL_NOWAIT",
    }
  end
  say("  way %d, longterm %s, write %s, %s", how, o.longterm, o.write, tostring(o.flags))
  return vm:pin(o)
end)
on_range(2, "memfd_pin", function(vm, from, length)
  return vm:memfd_pin{ from = from, length = length }
end)
call(3, "unpin", function()
  local pins = m:pins()
  if #pins == 0 then return end
  local pin = pick(pins)
  say("unpin of #%d", pin.id)
  return pin:unpin{ dirty = chance(2) }
end)
call(3, "device", function()
  local vm = guest()
  if not vm then return end
  local kind = pick{ "vfio", "iommufd", "rdma", "io_uring", "spapr", "odp" }
  local from, length = range(vm)
  from, length = from & ~4095, length + 4095 & ~4095
  if chance(3) then vm:memlock(chance(2) and "1M" or false) end
  say("%s of %s: 0x%x, 0x%x", kind, vm.name, from, length)
  local device = kind == "odp" and vm:rdma{ odp = true } or vm[kind](vm, {})
  local mapping, err = device:map{
    from = from, length = length, iova = random(0, 4096) * 4096, write = chance(3), max_rounds = 20,
  }
  if mapping and kind == "odp" then mapping:access{} end
  return mapping, err
end)
call(2, "device_unmap", function()
  local devices = m:devices()
  if #devices == 0 then return end
  local device, how = pick(devices), random(3)
  say("unmap of %s, way %d", device.name, how)
  if how == 1 then return device:close() end
  if how == 2 then return device:unmap{ iova = random(0, 4096) * 4096, length = "8M" } end
  local mappings = device.mappings
  if #mappings > 0 then return pick(mappings):unmap() end
end)

local function give_back(holder)
  if tostring(holder):find("isolat") then return holder:put_back() end
  return holder:release()
end
local function on_page(weight, name, f)
  call(weight, name, function()
    local vm = guest()
    local page = vm and vm:page((range(vm)))
    if not page then return end
    say("%s of 0x%x", name, page.pfn)
    return f(page)
  end)
end
on_page(2, "temp_ref", function(page) return m:temp_ref(page, "a holder") end)
on_page(2, "isolate", function(page) return m:isolate(page, "an isolator") end)
call(4, "give_back", function()
  local held = m:temp_refs()
  if #held > 0 then return give_back(pick(held)) end
end)

call(5, "cma_alloc", function()
  local areas = m:cma_areas()
  if #areas == 0 then return end
  local area = pick(areas)
  local pages = chance(3) and area.pages or chance(2) and random(64) or random(area.pages + 10)
  local align = pages < 200 and random(0, 8) or pick{ 6, 8, 9 }
  say("cma_alloc of %d pages of %s, align %d", pages, area.name, align)
  return m:cma_alloc(pages, { area = area.name, align = align, no_warn = chance(2) })
end)
call(3, "cma_release", function()
  local buffers = m:cma_buffers()
  if #buffers == 0 then return end
  local buffer = pick(buffers)
  if chance(3) then
    local pages = random(buffer.pages)
    return buffer.area:release(buffer.pfn + random(0, buffer.pages - pages), pages)
  end
  return buffer:release()
end)
call(3, "offline", function()
  local block = pick(m:memory_blocks())
  say("offline of block %d, which is %s", block.block, block.state)
  return m:offline(block.block, random(3))
end)
call(3, "online", function()
  for _, block in ipairs(m:memory_blocks()) do
    if block.state == "offline" then
      return m:online(block.block, pick{ "online", "online_movable", "online_kernel" })
    end
  end
end)
call(2, "hugepages", function()
  return m:hugepages{
    count = random(0, 12), overcommit = chance(3) and random(0, 4) or nil,
    node = chance(3) and 0 or nil,
  }
end)
call(2, "compact", function() return m:compact{} end)
call(2, "reclaim", function() return m:reclaim{ bytes = random(4000) * 4096 } end)
call(2, "drop_caches", function() return m:drop_caches(random(3)) end)
call(1, "pressure", function()
  local bytes = random(8000) * 4096
  say("pressure of 0x%x", bytes)
  return m:pressure(bytes, pick{ "GFP_KERNEL", "GFP_HIGHUSER_MOVABLE", "GFP_USER", "GFP_NOWAIT" })
end)
call(2, "pressure_release", function()
  local pressures = m:pressures()
  if #pressures > 0 then return pick(pressures):release() end
end)
call(3, "file", function()
  local files = m:files()
  if #files < 3 then
    local file = m:file{ name = "f" .. step_number, size = random(1500) * 4096 }
    return file and file:read()
  end
  local file, how = pick(files), random(4)
  say("file, way %d", how)
  if how == 1 then return file:read(random(0, file.size // 4096) * 4096) end
  if how == 2 then return file:write(random(0, file.size // 4096) * 4096, random(200) * 4096) end
  if how == 3 then return file:sync() end
  return file:unlink()
end)
call(3, "alloc", function()
  local order = random(0, 10)
  local gfp = pick{
    "GFP_KERNEL", "GFP_HIGHUSER_MOVABLE", "GFP_ATOMIC", "GFP_USER", "GFP_NOWAIT",
    "GFP_KERNEL|__GFP_RECLAIMABLE",
  }
  say("alloc of order %d, %s", order, gfp)
  local page, err = m:alloc_pages(order, gfp)
  if page then blocks[#blocks + 1] = { page.pfn, order } end
  return page, err
end)
call(3, "free", function()
  if #blocks == 0 then return end
  local block = table.remove(blocks, random(#blocks))
  return m:free_pages(block[1], block[2])
end)
call(1, "drain", function() return m:drain() end)
call(1, "drain_lru", function() return m:drain_lru() end)
call(1, "fold", function() return m:fold() end)
call(1, "tick", function() return m:tick(random(3)) end)
call(1, "cpu", function() m.cpu = random(0, m.cpus - 1) end)
call(1, "thp", function() return m:thp(pick{ "always", "madvise", "never" }) end)
call(1, "min_free_kbytes", function() return m:sysctl("min_free_kbytes", random(200, 4000)) end)
call(3, "fail", function() m.fail_allocation = random(30) end)

call(2, "machine fork", function()
  if isStepping then return end
  local fork = m:fork()
  hold(fork:same(m), "a fork differs")
  if chance(2) then m, blocks = fork, table.move(blocks, 1, #blocks, 1, {}) end
end)

-- Whoever looks changes nothing, and knows of every reference.
call(2, "look", function()
  local before = m:fork()
  for _ = 1, 5 do tostring(m:why(random(0, m.present_pages - 1))) end
  for _, vm in ipairs(m:guests()) do
    local page = vm:page((range(vm)))
    if page and page.ref then
      local w = m:why(page)
      local held = page.expected_ref
      for _, holder in ipairs(w.holders) do
        hold(isStepping or holder.kind ~= "unknown", w)
        held = held + holder.references
      end
      hold(held == page.ref, w)
    end
    vm:map{} vm:pagemap() vm:vmas()
  end
  for _, area in ipairs(m:cma_areas()) do m:why_busy(area.base, area.pages) end
  m:map{ blockers = pick{ "none", "cma_alloc", "offline", "alloc_contig" } }
  m:lru() m:meminfo() m:zoneinfo() m:buddyinfo() m:pagetypeinfo() m:vmstat() m:dmesg()
  m:trace{ last = 100 }
  hold(before:same(m), "looking changes something")
end)

-- A call is taken some steps far; another one comes in between.
call(4, "stepped", function()
  local vm = guest()
  if isStepping or not vm then return end
  local from, length = range(vm)
  length = math.min(length, 0x40000)
  local areas, number = m:cma_areas(), step_number
  local f = pick{
    function() vm:pin{ from = from, length = length, longterm = true, max_rounds = 20 } end,
    function() vm:pin{ from = from, length = length, fast = true, max_rounds = 20 } end,
    function() vm:fork("s" .. number) end,
    function() vm:munmap(from, length) end,
    function() return #areas > 0 and m:cma_alloc(300, { area = areas[1].name, align = 8 }) end,
  }
  local ok, task = pcall(step, f)
  if not ok then return end
  isStepping = true
  pcall(task.next, task, random(60))
  if not task.done then
    local other = pick(calls)
    say("stopped at %s; meanwhile %s", task:where().id, other.name)
    local sound, why = m:check()
    if sound then
      pcall(other.run)
      sound, why = m:check()
    end
    if not sound then return false, tostring(why) end
  end
  for _ = 1, 100 do
    if task.done or not pcall(task.run, task) then break end
  end
  if not task.done then task:kill() end
  isStepping = false
end)

local function misplaced_pin()
  for _, pin in ipairs(m:pins()) do
    if pin.longterm and not pin.get then
      for _, run in ipairs(pin:runs(1, 64)) do
        local page = m:page(run.pfn)
        if page.state ~= "allocated" or page.migratetype == "CMA" or page.zone.name == "Movable" then
          return ("I1: pin #%d holds %s"):format(pin.id, tostring(m:why(page)))
        end
      end
    end
  end
end

local function leftover()
  for _, pressure in ipairs(m:pressures()) do pressure:release() end
  for _, device in ipairs(m:devices()) do device:close() end
  for _, pin in ipairs(m:pins()) do pin:unpin() end
  for _, held in ipairs(m:temp_refs()) do give_back(held) end
  for _, vm in ipairs(m:guests()) do vm:exit() end
  for _, file in ipairs(m:files()) do file:unlink() end
  for _, buffer in ipairs(m:cma_buffers()) do buffer:release() end
  for _, block in ipairs(blocks) do m:free_pages(block[1], block[2]) end
  m.fail_allocation = 0
  m:drain_lru()
  -- Pages of the swap cache that nobody shows go when reclaim comes by, but not when they fill the swap
  -- space: then reclaim leaves anonymous memory alone.
  m:reclaim{ bytes = "1G" }
  local sound, why = m:check()
  if not sound then return tostring(why) end
  local counters = m:vmstat{ table = true }
  for _, name in ipairs{
    "nr_anon_pages", "nr_mapped", "nr_shmem", "nr_mlock", "nr_page_table_pages",
    "nr_isolated_anon", "nr_isolated_file",
  } do
    if counters[name] ~= 0 then return ("%s is %d"):format(name, counters[name]) end
  end
  local orphans = counters.nr_swapcached
  if counters.nr_file_pages ~= orphans then
    return ("nr_file_pages is %d, %d of the swap cache"):format(counters.nr_file_pages, orphans)
  end
  if counters.nr_foll_pin_acquired ~= counters.nr_foll_pin_released then return "pins are left" end
  m:hugepages{ count = 0 }
  m:drain()
  local missing = 0
  for _, zone in ipairs(m:zones()) do missing = missing + zone.managed - zone.free end
  -- The page of zeros, and the huge one.
  if missing > 1 + 512 + orphans then return ("%d pages are not free"):format(missing) end
end

function program(seed, steps)
  math.randomseed(seed)
  local checksPins
  log, blocks, isStepping = {}, {}, false
  m, checksPins = new_machine()
  local function broken(what)
    local first = math.max(1, #log - 20)
    return ("seed %d, step %d: %s\n  %s"):format(
      seed, step_number, what, table.concat(log, "\n  ", first))
  end
  for number = 1, steps do
    step_number = number
    local drawn = number < 3 and { name = "guest", run = start_guest } or pick(calls)
    log[#log + 1] = ("%d %s"):format(number, drawn.name)
    local ok, result, message = pcall(drawn.run)
    if not ok then
      say("  raised: %s", tostring(result))
      if tostring(result):find("^fault") then return broken(result) end
    elseif result == false then
      return broken(message)
    elseif result == nil and message then
      say("  %s", tostring(message))
    end
    local sound, why = m:check()
    if not sound then return broken(tostring(why)) end
    local pin = checksPins and misplaced_pin()
    if pin then return broken(pin) end
  end
  log = {}
  local left = leftover()
  if left then return broken("at the end: " .. left) end
end

-- All counters of the last program's machine.
function machine_text() return m:vmstat() .. m:dmesg() end

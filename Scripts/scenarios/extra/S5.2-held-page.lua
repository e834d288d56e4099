-- S5.2 · one held page in an area of 800 MiB
-- Somebody holds the page at offset 4 of a CMA area. What becomes of a request for the whole area, and
-- of one for 64 pages?
-- Thread: measured on 6.12.117 for this rule book.
-- Rules: P5.2, P5.4, P5.12, P5.14.

-- An area that is full of one guest's memory, with the page at an offset held.
local function prepare(backing, offset)
  local m = machine{ ram = "1400M", cma = "800M", thp = "never" }
  local area = m:cma()
  local vm = m:guest{ ram = "1200M", backing = backing }
  vm:populate()
  m:drain_lru()
  local at
  for page = 0, vm.ram // 4096 - 1 do
    if vm:page(page * 4096).pfn == area.base + offset then at = page * 4096 end
  end
  -- Make room outside, and keep what lies in CMA.
  local last
  for page = vm.ram // 4096 - 1, 0, -1 do
    if vm:page(page * 4096).pageblock.type ~= "CMA" then
      last = last or page
    elseif last then
      vm:madvise("dontneed", (page + 1) * 4096, (last - page) * 4096)
      last = nil
    end
  end
  if last then vm:madvise("dontneed", 0, (last + 1) * 4096) end
  return m, vm, m:temp_ref(vm:page(at), "a pipe"), at
end

print("-- an anonymous page")
local m, vm, held = prepare("anon", 4)
local area = m:cma()
local others = vm:resident().cma - 1
-- All but what fits outside goes, so that the rest has somewhere to go.
local room = 60000
local kept = 0
for page = 0, vm.ram // 4096 - 1 do
  local here = vm:page(page * 4096)
  if here and here.pageblock.type == "CMA" and here.pfn ~= area.base + 4 then
    kept = kept + 1
    if kept > room then vm:madvise("dontneed", page * 4096, 4096) end
  end
end
m:drain()
others = vm:resident().cma - 1
expect("others in the area", others, room)
local small = m:fork()
local before = m:fork()
local none, err = m:cma_alloc(area.pages)
print(none, err)
local d = m:vmstat{ since = before, table = true }
expect("the call", err.errno, "EBUSY")
expect("in the way", err.blockers[1].pfns[1], area.base + 4)
expect("all others have moved all the same", d.pgmigrate_success, others)
expect("a held page is passed over, which is no failure", d.pgmigrate_fail, 0)
expect("calls that failed", d.cma_alloc_fail, 1)
expect("pages that failed", area.alloc_pages_fail, area.pages)
print(m:dmesg())

print("-- 64 pages: the request creeps past the page")
small:trace{ clear = true }
local buffer = small:cma_alloc(64)
print(buffer)
expect("busy candidates", select(2, small:trace():gsub("cma_alloc_busy_retry", "")), 5)
expect("the first without the page", buffer.pfn, area.base + 5)
expect("the state is sound", m:check() and small:check(), true)

print("-- a shmem page is taken, and fails five times")
m = machine{ ram = "256M", cma = "64M", thp = "never" }
vm = m:guest{ ram = "180M", backing = "memfd" }
vm:populate()
m:drain_lru()
area = m:cma()
local at
for page = 0, vm.ram // 4096 - 1 do
  if vm:page(page * 4096).pfn == area.base + 600 then at = page end
end
local held <close> = m:temp_ref(vm:page(at * 4096), "a pipe")
before = m:fork()
none, err = m:cma_alloc(1024, { no_warn = true, align = 15 })
print(none, err)
expect("the call", err.errno, "EBUSY")
expect("pages that did not move", m:vmstat{ since = before, table = true }.pgmigrate_fail, 5)
expect("the state is sound", m:check(), true)

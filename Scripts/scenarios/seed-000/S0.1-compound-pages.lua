-- S0.1 · compound pages in CMA
-- A guest's memory in CMA is a huge page, a page of hugetlbfs and 512 small pages, and all of it is
-- pinned. Does the pin get compound pages out of CMA, too, so that a device can have the area?
-- Thread: linux-mm, September 2018, "[RFC PATCH V2 4/4] powerpc/mm/iommu: Allow migration of cma
-- allocated pages during mm_iommu_get". Aneesh Kumar K.V, 6 September: "Current code doesn't do page
-- migration if the page allocated is a compound page".
-- Rules: P3.56, P4.15, P5.2.

local m = machine{ ram = "2G", cma = "1200M" }
local area = m:cma()
m:hugepages{ count = 1 }
local vm = m:guest{ name = "vm0", ram = "2M" }
vm:populate()
local huge = vm:mmap{ length = "2M", backing = "hugetlb", populate = true }
local small = vm:mmap{ length = "2M" }
vm:madvise("nohugepage", small, "2M")
vm:touch(small, "2M")
m:drain_lru()
print(vm:map{ legend = false, color = false })
print(m:map{ area = "reserved", color = false, legend = false })

local start = m:fork()
local before = m:fork()
local pins = {}
for i, from in ipairs{ 0, huge, small } do
  expect("in CMA before", vm:page(from).pageblock.type, "CMA")
  pins[i] = vm:pin{ from = from, length = "2M", longterm = true }
  print(pins[i])
  expect("pages pinned", pins[i].pages, 512)
  expect("afterwards not in CMA", vm:page(from).pageblock.type ~= "CMA", true)
end
local d = m:vmstat{ since = before, table = true }
expect("pages moved", d.pgmigrate_success, 1536)
expect("huge pages moved as such", d.thp_migration_success, 1)
expect("pages that did not move", d.pgmigrate_fail, 0)

local buffer = m:cma_alloc(area.pages)
print(buffer)
expect("the device gets the whole area", buffer.pages, area.pages)
expect("nothing was in its way", m:vmstat{ since = before, table = true }.pgmigrate_success, 1536)

print("-- before 5.1 nobody looked: the same pages are pinned where they are")
local old = before
local ovm = old:guest("vm0")
for _, from in ipairs{ 0, huge, small } do ovm:pin{ from = from, length = "2M" } end
expect("the small pages are still in CMA", ovm:resident(small, "2M").cma, 512)
local none, err = old:cma_alloc(area.pages, { no_warn = true })
print(none, err)
expect("the device gets nothing", err.errno, "EBUSY")
expect("who is in the way", #err.blockers, 3)
expect("the state is sound", m:check() and old:check(), true)

print("-- powerpc registers the same memory, kernel by kernel")
local names = { "4.2", "4.9ppc", "HELPER2018V2", "5.1", "6.12" }
local c = compare(names, function(fork)
  local device = fork:guest("vm0"):spapr()
  for _, from in ipairs{ 0, huge, small } do assert(device:map{ from = from, length = "2M" }) end
  local buffer, err = fork:cma_alloc(fork:cma().pages, { no_warn = true })
  return { cma_alloc = buffer and "done" or err.errno, isolated = fork:node(0).isolated }
end, { start = start })
print(c:only{ "moved", "thp_moved", "pinned", "pinned_cma", "isolated", "cma_alloc" })
for i, name in ipairs(names) do
  expect(name .. ": pages moved", c[i].moved, ({ 0, 512, 1536, 1536, 1536 })[i])
  expect(name .. ": pages pinned in CMA", c[i].pinned_cma, 1536 - c[i].moved)
  expect(name .. ": the device's request", c[i].cma_alloc, i <= 2 and "EBUSY" or "done")
  -- 4.9 lowers the counter for each page that has moved, and raised it for none (rule P3.56).
  expect(name .. ": NR_ISOLATED", c[i].isolated, name == "4.9ppc" and -512 or 0)
end

print("-- a range that begins inside a huge page of hugetlbfs: the helper asks to isolate a tail")
c = compare({ "HELPER2018V2", "5.1", "6.12" }, function(fork)
  fork:guest("vm0"):spapr():map{ from = huge + 4096, length = "1M" }
end, { start = start })
print(c:only{ "moved", "pinned", "pinned_cma" })
for i, moved in ipairs{ 0, 512, 512 } do
  expect(c[i].kernel .. ": pages moved", c[i].moved, moved)
  expect(c[i].kernel .. ": pages pinned in CMA", c[i].pinned_cma, moved == 0 and 256 or 0)
end

-- S0.4 · memory that was meant to be removed
-- A guest's page lies in ZONE_MOVABLE and is pinned for a device. Can its memory block still go
-- offline?
-- Thread: linux-mm, September 2018, "[RFC PATCH V2 4/4] powerpc/mm/iommu: Allow migration of cma
-- allocated pages during mm_iommu_get". Michal Hocko, 6 September: "how do you handle pins which are
-- already in zone_movable?".
-- Rules: P3.1, P6.3, P6.6.

local m = machine{ ram = "4G", movablecore = "1G", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "4K" }
vm:populate()
m:drain_lru()
local page = vm:page(0)
expect("the page's zone", page.zone.name, "Movable")
local size = m:memory_blocks()[1].pages
local block = page.pfn // size

-- The helper is powerpc's, the others are asked with the slow and with the fast walk.
for _, case in ipairs{
  { "HELPER2018V2" }, { "5.1", false }, { "5.2", true }, { "5.7", true }, { "5.10", false },
  { "5.10", true }, { "5.12", false }, { "5.12", true },
} do
  local name, fast = table.unpack(case)
  print("-- Linux " .. name .. (fast and ", fast walk," or "") .. " does not look at the zone")
  local old = m:fork()
  old:kernel(name)
  local short
  if fast == nil then
    short = old:guest("vm0"):spapr():map{ from = 0, length = "4K" }.pin
  else
    short = old:guest("vm0"):pin{ from = 0, length = "4K", longterm = true, fast = fast }
  end
  print(short)
  local ok, err = old:offline(block, 100)
  print(ok, err)
  expect("offline goes round until a signal", err.errno, "EINTR")
  expect("because of one holder", #err.blockers, 1)
  expect("the pin", err.blockers[1].pin, short.id)
  expect("the page is where it was", old:guest("vm0"):page(0).pfn, page.pfn)
  expect("the state is sound", old:check(), true)
end

print("-- 5.13 moves the page to a kernel zone first, and so does 6.12")
local new = m:fork()
new:kernel("5.13")
print(new:guest("vm0"):pin{ longterm = true })
expect("5.13: out of ZONE_MOVABLE", new:guest("vm0"):page(0).zone.name ~= "Movable", true)
expect("5.13: the block goes offline", new:offline(block), true)
local before = m:fork()
local pin = vm:pin{ longterm = true }
print(pin)
expect("moved", m:vmstat{ since = before, table = true }.pgmigrate_success, 1)
expect("out of ZONE_MOVABLE", vm:page(0).zone.name ~= "Movable", true)
expect("the block goes offline", m:offline(block), true)
print(m:map{ color = false, legend = false })
expect("the state is sound", m:check(), true)

-- S0.6 · taking pins back
-- Instead of moving pages before they are pinned, the kernel could ask their holders to let go. Which of
-- them can?
-- Thread: linux-mm, September 2018, "[RFC PATCH V2 4/4] powerpc/mm/iommu: Allow migration of cma
-- allocated pages during mm_iommu_get". Michal Hocko, 6 September: "approaches that would allow to
-- force pin invalidation/revocation".
-- Rules: P9.10, P9.11, P9.12.

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "1M" }
vm:populate()
m:drain_lru()
expect("the guest's pages are in CMA", vm:resident().cma, 256)
-- On kernels before 5.1 nobody moves them for a device, so it is the holder's turn.
m:kernel("4.2")

print("-- (a) VFIO: an IOMMU that cannot fault has no way to let go")
local a = m:fork()
local map = a:guest("vm0"):vfio():map{}
print(map)
expect("pages that the device sees, in CMA", a:guest("vm0"):resident().cma, 256)
local none, err = a:cma_alloc(a:cma().pages, { no_warn = true })
print(none, err)
expect("the area", err.errno, "EBUSY")
expect("256 pages are in the way", err.blockers[1].count, 256)
expect("they are where they were", a:guest("vm0"):resident().cma, 256)

print("-- the kernel demands them back (revoke = \"forced\", discussed and never merged)")
for _, open in ipairs{ "vfio", "rdma", "io_uring", "spapr" } do
  local f = m:fork()
  f:kernel(kernel{ base = "4.2", revoke = "forced" })
  local holder = f:guest("vm0")
  local device = holder[open](holder)
  device:map{}
  none, err = f:cma_alloc(f:cma().pages, { no_warn = true })
  print(none, err)
  expect(open .. ": pages asked for, and refused", device.revoked.refused, 256)
  expect(open .. ": the area stays busy", err.errno, "EBUSY")
end

print("-- (b) on demand: a notifier takes the mapping away, and the device faults it in again")
local b = m:fork()
b:kernel(kernel{ base = "4.2", revoke = "forced" })
map = b:guest("vm0"):rdma{ odp = true }:map{}
expect("faults of the device", map:access{}.faults, 256)
expect("and then none", map:access{}.hits, 256)
local buffer = b:cma_alloc(b:cma().pages)
print(buffer)
expect("the area is empty", b:guest("vm0"):resident().cma, 0)
expect("all pages moved", b:vmstat{ since = m, table = true }.pgmigrate_success, 256)
expect("pages asked for, and let go", b:guest("vm0").devices[1].revoked.complied, 256)
expect("the device faults them in anew", map:access{}.refaults, 256)

print("-- the same when a memory block of ZONE_MOVABLE goes offline")
m = machine{ ram = "4G", movablecore = "1G", thp = "never" }
m:kernel(kernel{ base = "4.2", revoke = "forced" })
vm = m:guest{ name = "vm0", ram = "1M" }
vm:populate()
m:drain_lru()
local block = vm:page(0).pfn // m:memory_blocks()[1].pages
local held = m:fork()
local container = held:guest("vm0"):vfio()
container:map{}
none, err = held:offline(block, 3)
print(none, err)
expect("vfio: offline", err.errno, "EINTR")
expect("vfio: pages that were refused", container.revoked.refused, 256)
map = vm:rdma{ odp = true }:map{}
map:access{}
expect("on demand: offline", m:offline(block), true)
expect("on demand: pages that were let go", vm.devices[1].revoked.complied, 256)
expect("on demand: the device faults them in anew, elsewhere", map:access{}.refaults, 256)
expect("the state is sound", a:check() and b:check() and m:check() and held:check(), true)

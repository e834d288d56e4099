-- Who pins, rule by rule (P7.1 to P7.52), as a user meets them. Each value is what the rule says.

local function check(what, got, wanted)
  assert(got == wanted, ("%s: %s, not %s"):format(what, tostring(got), tostring(wanted)))
end
local function refused(what, errno, rule, value, err)
  check(what .. ": result", value, nil)
  check(what .. ": errno", err.errno, errno)
  if rule then check(what .. ": rule", err.rule, rule) end
  return err
end
local function sound(m)
  local ok, problem = m:check()
  assert(ok, problem and problem.message)
end
-- A machine without CMA whose guest's frames lie in runs of these lengths, in pages.
local function in_runs(...)
  local m = machine{ ram = "1G", thp = "never" }
  local total = 0
  for _, n in ipairs{ ... } do total = total + n end
  local vm = m:guest{ name = "vm0", ram = total * 4096 }
  local other = m:guest{ name = "other", ram = "64M" }
  other:touch(0, "16M")
  local at, used = 0, 16 << 20
  for _, n in ipairs{ ... } do
    vm:touch(at, n * 4096)
    other:touch(used, "12K")
    at, used = at + n * 4096, used + (12 << 10)
  end
  m:drain_lru()
  return m, vm
end
local function huge(ram)
  local m = machine{ ram = "1G" }
  local vm = m:guest{ name = "vm0", ram = ram or "4M" }
  vm:write()
  check("all in huge pages", vm:resident().huge, vm.ram // 4096)
  return m, vm
end

-- P7.1: one page a call, and a page that breaks a run is given back and pinned anew.
local m, vm = in_runs(5, 1, 10)
m:kernel("5.10")
local before = m:vmstat{ table = true }
local d = vm:vfio():map{}
local after = m:vmstat{ table = true }
check("P7.1 calls", d.calls, 16 + 2)
check("P7.1 walks", d.costs.walks, 18)
check("P7.1 pinned twice", d.repins, 2)
check("P7.1 pins taken", after.nr_foll_pin_acquired - before.nr_foll_pin_acquired, 18)
check("P7.1 pins left", after.nr_foll_pin_released - before.nr_foll_pin_released, 2)
-- P7.2: each run is one map; without huge pages each page is one.
check("P7.2 maps", d.iommu_maps, 3)
d:unmap()
d = vm:vfio{ disable_hugepages = true }:map{}
check("P7.2 without huge pages: maps, pinned twice", d.iommu_maps * 10 + d.repins, 160)
sound(m)
m, vm = huge()
local container = vm:vfio()
container:map{}
local table_ = container:iommu()
check("P7.2 entries of 2 MiB, and of 4 KiB", table_.large * 1000 + table_.small, 2000)

-- P7.3: 512 a call, runs go over calls; only a call that brought one page is made again.
for _, case in ipairs{ { { 600, 424 }, 2, 0 }, { { 512, 1 }, 3, 1 }, { { 511, 2 }, 2, 0 }, { { 513, 1 }, 2, 0 } } do
  m, vm = in_runs(table.unpack(case[1]))
  d = vm:vfio():map{}
  check("P7.3 calls", d.calls, case[2])
  check("P7.3 pinned twice", d.repins, case[3])
  check("P7.3 maps", d.iommu_maps, 2)
end

-- P7.4: arguments; all or nothing.
m, vm = in_runs(64)
container = vm:vfio{ entry_limit = 2 }
refused("P7.4 half a page", "EINVAL", "P7.4", container:map{ from = 0, length = 2048 })
refused("P7.4 odd address", "EINVAL", "P7.4", container:map{ length = "4K", iova = 100 })
container:map{ length = "64K", iova = "64K" }
refused("P7.4 overlap", "EEXIST", "P7.4", container:map{ length = "64K", iova = "120K" })
container:map{ length = "64K", iova = 0 }
refused("P7.4 a third of two", "ENOSPC", "P7.4", container:map{ length = "4K", iova = "1M" })
-- P7.5: the same pages at two addresses are charged twice.
check("P7.5 charged", vm.locked_pages, 32)
container:unmap{ length = "1M" }
check("P7.5 given back", vm.locked_pages, 0)
local hole = vm:mmap{ length = "64K" }
vm:touch(hole, "64K")
vm:munmap(hole + 32768, "4K")
refused("P7.4 a hole", "EFAULT", nil, container:map{ from = hole, length = "64K", iova = 0 })
check("P7.4 pins that are left", #m:pins(), 0)
check("P7.4 charged then", vm.locked_pages, 0)
vm:memlock(63 * 4096)
local err = refused("P7.5 over the limit", "ENOMEM", "P7.5", container:map{ length = "256K", iova = 0 })
check("P7.5 pins that are left", #m:pins(), 0)
assert(m:dmesg():find("vfio_pin_pages_remote: RLIMIT_MEMLOCK (258048) exceeded", 1, true), m:dmesg())
check("P7.5 just the limit", container:map{ length = 63 * 4096, iova = 0 }.charged, 63)
sound(m)

-- P7.6: what part of a mapping can be unmapped.
m, vm = in_runs(64)
local v2, v1 = vm:vfio(), vm:vfio{ version = "v1" }
v2:map{ length = "128K" }
v1:map{ length = "128K" }
refused("P7.6 v2", "EINVAL", "P7.6", v2:unmap{ iova = 0, length = "64K" })
check("P7.6 v1, second half", v1:unmap{ iova = "64K", length = "64K" }.size, 0)
check("P7.6 v1, first half", v1:unmap{ iova = 0, length = "64K" }.size, 128 << 10)

-- P7.7: no list of pages; unmap reads the IOMMU's table, and unpins one by one.
m, vm = in_runs(5, 1, 512)
container = vm:vfio()
check("P7.7 bytes of a list", container:map{}.bytes, 0)
local done = container:unmap{ length = "4M" }
check("P7.7 looks", done.lookups, 518 + 2)
check("P7.7 unmaps", done.iommu_unmaps, 3)
check("P7.7 flushes", done.syncs, 1)
check("P7.7 unpins", done.unpin_atomics, 518)
-- One flush for 512 regions.
local many = {}
for i = 1, 513 do many[i] = 1 end
m, vm = in_runs(table.unpack(many))
container = vm:vfio()
container:map{}
check("P7.7 flushes of 513 regions", container:unmap{ length = "4M" }.syncs, 2)

-- P7.8: device memory is looked up, not pinned; the others refuse it.
m, vm = in_runs(16)
local bar = vm:mmap{ length = "64K", backing = "device" }
d = vm:vfio():map{ from = bar, length = "64K", iova = "1G" }
check("P7.8 looks, pages charged", d.frame_lookups * 10 + d.charged, 160)
check("P7.8 a pin", d.pin, nil)
for _, kind in ipairs{ "rdma", "iommufd", "io_uring", "spapr" } do
  refused("P7.8 " .. kind, "EFAULT", nil, vm[kind](vm):map{ from = bar, length = "64K" })
end
refused("P7.8 a long-term pin", "EFAULT", "P3.12", vm:pin{ from = bar, length = "4K", longterm = true })
sound(m)

-- P7.9: skipping tails is right for whole huge pages, and wrong behind a page that was replaced.
local skip = kernel{ base = "6.12", vfio_skip_tails = true }
m, vm = huge("2M")
m:kernel(skip)
local whole = m:fork()
d = whole:guest("vm0"):vfio():map{}
check("P7.9 calls, pages that differ", d.calls * 10 + d.foreign, 10)
check("P7.9 pages", d.pin.pages, 512)
sound(whole)
vm:madvise("dontneed", 40960, "4K")
vm:write(40960, "4K")
d = vm:vfio():map{}
check("P7.9 pages that differ", d.foreign, 1)
local ok, broken = m:check()
check("P7.9 the invariant", broken.message:match("^I%d+"), "I7")
d:unmap()
check("P7.9 pins that are left", #m:pins(), 0)

-- P7.10: iommufd: fast calls of 8192, runs of 12 bytes, two accounts, pinned_vm besides.
m, vm = in_runs(8000, 400, 1)
local fd = vm:iommufd()
d = fd:map{}
check("P7.10 calls", d.calls, 2)
check("P7.10 bytes of the runs", d.bytes, 36)
check("P7.10 the user, pinned_vm, locked_vm",
  table.concat({ vm.user_locked_pages, vm.pinned_pages, vm.locked_pages }, " "), "8401 8401 0")
refused("P7.10 a part", "ENOENT", nil, fd:unmap{ iova = 0, length = "4K" })
fd:close()
vm:memlock("1M")
refused("P7.10 over the limit", "ENOMEM", "P7.10", vm:iommufd{ account = "locked_vm" }:map{ length = 257 * 4096 })
vm:iommufd{ account = "locked_vm" }:map{ length = "1M" }
check("P7.10 locked_vm", vm.locked_pages, 256)
sound(m)

-- P7.20: RDMA: counted before it pins, calls of 512, one scatter list, segments of 64 KiB unless set.
m, vm = in_runs(700, 5, 40)
d = vm:rdma():map{}
check("P7.20 calls", d.calls, 2)
check("P7.20 segments", d.records, 44 + 1 + 3)
check("P7.20 bytes", d.bytes, 32 * 48)
check("P7.20 pinned_vm, locked_vm", vm.pinned_pages * 10 + vm.locked_pages, 7450)
d:unmap()
local long = vm:rdma{ max_segment = "1G" }
check("P7.20 long segments", long:map{}.records, 3)
long:close()
refused("P7.20 nothing", "EINVAL", "P7.20", vm:rdma():map{ length = 0 })
refused("P7.4 nothing", "EINVAL", "P7.4", vm:vfio():map{ length = 0 })
refused("P7.30 nothing", "EFAULT", "P7.30", vm:io_uring():map{ length = 0 })
vm:memlock(0)
refused("P7.20 may not lock", "EPERM", "P7.20", vm:rdma():map{ length = "4K" })
vm:memlock(744 * 4096)
before = m:vmstat{ table = true }.nr_foll_pin_acquired
refused("P7.20 over the limit", "ENOMEM", "P7.20", vm:rdma():map{})
check("P7.20 refused before it pins", m:vmstat{ table = true }.nr_foll_pin_acquired, before)
local ro = vm:mmap{ length = "64K", prot = "r" }
refused("P7.20 writes to what may not be written", "EFAULT", nil, vm:rdma():map{ from = ro, length = "64K" })
check("P7.20 given back", vm.pinned_pages, 0)
check("P7.20 reads of it", vm:rdma():map{ from = ro, length = "64K", write = false }.charged, 16)
sound(m)

-- P7.21: released folio by folio since 5.13; VFIO and powerpc go page by page to this day.
m = huge()
for name, atomics in pairs{ ["5.10"] = 2048, ["5.13"] = 4, ["6.12"] = 4 } do
  local f = m:fork()
  f:kernel(name)
  check("P7.21 RDMA on " .. name, f:guest("vm0"):rdma():map{}:unmap().unpin_atomics, atomics)
  check("P7.21 VFIO on " .. name, f:guest("vm0"):vfio():map{}:unmap().unpin_atomics, 2048)
end

-- P7.22: on demand nothing is pinned; what the kernel moves is invalidated, and faulted in again.
m = machine{ ram = "1G", cma = "640M", thp = "never" }
vm = m:guest{ name = "vm0", ram = "1M" }
vm:populate()
vm:memlock(0)
d = vm:rdma{ odp = true }:map{}
check("P7.22 faults", d:access{}.faults, 256)
check("P7.22 pins, pages charged", #m:pins() + d.charged, 0)
local device = m:cma_alloc(m:cma().pages)
assert(device, "P7.22: nothing is in the way of cma_alloc")
check("P7.22 entries that are gone", d.invalidated, 256)
check("P7.22 faults again", d:access{}.refaults, 256)
sound(m)

-- P7.30: io_uring: one fast call; folios in a row keep one pin each; compound pages count once a ring.
m, vm = huge("8M")
local ring = vm:io_uring()
for _, case in ipairs{
  { "2M", "4M", 2, true }, { "412K", "4M", 3, true }, { "8K", "8K", 1, true }, { "2044K", "8K", 2, true },
} do
  d = ring:map{ from = case[1], length = case[2] }
  check("P7.30 vectors from " .. case[1], d.records, case[3])
  check("P7.30 folded", d.coalesced, case[4])
  check("P7.30 bytes", d.bytes, 16 * case[3])
  check("P7.30 pins of the first folio", d.pin:page(1).folio.pincount, 1)
  d:unmap()
end
check("P7.30 charged: the whole huge page", ring:map{ length = "4K" }.charged, 512)
check("P7.30 charged again", ring:map{ from = "64K", length = "4K" }.charged, 0)
check("P7.30 charged by another ring", vm:io_uring():map{ length = "4K" }.charged, 512)
check("P7.30 the user's", vm.user_locked_pages, 1024)
vm:memlock("5M")
refused("P7.30 over the limit", "ENOMEM", "P7.30", ring:map{ from = "4M", length = "4M" })
vm:memlock("1G")
vm:munmap("6M", "4K")
refused("P7.30 short", "EFAULT", "P7.30", ring:map{ from = "4M", length = "4M" })
sound(m)
m = machine{ ram = "2G" }
vm = m:guest{ name = "vm0", ram = "1028M" }
refused("P7.30 more than 1 GiB", "EFAULT", "P7.30", vm:io_uring():map{})

-- P7.40: powerpc: charged first, slots of 8 bytes, overlap found after pinning, a short count leaks out.
m, vm = in_runs(64)
local tce = vm:spapr()
local region = tce:map{ length = "64K" }
check("P7.40 bytes, pages charged", region.bytes * 100 + vm.locked_pages, 12816)
before = m:vmstat{ table = true }.nr_foll_pin_acquired
refused("P7.40 overlap", "EINVAL", "P7.40", tce:map{ from = "32K", length = "64K" })
assert(m:vmstat{ table = true }.nr_foll_pin_acquired > before, "P7.40: it is found after pinning")
check("P7.40 undone", vm.locked_pages, 16)
hole = vm:mmap{ length = "64K" }
vm:munmap(hole + 32768, "32K")
err = refused("P7.40 short", "EFAULT", "P7.40", tce:map{ from = hole, length = "64K" })
check("P7.40 the positive count that leaks out", err.returned, 8)
vm:memlock("100K")
refused("P7.40 over the limit", "ENOMEM", "P7.40", tce:map{ from = "128K", length = "64K" })
-- P7.42: the same region has users; TCE entries keep it; another length is not known.
check("P7.42 users", tce:map{ length = "64K" }.users, 2)
refused("P7.42 unknown", "ENOENT", "P7.42", tce:unmap{ iova = 0, length = "32K" })
check("P7.42 one user left", region:unmap().size, 0)
region.tce_entries = 1
refused("P7.42 in use", "EBUSY", "P7.42", region:unmap())
region.tce_entries = 0
check("P7.42 given back", region:unmap().size, 64 << 10)
check("P7.42 pins that are left", #m:pins() + vm.locked_pages, 0)
sound(m)
-- P7.41: IOMMU pages of a region: hugetlb's alone; before 5.1 those of THPs as well.
m = machine{ ram = "1G", hugepages = 4 }
m:guest{ name = "vm0", ram = "2M" }:write()
m:guest{ name = "pool", ram = "2M", backing = "hugetlb" }:write()
for name, size in pairs{ ["4.9ppc"] = 2 << 20, ["5.1"] = 4096, ["6.12"] = 4096 } do
  local f = m:fork()
  f:kernel(name)
  check("P7.41 THP on " .. name, f:guest("vm0"):spapr():map{}.page_size, size)
  check("P7.41 hugetlb on " .. name, f:guest("pool"):spapr():map{}.page_size, 2 << 20)
  check("P7.41 not aligned on " .. name,
    f:guest("pool"):spapr():map{ from = "4K", length = "4K" }.page_size, 4096)
end

-- P7.50: bytes of each format, by a sample of 1 GiB in 2 MiB pages and 64 MiB in shuffled small ones.
m = machine{ ram = "3G" }
vm = m:guest{ name = "vm0", ram = "1G" }
vm:populate()
local function sizes(pin, segment)
  local bytes = {}
  for _, size in ipairs(pin:sizes{ max_segment = segment }) do bytes[size.format] = size.bytes end
  return bytes
end
local pin = vm:pin{ longterm = true, fast = true }
local b = sizes(pin, "2M")
check("P7.50 pages, 300 GiB of 2 MiB", b.pages * 300, 600 << 20)
check("P7.50 sg", b.sg * 300, 153600 * 32)
check("P7.50 pfn", b.pfn * 300, 600 << 20)
-- Neighbours merge: nothing but the segment's limit cuts a run. 64 KiB make 150 MiB of it.
check("P7.50 sg, segments of 64 KiB", sizes(pin, "64K").sg * 300, 150 << 20)
container = vm:vfio()
container:map{}
check("P7.50 the IOMMU's tables, leaves for 1 GiB", container:iommu().bytes, 3 * 4096)
m = machine{ ram = "1G", thp = "never" }
vm = m:guest{ name = "vm0", ram = "64M", placement = "shuffled" }
pin = vm:pin{}
local runs = pin:sizes{}
b = sizes(pin, "64K")
check("P7.50 pages of 4 KiB", b.pages, 16384 * 8)
-- Few of them follow each other by chance.
assert(b.sg > 16384 * 32 * 0.99 and b.sg <= 16384 * 32, b.sg)
assert(b.bvec > 16384 * 16 * 0.99 and b.runs > 16384 * 12 * 0.99, b.bvec)
container = vm:vfio()
container:map{}
check("P7.50 the IOMMU's tables, 300 GiB: MiB of leaves", (container:iommu().bytes - 3 * 4096) * 4800 >> 20, 600)

-- P7.51, P8 D8: a walker that writes records: one a leaf, neighbours merged, no array.
m, vm = huge("8M")
m:kernel(kernel{ base = "6.12", gup_output = "scatter", gup_walker = "integrated" })
pin = vm:pin{ longterm = true }
check("P7.51 pointers", pin.costs.array_writes, 0)
assert(pin.costs.records >= 1 and pin.costs.records <= 4, "P7.51: at most a record a leaf")
-- P7.52: VFIO keeps nothing a page, and one call for 512 pages costs 512 times less calls than 512.
m, vm = in_runs(1024)
d = vm:vfio():map{}
check("P7.52 bytes", d.bytes, 0)
check("P7.52 calls", d.calls, 2)

-- guest_memfd (P2.2): never in CMA, not mapped, not pinned, not reclaimed, not moved.
m = machine{ ram = "1G", cma = "640M", thp = "never" }
vm = m:guest{ name = "vm0", ram = "1M" }
local g = vm:guest_memfd{ size = "8M" }
check("guest_memfd is empty", g.allocated, 0)
check("guest_memfd, the guest's access", g:access(0, "64K"), 16)
check("guest_memfd, fallocate", g:allocate() + g.allocated, 4096)
for page = 0, 2047 do
  assert(g:page(page * 4096).pageblock.type == "Unmovable", "guest_memfd in CMA")
end
vm:populate()
check("the guest's other memory is in CMA", vm:resident().cma, 256)
m:drain_lru()
refused("guest_memfd mapped", "ENODEV", "P2.2", g:mmap(vm))
check("guest_memfd is unevictable", m:vmstat{ table = true }.nr_unevictable, 2048)
m:drop_caches(3)
m:reclaim{ bytes = "100M" }
check("guest_memfd after reclaim", g.allocated, 2048)
local place = g:page(0).pfn
m:compact()
check("guest_memfd after compaction", g:page(0).pfn, place)
assert(not m:why(g:page(0)).movable, "guest_memfd moves")
assert(m:cma_alloc(m:cma().pages), "guest_memfd is in the way of cma_alloc")
refused("guest_memfd, half a page", "EINVAL", "P2.2", g:punch_hole(100, 4096))
check("guest_memfd, a hole", g:punch_hole("1M", "1M"), 256)
check("guest_memfd, in the hole", g:page("1M"), nil)
sound(m)
local free = m:fork()
check("a fork has its own", free:guest("vm0"):guest_memfds()[1].allocated, 1792)
free:guest("vm0"):guest_memfds()[1]:close()
check("and closes it alone", g.allocated, 1792)
sound(free)
vm:exit()
m:drain()
sound(m)
assert(not pcall(function() return g.allocated end), "guest_memfd outlives its guest")
-- Its block never goes offline: each round isolates its pages, and none moves (EOPNOTSUPP).
m = machine{ ram = "4G", thp = "never" }
vm = m:guest{ name = "vm0", ram = "1M" }
g = vm:guest_memfd{ size = "512M" }
g:allocate()
-- A block with nothing of the kernel in it, of which 16 pages are left.
local size = m:memory_blocks()[1].pages
local block = g:page("300M").pfn // size
local kept = 0
for at = 0, (512 << 20) - 1, 4096 do
  if g:page(at).pfn // size == block then
    kept = kept + 1
    if kept > 16 then g:punch_hole(at, 4096) end
  end
end
m:drain_lru()
before = m:vmstat{ table = true }.pgmigrate_fail
refused("guest_memfd offline", "EINTR", nil, m:offline(block, 3))
check("guest_memfd, failures", m:vmstat{ table = true }.pgmigrate_fail - before, 3 * 16)
sound(m)
m:kernel("6.6")
refused("guest_memfd before 6.8", "ENOTTY", "P2.2", vm:guest_memfd{ size = "4K" })

-- A device that is plugged into a running guest, and its limit in three accountings (P9.4).
m = machine{ ram = "1G", cma = "640M", thp = "never" }
vm = m:guest{ name = "vm0", ram = "4M" }
vm:populate()
vm:touch("1M", "64K")
vm:memlock("4M")
for _, kind in ipairs{ "vfio", "rdma", "io_uring" } do
  check("plugged: pages of " .. kind, vm[kind](vm):map{}.charged, 1024)
end
check("plugged: all moved once", vm:resident().cma, 0)
check("plugged: locked_vm, pinned_vm, the user's",
  table.concat({ vm.locked_pages, vm.pinned_pages, vm.user_locked_pages }, " "), "1024 1024 1024")
refused("plugged: a second container", "ENOMEM", "P7.5", vm:vfio():map{ length = "4K" })
for _, each in ipairs(vm.devices) do each:close() end
check("unplugged", vm.locked_pages + vm.pinned_pages + vm.user_locked_pages + #m:pins(), 0)
sound(m)

-- VFIO's calls of one page each: that every one of many pages has to move is no livelock (P4.41).
do
  local m = machine{ ram = "1G", cma = "640M", thp = "never" }
  local vm = m:guest{ ram = "8M" }
  vm:populate()
  local borrowed = vm:resident().cma
  check("pages in CMA", borrowed > 1000, true)
  m:kernel("5.1")
  local map = assert(vm:vfio():map{ max_rounds = 2 })
  check("moved, page by page", map.migrated, borrowed)
  check("calls", map.calls, 2048 + map.repins)
  check("left in CMA", vm:resident().cma, 0)
  sound(m)
end

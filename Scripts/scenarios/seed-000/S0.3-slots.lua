-- S0.3 · pointers, then addresses
-- The hypervisor call runs in real mode, where a page pointer cannot be turned into a frame number. What
-- does it read?
-- Thread: linux-mm, September 2018, "[RFC PATCH V2 4/4] powerpc/mm/iommu: Allow migration of cma
-- allocated pages during mm_iommu_get". Aneesh Kumar K.V, 6 September: "we access hpas in real mode
-- and we can't do that struct page * to pfn conversion in real mode".
-- Rules: P7.40, P7.42.

local m = machine{ ram = "256M", thp = "never" }
local vm = m:guest{ ram = "1M" }
local container = vm:spapr()
local region = container:map{ length = "12K" }
expect("bytes of its slots", region.bytes, 24)
expect("entry 1, offset 0x123", region:lookup(0x1123), region.pin.pfns[2] << 12 | 0x123)
local _, err = region:lookup("12K")
expect("behind its end", err.errno, "EFAULT")
region:mark_dirty(4096)
expect("the dirty bit of a slot is no part of the address", region:lookup(0x1123), region.pin.pfns[2] << 12 | 0x123)
expect("the page size of the region", region.page_size, 4096)
_, err = region:lookup(0x1123, "64K")
expect("a larger page than the region has", err.errno, "EFAULT")
local again = container:map{ length = "12K" }
expect("the same region again is one more user", again.users, 2)
expect("the first to leave gives nothing back", again:unmap().size, 0)
expect("the last one all", region:unmap().size, 12 << 10)
expect("pages that are still counted", vm.locked_pages, 0)

-- S1.13 · what an IOMMU unmaps
-- Can a part of an earlier, larger mapping be unmapped? VFIO pinned page by page because the IOMMU
-- API did not promise it.
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Daniel Jordan, 4 December (#17): "the iommu API didn't promise to unmap subpages of previous
-- mappings".
-- Rules: P7.6.

local m = machine{ ram = "512M" }
local vm = m:guest{ ram = "4M" }
vm:populate()

print("-- type 1, version 2: whole mappings only")
local v2 = vm:vfio()
v2:map{ length = "4M" }
local none, err = v2:unmap{ iova = "2M", length = "2M" }
print(none, err)
expect("the second half", err.errno, "EINVAL")
none, err = v2:unmap{ iova = 0, length = "2M" }
expect("the first half", err.errno, "EINVAL")
expect("pages still mapped", v2.pages, 1024)
expect("a range that covers it: bytes", v2:unmap{ iova = 0, length = "8M" }.size, size"4M")
expect("pages mapped then", v2.pages, 0)
expect("nothing there: bytes", v2:unmap{ iova = 0, length = "8M" }.size, 0)

print("-- version 1: success, whatever it did")
local v1 = vm:vfio{ version = "v1" }
v1:map{ length = "4M" }
expect("the second half: bytes", v1:unmap{ iova = "2M", length = "2M" }.size, 0)
expect("pages still mapped", v1.pages, 1024)
expect("the first half: bytes, all of it", v1:unmap{ iova = 0, length = "2M" }.size, size"4M")
expect("pages mapped then", v1.pages, 0)

print("-- iommufd: whole mappings, another error")
local fd = vm:iommufd()
fd:map{ length = "4M" }
none, err = fd:unmap{ iova = "2M", length = "2M" }
expect("the second half", err.errno, "ENOENT")
fd:close()
expect("pins that are left", #m:pins(), 0)
expect("pages that are counted", vm.locked_pages + vm.pinned_pages + vm.user_locked_pages, 0)
expect("the state is sound", m:check(), true)

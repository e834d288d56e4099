-- S1.16 · no list of pages
-- Must VFIO keep a list of the pages that it pinned, to unpin them later?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Daniel Jordan, 8 December (#22): "the iommu page tables are used to find the pfns when unpinning".
-- Rules: P7.7, P7.52, P8.5.

-- 518 pages in runs of 5, 1 and 512 neighbouring frames.
local m = machine{ ram = "1G", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "2072K" }
local other = m:guest{ ram = "64M" }
other:touch(0, "16M")
vm:touch(0, "20K")
other:touch("16M", "12K")
vm:touch("20K", "4K")
other:touch("17M", "12K")
vm:touch("24K", "2M")
m:drain_lru()

local c = compare({ "4.2", "5.10", "6.12" }, function(m)
  local container = m:guest("vm0"):vfio()
  local mapping = container:map{}
  expect(m:kernel().name .. ": runs", mapping.runs, 3)
  expect(m:kernel().name .. ": bytes of a list of pages", mapping.bytes, 0)
  -- It asks the IOMMU's table: each page once, and once more where a run ends.
  local done = container:unmap{ length = "2072K" }
  expect(m:kernel().name .. ": pins that are left", #m:pins(), 0)
  expect(m:kernel().name .. ": the state is sound", m:check(), true)
  return {
    size = done.size, looks = done.lookups, iommu_unmaps = done.iommu_unmaps, flushes = done.syncs,
    unpins = done.unpin_atomics,
  }
end, { start = m })
print(c)
for i = 1, 3 do
  local row = c[i]
  expect(row.kernel .. ": bytes unmapped", row.size, 518 * 4096)
  expect(row.kernel .. ": looks at the IOMMU's table", row.looks, 520)
  expect(row.kernel .. ": calls of iommu_unmap", row.iommu_unmaps, 3)
  expect(row.kernel .. ": flushes of the IOTLB", row.flushes, 1)
  expect(row.kernel .. ": pages unpinned, one by one", row.unpins, 518)
end

print("-- an IOMMU with pages of every power of two, and RDMA with its scatter list")
local fine = vm:vfio{ fine_superpages = true }
fine:map{}
local done = fine:unmap{ length = "2072K" }
expect("looks, one an entry", done.lookups, done.iommu_unmaps)
expect("fewer than pages", done.lookups < 518, true)
local region = vm:rdma():map{}
expect("bytes of RDMA's list", region.bytes, 32 * region.records)
region:unmap()
expect("pins that are left", #m:pins(), 0)

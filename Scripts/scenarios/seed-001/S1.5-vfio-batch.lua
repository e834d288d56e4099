-- S1.5 · how VFIO asks for pages
-- VFIO maps runs of neighbouring frames. How often does it pin, when it pins one page a call, and
-- when it pins 512?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Pasha Tatashin, 3 December (#4): "1 -> pin only one pages at a time", and Daniel Jordan, 4 December
-- (#17): "166fd7d94afd allowed the iommu to use larger pages in vfio, but vfio kept pinning pages at a
-- time".
-- Rules: P7.1, P7.2, P7.3, P7.8, P7.20.

-- 1024 pages: the frames of the first 600 are neighbours, and so are those of the other 424.
local m = machine{ ram = "1G", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "4M" }
local other = m:guest{ ram = "64M" }
other:touch(0, "16M")
vm:touch(0, "2400K")
other:touch("16M", "12K")
vm:touch("2400K", "1696K")
m:drain_lru()

local function run(m)
  local c = m:guest("vm0"):vfio()
  local d = c:map{}
  expect(m:kernel().name .. ": pages of the first run", d:frames()[1].pages, 600)
  expect(m:kernel().name .. ": pages charged to locked_vm", d.charged, 1024)
  expect(m:kernel().name .. ": the state is sound", m:check(), true)
  return {
    pin_calls = d.calls, pinned_twice = d.repins, iommu_maps = d.iommu_maps,
    small = c:iommu().small, large = c:iommu().large,
  }
end

print("-- VFIO of each kernel, and 6.12 with a batch of one page")
local one = kernel{ base = "6.12", vfio_batch = 1, name = "6.12, one page" }
local c = compare({ "4.2", "5.10", "5.12", "6.12", one }, run, { start = m })
print(c)
for i, calls in ipairs{ 1025, 1025, 2, 2, 1025 } do
  -- The page that breaks a run is given back and pinned again, when it came alone.
  expect(c[i].kernel .. ": calls that pin", c[i].pin_calls, calls)
  expect(c[i].kernel .. ": pages pinned twice", c[i].pinned_twice, calls == 1025 and 1 or 0)
  -- However it pins, each run is mapped with one call, in pages as large as fit (166fd7d94afd).
  expect(c[i].kernel .. ": calls of iommu_map", c[i].iommu_maps, 2)
end

print("-- RDMA asks for 512 at a time, on every kernel")
c = compare({ "5.10", "6.12" }, function(m)
  local d = m:guest("vm0"):rdma():map{}
  return { pin_calls = d.calls, segments = d.records }
end, { start = m })
print(c)
for i = 1, 2 do
  expect(c[i].kernel .. ": calls that pin", c[i].pin_calls, 2)
  -- Segments of 64 KiB: 38 for 600 pages, 27 for 424.
  expect(c[i].kernel .. ": entries of the scatter list", c[i].segments, 65)
end

print("-- a device's own memory in the middle: nothing to pin, so it reads the page table")
local bar = vm:mmap{ length = "64K", backing = "device" }
local v = vm:vfio()
local d = v:map{ from = bar, length = "64K", iova = "1G" }
print(d)
expect("frames looked up", d.frame_lookups, 16)
expect("pages pinned", d.pin, nil)
expect("pages charged", d.charged, 0)
local none, err = vm:rdma():map{ from = bar, length = "64K" }
expect("RDMA cannot have it", err.errno, "EFAULT")
expect("the state is sound", m:check(), true)

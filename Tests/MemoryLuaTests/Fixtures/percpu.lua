-- Per-CPU lists: whose they are, how they fill, drain and decay.
local m = machine{ ram = "1G", cpus = 2 }
local zone = m:zone("DMA32")
assert(m.cpus == 2 and m.cpu == 0)

local p = m:alloc_pages(0)
local first = zone:pcp(0)
assert(first.count > 0 and first.batch == 63 or first.batch > 0)
assert(zone:pcp(1).count == 0, "the other CPU has its own")

-- Freed on the other CPU, it stays there.
m.cpu = 1
p:free()
assert(zone:pcp(1).count == 1)
assert(zone:pcp().count == 1, "without a number: the current CPU")
local lists = zone:pcp(1).lists
local found
for name, pfns in pairs(lists) do
  for _, pfn in ipairs(pfns) do found = found or (pfn == p.pfn and name) end
end
assert(found == "0 Unmovable", found)

-- CPU 0 does not see it.
m.cpu = 0
assert(m:alloc_pages(0) ~= p)
m:drain(zone)
assert(zone:pcp(0).count == 0 and zone:pcp(1).count == 0)
assert(p.state == "free")

-- Large orders pass the lists by.
local big = m:alloc_pages(5)
big:free()
assert(big.state == "free")

-- Many frees do not keep more than the list's high mark.
local pages = {}
for i = 1, 2000 do pages[i] = m:alloc_pages(0) end
for _, page in ipairs(pages) do page:free() end
assert(zone:pcp(0).count <= zone:pcp(0).high_max)
m:tick(10)
m:fold()
m:fold(1)
assert(m:check())

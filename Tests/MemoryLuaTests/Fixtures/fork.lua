-- A fork is a machine of its own.
local m = machine{ ram = "64M" }
local kept = m:alloc_pages(4)
local other = m:fork()
assert(other ~= m and other.free == m.free)

-- The same requests get the same pages.
local a, b = m:alloc_pages(0), other:alloc_pages(0)
assert(a.pfn == b.pfn and a ~= b)

-- What one does, the other does not see.
m:alloc_pages(8)
assert(m.free < other.free)
other:free_pages(kept.pfn)
assert(other:page(kept.pfn).state ~= "allocated" and kept.state == "allocated")
m.cpu = 0
other.fail_allocation = 3
assert(m.fail_allocation == 0)
other:sysctl("min_free_kbytes", 2048)
assert(m:sysctl("min_free_kbytes") ~= "2048")

-- vmstat{ since } is what happened between.
local before = m:fork()
for _ = 1, 10 do m:alloc_pages(0) end
local change = m:vmstat{ since = before, table = true }
assert(change.pgalloc_dma32 == 10, change.pgalloc_dma32)
local text = m:vmstat{ since = before }
assert(text:find("pgalloc_dma32 %+10\n"))
assert(m:vmstat{ since = m } == "")
assert(m:vmstat{ table = true }.nr_free_pages > 0)

-- A page of one is no page of the other.
assert(not pcall(m.free_pages, m, b))
assert(not pcall(other.drain, other, m:zone("DMA32")))

-- Forks of forks, and all of them sound; the original may go.
local chain = { m }
for i = 2, 8 do
  chain[i] = chain[i - 1]:fork()
  chain[i]:alloc_pages(i)
end
m, chain[1] = nil, nil
collectgarbage()
for i = 2, 8 do assert(chain[i]:check()) end

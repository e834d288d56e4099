-- Allocating and freeing: states, orders, per-CPU lists, the drain.
local m = machine{ ram = "64M" }
local free = m.free

local p = m:alloc_pages(3)
assert(p.state == "allocated" and p.order == 3 and p.block == p)
assert(p.address == p.pfn * m.page_size)
assert(p.migratetype == "Unmovable" and p.pageblock.type == "Unmovable")
assert(p.zone == m:zone("DMA32") and p.zone.name == "DMA32")
local inner = m:page(p.pfn + 5)
assert(inner.state == "allocated" and inner.block == p)
assert(inner ~= p)

p:free()
assert(p.state == "pcp")
m:drain()
assert(p.state == "free" and m.free == free)
assert(m:zone("DMA32"):pcp(0).count == 0)

-- A pfn serves as well as a page, and the order may be named.
local q = m:alloc_pages(2)
m:free_pages(q.pfn, 2)
assert(q.state ~= "allocated")

-- The last page freed is the first to be given again.
local a, b = m:alloc_pages(0), m:alloc_pages(0)
a:free()
b:free()
assert(m:alloc_pages(0) == b)
assert(m:alloc_pages(0) == a)

-- Every order, and back to where we were.
local blocks = {}
for order = 0, m.max_order do
  blocks[#blocks + 1] = assert(m:alloc_pages(order))
  assert(blocks[#blocks].order == order)
  assert(blocks[#blocks].pfn % (1 << order) == 0, "blocks are aligned to their size")
end
assert(m:check())
for _, block in ipairs(blocks) do block:free() end
m:free_pages(a)
m:free_pages(b)
m:drain()
assert(m.free == free and m:check())

-- What the machine refuses is a value.
local none, err = m:alloc_pages(m.max_order + 1)
assert(none == nil and err.errno, tostring(err))
assert(tostring(err):find(err.message, 1, true))

-- A machine that runs dry says ENOMEM, and goes on.
local held = {}
while true do
  local block, why = m:alloc_pages(6, "GFP_KERNEL|__GFP_NOWARN")
  if not block then
    assert(why.errno == "ENOMEM" and why.rule, tostring(why))
    break
  end
  held[#held + 1] = block
end
assert(#held > 100 and m:check())
for _, block in ipairs(held) do block:free() end
m:drain()
assert(m.free == free and m:check())

-- Injected failure: the second allocation from now fails, once.
m.fail_allocation = 2
assert(m:alloc_pages(0))
assert(m:alloc_pages(0) == nil)
assert(m:alloc_pages(0))
assert(m.fail_allocation == 0)

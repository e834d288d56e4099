-- Zones, pageblocks, free lists, and the texts of /proc agree with each other.
local m = machine{ ram = "1G", cma = "128M" }
m:alloc_pages(0)
m:alloc_pages(4, "GFP_HIGHUSER_MOVABLE")

-- buddyinfo, row by row, is the free lists.
for line in m:buddyinfo():gmatch("[^\n]+") do
  local node, name, counts = line:match("^Node (%d+), zone +(%S+) +(.*)$")
  local zone = m:zone(name, tonumber(node))
  local order, pages = 0, 0
  for count in counts:gmatch("%d+") do
    local listed = 0
    for _, type in ipairs{ "Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate" } do
      listed = listed + #zone:free_list(order, type, 1 << 20)
    end
    assert(listed == tonumber(count), line .. " order " .. order .. " has " .. listed)
    pages = pages + listed * (1 << order)
    order = order + 1
  end
  assert(order == 11 and pages == zone.free)
end

-- Heads of free lists are free blocks of their order.
local zone = m:zone("DMA32")
for _, pfn in ipairs(zone:free_list(10, "Movable", 5)) do
  local page = m:page(pfn)
  assert(page.state == "free" and page.order == 10 and page.migratetype == "Movable")
end
assert(#zone:free_list(10, "Movable", 5) == 5)

-- A zone's numbers.
for _, z in ipairs(m:zones()) do
  assert(z.present <= z.spanned and z.managed <= z.present and z.free <= z.managed)
  assert(z.min <= z.low and z.low <= z.high and z.high <= z.promo)
  assert(z.end_pfn - z.start_pfn == z.spanned)
  assert(#z.lowmem_reserve == 5)
  assert(type(z.below_high) == "boolean" and z.boost == 0)
  assert(tostring(z):find(z.name, 1, true))
end

-- Pageblocks: every page of one is counted once.
for pfn = zone.start_pfn, zone.end_pfn - 1, 512 * 37 do
  local block = m:pageblock(pfn)
  assert(block.pfn <= pfn and block.pfn + 512 > pfn and block.pfn % 512 == 0)
  assert(block.zone == zone)
  assert(block.free + block.pcp + block.allocated + block.reserved == 512, tostring(block))
  assert(m:pageblock(m:page(pfn)) == block)
end

-- Frame 0 is no memory of the allocator, and the hole below 1 MiB neither.
assert(m:page(0).state == "reserved" or m:page(0).state == "hole")

-- The text files have their kernel's shape.
assert(m:pagetypeinfo():find("^Page block order: 9\nPages per block:  512\n"))
assert(m:zoneinfo():find("^Node 0, zone      DMA\n"))
assert(m:vmstat():find("^nr_free_pages %d+\n"))
assert(m:trace{ last = 1 }:find("mm_page_alloc"))
m:trace{ clear = true }
assert(not m:trace():find("mm_page_alloc"))

-- The map keeps to its width, and has no escapes unless asked.
for _, columns in ipairs{ 40, 60, 100 } do
  local text = m:map{ columns = columns, legend = false }
  assert(not text:find("\27"))
  for line in text:gmatch("[^\n]+") do assert(utf8.len(line) <= columns, line) end
end
assert(m:map{ color = true }:find("\27"))
assert(#m:map{ legend = false } < #m:map())

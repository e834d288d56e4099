-- S2.3 · which orders a CPU keeps
-- The fix has two lists for huge pages. Do mTHPs of other orders have lists, and with whom does a
-- RECLAIMABLE huge page share?
-- Thread: linux-mm, June 2024, "mm/page_alloc: Separate THP PCP into movable and non-movable
-- categories". Mel Gorman's answer: "Maybe one day GFP_RECLAIMABLE will also be added to the list",
-- and multiple THP sizes.
-- Rules: P2.35, P4.42.

local m = machine{ ram = "1G", cpus = 1 }

-- Frees one block of an order and asks again: what the CPU's lists keep, it gets without zone->lock.
local function again(m, order)
  m:free_pages(m:alloc_pages(order, "GFP_KERNEL"))
  local before = m:zone("DMA32"):pcp().count
  local free = m:zone("DMA32").free
  local page = m:alloc_pages(order, "GFP_KERNEL")
  local hit = before - m:zone("DMA32"):pcp().count == 1 << order and m:zone("DMA32").free == free
  m:free_pages(page)
  return hit
end

local c = compare({ "5.13", "6.9", "6.10", "6.12" }, function(m)
  local row = {}
  for _, order in ipairs{ 0, 3, 4, 8, 9, 10 } do row["order_" .. order] = again(m, order) end
  return row
end, { start = m })
print(c)
for i = 1, #c do
  local row, name = c[i], c[i].kernel
  local old = name == "5.13"
  expect(name .. ": order 0 comes from the CPU's lists", row.order_0, true)
  expect(name .. ": order 3", row.order_3, not old)
  expect(name .. ": order 4 takes the zone's lock", row.order_4, false)
  expect(name .. ": order 8 takes it, too", row.order_8, false)
  expect(name .. ": order 9", row.order_9, not old)
  expect(name .. ": order 10 takes it, too", row.order_10, false)
end

print("-- who shares: a huge page is freed as one type, and asked for as another")
c = compare({ "6.9", "6.10", "6.12" }, function(m)
  local function shares(freed, asked)
    local page = m:alloc_pages(9, freed)
    local pfn = page.pfn
    m:free_pages(page)
    local got = m:alloc_pages(9, asked)
    local same = got.pfn == pfn
    m:free_pages(got)
    m:drain()
    return same
  end
  return {
    unmovable_reclaimable = shares("GFP_KERNEL", "GFP_KERNEL|__GFP_RECLAIMABLE"),
    movable_unmovable = shares("GFP_KERNEL|__GFP_MOVABLE", "GFP_KERNEL"),
  }
end, { start = m })
print(c)
for i = 1, 3 do
  expect(c[i].kernel .. ": RECLAIMABLE shares with UNMOVABLE", c[i].unmovable_reclaimable, true)
end
expect("6.9: one list for all", c:row("6.9").movable_unmovable, true)
expect("6.10: MOVABLE has its own", c:row("6.10").movable_unmovable, false)
expect("6.12: MOVABLE has its own", c:row("6.12").movable_unmovable, false)

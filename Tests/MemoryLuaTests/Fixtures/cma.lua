-- CMA: areas, and the rule that movable requests use them once half of what is free is CMA.
local m = machine{ ram = "1G", cma = "256M" }
local zone = m:zone("DMA32")
m:drain() -- boot leaves a few of its blocks on a per-CPU list
assert(zone.cma_pages == 65536 and zone.free_cma == 65536)

-- While less than half of the free memory is CMA, movable requests leave it alone.
local held = {}
repeat
  held[#held + 1] = assert(m:alloc_pages(9, "GFP_HIGHUSER_MOVABLE"))
until held[#held].migratetype == "CMA"
local before = zone.free - zone.free_cma
assert(zone.free_cma > zone.free / 2 - 1024, "CMA is used from about one half on")
assert(before > 60000, "and long before the rest is gone")

-- Unmovable requests never get it.
for _ = 1, 64 do assert(m:alloc_pages(9).migratetype ~= "CMA") end
-- Nor does a task that pins for long.
local pinned = m:alloc_pages(0, "GFP_HIGHUSER_MOVABLE", nil, true)
assert(pinned.migratetype ~= "CMA")
assert(m:check())

-- A list of areas, by name, size and place.
local areas = machine{ ram = "1G", cma = { { name = "a", size = "16M" },
                                           { name = "b", size = "32M", base = 0x10000 } } }
assert(areas:zone("DMA32").cma_pages == (48 << 20) // 4096)
assert(areas:pageblock(0x10000).type == "CMA")

-- A kernel without CONFIG_CMA has neither the type nor the area.
local plain = machine{ ram = "64M", config_cma = false }
assert(not plain:pagetypeinfo():find("CMA"))

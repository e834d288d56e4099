-- Settings: reading, writing, and what follows from them.
local m = machine{ ram = "1G" }
local zone = m:zone("DMA32")
local low = zone.low
assert(m:sysctl("min_free_kbytes", 16384) == "16384")
assert(zone.min > 0 and zone.low > zone.min)
local larger = zone.low
assert(m:sysctl("min_free_kbytes", "8192") == "8192", "text as one would echo it")
assert(m:sysctl("min_free_kbytes", 8192.0) == "8192", "whole floats as well")
assert(zone.low < larger)

assert(m:sysctl("watermark_scale_factor", 100) == "100")
assert(zone.high - zone.low == zone.low - zone.min)
local spread = zone.low - zone.min
m:sysctl("watermark_scale_factor", 200)
assert(zone.low - zone.min > spread)

local ratios = m:sysctl("lowmem_reserve_ratio")
local list = {}
for number in ratios:gmatch("%d+") do list[#list + 1] = math.tointeger(number) end
assert(m:sysctl("lowmem_reserve_ratio", list) == ratios, "a list of numbers")
assert(m:sysctl("lowmem_reserve_ratio", ratios) == ratios, "its own text")

m:sysctl("percpu_pagelist_high_fraction", 8)
assert(zone:pcp(0).high_max == zone:pcp(0).high_min)
m:sysctl("percpu_pagelist_high_fraction", 0)

m:thp("never")
m:thp("always")
assert(m:check())

-- S4.1 · where the memory of a guest comes from
-- A machine with half of its memory in CMA populates a guest's memfd. How much of it lands in CMA?
-- Thread: linux-mm, October 2022, "[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior". Baolin
-- Wang, 17 October: "the host can fallback to allocate some CMA pages for the guest when over half of
-- the zone's free memory is in the CMA area".
-- Rules: P2.31, P1.23.

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
local zone = m:zone("DMA32")
local function balance()
  return zone.free_cma - zone.free // 2
end
print("free CMA above half of what is free: " .. balance() .. " pages")
local vm = m:guest{ ram = "1G", backing = "memfd" }

print("-- while CMA has more than half, everything comes from CMA")
local first = balance() * 4096 // (2 << 20) * (2 << 20)
print(vm:populate(0, first))
expect("pages not in CMA", vm:resident(0, first).pages - vm:resident(0, first).cma, 0)

print("-- afterwards both sides take turns, and the balance stays")
local rest = vm:populate()
print(vm:map{ color = false })
expect("pages", rest.pages, 262144)
local batch = zone:pcp().high_max
expect("free CMA is half of what is free, give or take the CPU's pages",
       math.abs(balance()) <= 2 * batch, true)
expect("all are on the LRU lists at return", m:lru().lists[1].active_anon, 262144)
expect("and none waits in a batch", #m:lru().batches, 0)

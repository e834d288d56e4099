-- S2.1 · the endless pin
-- Half of the memory is CMA, and one per-CPU list holds the free huge pages of all types. Where does a
-- huge page move that must leave CMA?
-- Thread: linux-mm, June 2024, "mm/page_alloc: Separate THP PCP into movable and non-movable".
-- Rules: P2.35, P4.40, P4.41, P3.40.

local m = machine{ ram = "4G", cma = "2G" }
local vm = m:guest{ name = "vm0", ram = "64M" }
vm:populate()
-- Huge pages of CMA that were freed wait on the list of this CPU.
local gone = m:guest{ ram = "16M" }
gone:populate()

local c = compare({ "5.13", "6.0", "6.9", "6.10", "6.12" }, function(fork)
  fork:guest(gone.name):exit()
  return fork:guest("vm0"):pin{ longterm = true, remote = true, length = "2M", max_rounds = 200 }
end, { start = m })
print(c)
expect("the pages were in CMA", vm:resident().cma > 0, true)
for _, name in ipairs{ "5.13", "6.10", "6.12" } do
  expect(name .. ": pages pinned", c:row(name).pinned, 512)
  expect(name .. ": pages moved", c:row(name).moved, 512)
end

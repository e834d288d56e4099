-- S1.3 · a walker that tests what it finds
-- One page of 512 lies in CMA. Must all of them be pinned, looked at, unpinned and pinned again?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 2 December (#1): "Scanning the output of gup just to do the is_migrate_movable()
-- test is kind of nonsense and slow".
-- Rules: P3.40, P3.60, P8.2.

local m = machine{ ram = "1G", cma = "640M", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "2M" }
-- Pages that a long-term pin faults in lie outside CMA; page 300 comes from CMA.
vm:pin{ length = 300 * 4096, longterm = true }:unpin()
vm:touch(300 * 4096, 4096)
vm:pin{ from = 301 * 4096, longterm = true }:unpin()
m:drain_lru()
expect("pages in CMA", vm:resident().cma, 1)

local c = compare({ "6.12", kernel{ base = "6.12", gup_walker = "integrated", name = "integrated" } },
  function(fork) return fork:guest("vm0"):pin{ longterm = true } end, { start = m })
print(c)
local today, integrated = c[1], c[2]
expect("6.12: rounds", today.rounds, 2)
expect("6.12: pins taken", today.vmstat.nr_foll_pin_acquired, 1024)
expect("6.12: pins given back", today.vmstat.nr_foll_pin_released, 512)
expect("integrated: pins taken", integrated.vmstat.nr_foll_pin_acquired, 513)
expect("integrated: pins given back", integrated.vmstat.nr_foll_pin_released, 1)
expect("integrated: entries looked at again", integrated.rescan_reads, 0)
expect("both: pages pinned", today.pinned + integrated.pinned, 1024)

-- Pages that the pin itself faults in lie well, so nobody has to test them.
local fresh = compare({ kernel{ base = "6.12", gup_walker = "integrated", name = "integrated" } },
  function(fork) return fork:guest{ ram = "1M" }:pin{ longterm = true } end, { start = m })
expect("integrated: faulted pages that were tested", fresh[1].lookups, 0)
expect("integrated: pages that moved", fresh[1].moved, 0)

-- S1.22 · the test the wrong way round
-- For twelve stable releases a page that could be isolated was thought to have failed. Who noticed?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 4 December (#15): "once again try to isolate the LRU. ie it loops"; 6.1 had the
-- test of that loop wrong.
-- Rules: P3.46.

local m = machine{ ram = "1G", cma = "640M", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "4K" }
vm:populate()

local c = compare({ "6.1.0", "6.1.13" }, function(fork)
  return fork:guest("vm0"):pin{ longterm = true }
end, { start = m })
print(c)
expect("6.1.0: pins taken", c[1].vmstat.nr_foll_pin_acquired, 3)
expect("6.1.0: pins given back", c[1].vmstat.nr_foll_pin_released, 2)
expect("6.1.0: rounds, the last of which finds nothing", c[1].rounds, 3)
expect("6.1.13: rounds", c[2].rounds, 2)
expect("6.1.0: pages moved", c[1].moved, 1)
expect("6.1.13: pins taken", c[2].vmstat.nr_foll_pin_acquired, 2)
expect("6.1.13: pages moved", c[2].moved, 1)

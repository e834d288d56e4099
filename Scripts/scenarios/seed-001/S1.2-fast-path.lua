-- S1.2 · the fast walk tests pages, too
-- Something takes care of the pages that get_user_pages_fast finds, too?
-- Thread: linux-mm, December 2020, "prohibit pinning pages in ZONE_MOVABLE".
-- Rules: P3.30 to P3.32.

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
local vm = m:guest{ ram = "64K" }
-- A pin that faults pages in takes them from outside CMA, and they stay there (rule P3.62).
vm:pin{ from = 0, length = "32K", longterm = true }:unpin()
vm:touch("32K", "32K")
m:drain_lru()
print(vm:pagemap())
expect("the second half is in CMA", vm:resident("32K").cma, 8)
expect("the first is not", vm:resident(0, "32K").cma, 0)

local before = m:fork()
local p = vm:pin{ longterm = true, fast = true }
print(p)

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local d = delta(m, before)
expect("pages pinned", p.pages, 16)
expect("pages moved: those that the fast walk left", d.pgmigrate_success, 8)
expect("nr_foll_pin_acquired: 8 fast, 8 slow, 8 again", d.nr_foll_pin_acquired, 24)
expect("nr_foll_pin_released", d.nr_foll_pin_released, 8)
expect("pages in CMA now", vm:resident().cma, 0)

-- S1.2 · the fast walk tests pages, too
-- Something takes care of the pages that get_user_pages_fast finds, too?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 2 December (#1): "Also, something takes care of the gup fast path too?".
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
expect("entries that were looked at again: the 8, in two rounds", p.costs.rescan_reads, 16)

print("-- the same pages on the kernels since there is FOLL_LONGTERM")
local c = compare({ "5.2", "5.7", "5.12", "5.13", "6.12" }, function(fork)
  return fork:guest("vm0"):pin{ longterm = true, fast = true }
end, { start = before })
print(c:only{ "result", "moved", "pinned_cma", "lookups" })
for i = 1, #c do
  expect(c[i].kernel .. ": pages pinned, half of them from CMA", c[i].pinned, 16)
  expect(c[i].kernel .. ": pages that stay in CMA", c[i].pinned_cma, i == 1 and 8 or 0)
end

print("-- half of the pages in ZONE_MOVABLE, on the kernels since there is FOLL_LONGTERM")
m = machine{ ram = "1G", movablecore = "256M", thp = "never" }
vm = m:guest{ name = "vm0", ram = "64K" }
vm:pin{ from = 0, length = "32K", longterm = true }:unpin()
vm:touch("32K", "32K")
m:drain_lru()
expect("the second half is in ZONE_MOVABLE", vm:resident("32K").movable, 8)
local function fast(fork) return fork:guest("vm0"):pin{ longterm = true, fast = true } end
local names = { "5.2", "5.7", "5.10", "5.12", "5.13", "6.12" }
c = compare(names, fast, { start = m })
print(c:only{ "result", "moved", "pinned_movable", "lookups" })
for i, name in ipairs(names) do
  expect(name .. ": pages pinned", c[i].pinned, 16)
  expect(name .. ": pages that stay in ZONE_MOVABLE", c[i].pinned_movable, i <= 4 and 8 or 0)
end

-- S1.1 · a long-term pin moves pages out of CMA
-- Does a long-term pin leave its pages in a CMA area, where a later cma_alloc would find them in
-- the way?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Pasha Tatashin, 2 December (the patch): "if pages were already allocated before pinning they need to
-- migrated to a different zone".
-- Rules: P3.40 to P3.42, P1.6.

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
local vm = m:guest{ ram = "256K" }
print(vm:populate())
expect("pages in CMA before", vm:resident().cma, 64)
print(m:why(vm:page(0)))

local before = m:fork()
local p = vm:pin{ longterm = true }
print(p)

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local d = delta(m, before)
expect("pages pinned", p.pages, 64)
expect("rounds", p.rounds, 2)
expect("pages in CMA now", vm:resident().cma, 0)
expect("pgmigrate_success", d.pgmigrate_success, 64)
expect("nr_foll_pin_acquired: the failed round counts, too", d.nr_foll_pin_acquired, 128)
expect("nr_foll_pin_released", d.nr_foll_pin_released, 64)
expect("6.12 calls the reason", m:trace():match("reason=(%S+)"), "longterm_pin")
expect("the state is sound", m:check(), true)

print("-- 5.10 moves them as well, and calls the reason otherwise")
local old = before
old:kernel("5.10")
local moved = old:fork()
print(old:guest("vm0"):pin{ longterm = true })
expect("pgmigrate_success", delta(old, moved).pgmigrate_success, 64)
expect("pages in CMA now", old:guest("vm0"):resident().cma, 0)
expect("5.10 calls the reason", old:trace():match(".*reason=(%S+)"), "contig_range")

-- S1.19 · touched before, or faulted in by the pin
-- Does it matter whether the guest touched its memory before the device driver pins it?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Daniel Jordan, 8 December (#21): "The usual situation on my side is that the pages are faulted in
-- during pinning".
-- Rules: P2.33, P3.22, P3.42.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local function run(touched)
  local m = machine{ ram = "2G", cma = "1200M" }
  local vm = m:guest{ ram = "8M" }
  if touched then print(vm:write()) end
  local before = m:fork()
  local p = vm:pin{ longterm = true }
  print(p)
  expect("pages in CMA now", vm:resident().cma, 0)
  return delta(m, before)
end

print("-- not touched: the faults of the pin take no movable memory")
local d = run(false)
expect("thp_fault_alloc", d.thp_fault_alloc, 4)
expect("pgmigrate_success", d.pgmigrate_success, 0)

print("-- touched: the pages are in CMA, and move")
d = run(true)
expect("thp_fault_alloc", d.thp_fault_alloc, 0)
expect("pgmigrate_success", d.pgmigrate_success, 2048)
expect("thp_migration_success", d.thp_migration_success, 4)

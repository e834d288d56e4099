-- S5.7 · the others move all the same
-- Three huge pages in CMA are pinned in one call, and somebody holds the middle one. What became
-- of the others when the call has failed?
-- Thread: Linux 6.12 itself; a recorded kernel did the same.
-- Rules: P3.42, P4.2.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local m = machine{ ram = "2G", cma = "1200M" }
local vm = m:guest{ ram = "6M" }
vm:write()
expect("pages in CMA", vm:resident().cma, 1536)
local held = m:temp_ref(vm:page("2M"), "a scanner")

local before = m:fork()
local p, err = vm:pin{ longterm = true }
print(p, err)
local d = delta(m, before)
expect("the error", err.errno, "ENOMEM")
expect("pgmigrate_success", d.pgmigrate_success, 1024)
expect("pgmigrate_fail", d.pgmigrate_fail, 512)
expect("thp_migration_success", d.thp_migration_success, 2)
expect("thp_migration_fail", d.thp_migration_fail, 1)
expect("pages in CMA now: the middle one", vm:resident().cma, 512)
expect("pins that are left", #m:pins(), 0)
print(vm:map{ color = false })

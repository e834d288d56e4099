-- S5.8 · a held hugetlb page beside a huge page
-- hugetlb pages go first when a list is migrated. Does a held one keep a huge page from moving?
-- Thread: Linux 6.12 itself; a recorded kernel did the same.
-- Rules: P4.15, P3.42.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local m = machine{ ram = "2G", movablecore = "1200M" }
m:hugepages{ count = 400 }
local vm = m:guest{ ram = "2M", backing = "hugetlb" }
local result, refusal = vm:write()
print(result, refusal)
local address = vm:mmap{ length = "2M" }
vm:write(address, "2M")
expect("both are in ZONE_MOVABLE", vm:resident().movable + vm:resident(address).movable, 1024)
expect("they lie side by side", address, vm.base + vm.ram)
local held = m:temp_ref(vm:page(0), "a scanner")

local before = m:fork()
local p, err = vm:pin{ length = "4M", longterm = true }
print(p, err)
local d = delta(m, before)
expect("the error", err.errno, "ENOMEM")
expect("pgmigrate_success", d.pgmigrate_success, 512)
expect("pgmigrate_fail", d.pgmigrate_fail, 512)
expect("thp_migration_success", d.thp_migration_success, 1)
expect("thp_migration_fail", d.thp_migration_fail, 0)
expect("the huge page has moved all the same", vm:resident(address).movable, 0)
expect("the page of hugetlbfs has not", vm:resident().movable, 512)

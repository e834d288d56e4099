-- S4.2 · a reference that comes and goes
-- One reference for a moment, of whoever walks over all pages, makes a pin fail: is it tried
-- again?
-- Thread: linux-mm, October 2022, "[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior". Baolin
-- Wang, 17 October: "The reason of migration failure may be temporary reference count or memory
-- allocation failure".
-- Rules: P4.2, P4.6, P3.42.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
local vm = m:guest{ ram = "4K", backing = "memfd" }
vm:populate()
expect("the page is in CMA", vm:resident().cma, 1)
local held <const> = m:temp_ref(vm:page(0), "a scanner")

print("-- held all the time")
local start = m:fork()
local p, err = vm:pin{ longterm = true }
print(p, err)
expect("the error", err.errno, "ENOMEM")
expect("pgmigrate_fail", delta(m, start).pgmigrate_fail, 1)
held:release()

print("-- let go after the first attempt")
m, vm = start, start:guest("vm0")
local again = m:temp_ref(vm:page(0), "another scanner")
for _, reference in ipairs(m:temp_refs()) do
  if reference.holder == "a scanner" then reference:release() end
end
local before, tries = m:fork(), 0
p = vm:pin{ longterm = true, watch = function(step)
  if step == "m6" then tries = tries + 1 end
  if step == "m6" and tries == 2 then again:release() end
end }
print(p)
expect("pages pinned", p.pages, 1)
expect("pgmigrate_success", delta(m, before).pgmigrate_success, 1)
expect("pgmigrate_fail", delta(m, before).pgmigrate_fail, 0)

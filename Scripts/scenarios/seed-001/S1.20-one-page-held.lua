-- S1.20 · one page that cannot move
-- 64 pages in CMA are pinned, and somebody holds page 3. Is it pinned where it is, or is the pin
-- refused?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Pasha Tatashin, 2 December (the patch): migrate_allow is false after a failure.
-- Rules: P3.42, P3.50, P4.6.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
local vm = m:guest{ ram = "256K" }
vm:populate()
local held <const> = m:temp_ref(vm:page(3 * 4096), "a scanner")
print(m:why(vm:page(3 * 4096)))

local before = m:fork()
local p, err = vm:pin{ longterm = true }
print(p, err)
local d = delta(m, before)
expect("the error", err.errno, "ENOMEM")
expect("folios that did not move", #err.stuck, 1)
expect("which one", err.stuck[1], vm:page(3 * 4096).pfn)
expect("pages moved", d.pgmigrate_success, 63)
expect("pgmigrate_fail", d.pgmigrate_fail, 1)
expect("pages in CMA now", vm:resident().cma, 1)
expect("pins that are left", #m:pins(), 0)

held:release()
before = m:fork()
p = vm:pin{ longterm = true }
print(p)
expect("pages pinned", p.pages, 64)
expect("pages moved", delta(m, before).pgmigrate_success, 1)
expect("the state is sound", m:check(), true)

print("-- the same on older kernels: migrate_allow")
m = machine{ ram = "2G", cma = "1200M", thp = "never" }
m:guest{ ram = "256K" }:populate()
local scanner <const> = m:temp_ref(m:guest("vm0"):page(3 * 4096), "a scanner")
local names = { "5.1", "5.10", "RFC2020-OR", "5.12.5", "5.13", "6.12" }
local c = compare(names, function(fork)
  return fork:guest("vm0"):pin{ longterm = true }
end, { start = m })
print(c:only{ "result", "errno", "moved", "failed", "pinned", "pinned_cma" })
for i, name in ipairs(names) do
  expect(name .. ": pages moved", c[i].moved, 63)
  expect(name .. ": pages pinned", c[i].pinned, i <= 3 and 64 or 0)
  expect(name .. ": pages pinned in CMA", c[i].pinned_cma, i <= 3 and 1 or 0)
  expect(name .. ": its errno", c[i].errno, i > 3 and "ENOMEM" or nil)
end

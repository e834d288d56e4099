-- S1.15 · does pinning one page break a huge page?
-- Page 100 of a huge page in CMA is pinned. Does the huge page move as one, or is it broken up?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Pasha Tatashin, 4 December (#18): "pinning a small page at a time and migrating a small page at a
-- time can break-up the huge pages".
-- Rules: P3.41, P4.8, P4.9.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

-- Uses up every free block of 2 MiB and more outside CMA, but leaves single pages: of pairs of
-- 1 MiB blocks one is freed, so that no two can merge.
local function scarce(m)
  local small = {}
  for i = 1, 512 do small[i] = m:alloc_pages(8) end
  local function take()
    for order = 10, 9, -1 do
      while m:alloc_pages(order) do end
    end
  end
  take()
  for i = 1, #small, 2 do small[i]:free() end
  m:drain()
  take()
end

print("-- with free blocks of 2 MiB")
local m = machine{ ram = "2G", cma = "1200M" }
local vm = m:guest{ ram = "2M" }
vm:write()
expect("pages in CMA", vm:resident().cma, 512)
local before = m:fork()
local p = vm:pin{ from = 100 * 4096, length = "4K", longterm = true }
print(p)
local d = delta(m, before)
expect("pgmigrate_success", d.pgmigrate_success, 512)
expect("thp_migration_success", d.thp_migration_success, 1)
expect("it is still one leaf", vm:resident().huge, 512)
expect("pins of the folio", p:page(1).folio.pincount, 1)

print("-- without")
m, vm = before, before:guest("vm0")
scarce(m)
before = m:fork()
p = vm:pin{ from = 100 * 4096, length = "4K", longterm = true }
print(p)
d = delta(m, before)
expect("thp_migration_success", d.thp_migration_success, 0)
expect("thp_migration_split", d.thp_migration_split, 1)
expect("pgmigrate_success", d.pgmigrate_success, 512)
expect("page 100 is a page of its own", p:page(1).order, 0)
expect("the state is sound", m:check(), true)

print("-- and before: powerpc's 4.9 leaves compound pages where they are")
m = machine{ ram = "2G", cma = "1200M" }
m:guest{ ram = "2M" }:write()
local c = compare({ "4.9ppc", "5.1", "5.13", "6.12" }, function(fork)
  local vm = fork:guest("vm0")
  if fork:kernel().name == "4.9ppc" then
    vm:spapr():map{ from = 100 * 4096, length = "4K" }
  else
    vm:pin{ from = 100 * 4096, length = "4K", longterm = true }
  end
  return { huge = vm:resident().huge }
end, { start = m })
print(c:only{ "moved", "thp_moved", "split", "pinned_cma", "huge" })
expect("4.9ppc: pages moved", c:row("4.9ppc").moved, 0)
expect("4.9ppc: the page stays in CMA", c:row("4.9ppc").pinned_cma, 1)
for _, name in ipairs{ "5.1", "5.13", "6.12" } do
  expect(name .. ": the huge page moves whole", c:row(name).thp_moved, 1)
  expect(name .. ": pages pinned in CMA", c:row(name).pinned_cma, 0)
end
for i = 1, 4 do expect(c[i].kernel .. ": it stays a huge page", c[i].huge, 512) end

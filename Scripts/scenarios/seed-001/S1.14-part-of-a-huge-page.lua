-- S1.14 · one foreign page inside a huge page
-- A check that steps over whole compound pages never looks at a page that stands in the middle of
-- one. Does 6.12 see it?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 4 December (#19): "there is no guarentee that just because you see a compound head
-- that the remaining pages in the page tables are actually the tail pages".
-- Rules: P2.24, P3.41, P3.44, P4.9.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

print("-- a huge page outside CMA, with page 10 replaced by one in CMA")
local m = machine{ ram = "2G", cma = "1200M" }
local vm = m:guest{ ram = "2M" }
vm:pin{ longterm = true }:unpin()
expect("pages in one leaf", vm:resident().huge, 512)
vm:madvise("dontneed", 10 * 4096, "4K")
vm:write(10 * 4096, "4K")
m:drain_lru()
expect("pages in CMA", vm:resident().cma, 1)
local before = m:fork()
local p = vm:pin{ longterm = true }
print(p)
expect("pages pinned", p.pages, 512)
expect("pages moved", delta(m, before).pgmigrate_success, 1)
expect("pages in CMA now", vm:resident().cma, 0)

print("-- the huge page itself in CMA")
m = machine{ ram = "2G", cma = "1200M" }
vm = m:guest{ ram = "2M" }
vm:write()
expect("pages in CMA", vm:resident().cma, 512)
vm:madvise("dontneed", 10 * 4096, "4K")
vm:write(10 * 4096, "4K")
m:drain_lru()
before = m:fork()
p = vm:pin{ longterm = true }
print(p)
local d = delta(m, before)
expect("pages moved: 512 of the huge page, and page 10", d.pgmigrate_success, 513)
expect("thp_migration_fail", d.thp_migration_fail, 1)
expect("thp_migration_split", d.thp_migration_split, 1)
expect("thp_split_page", d.thp_split_page, 1)
expect("page 0 is a page of its own", m:folio(vm:page(0)).order, 0)

print("-- after a fork: a write pin copies what the child shares, nothing is migrated")
m = machine{ ram = "2G", cma = "1200M" }
vm = m:guest{ ram = "2M" }
vm:write()
local child = vm:fork()
vm:write(10 * 4096, "4K")
before = m:fork()
p = vm:pin{ longterm = true }
print(p)
d = delta(m, before)
expect("pages pinned", p.pages, 512)
expect("pages in CMA now", vm:resident().cma, 0)
expect("the child keeps the huge page", child:resident().cma, 512)

print("-- the kernels that step over the rest of a compound page never see page 10")
m = machine{ ram = "2G", cma = "1200M" }
vm = m:guest{ ram = "2M" }
vm:pin{ longterm = true }:unpin()
vm:madvise("dontneed", 10 * 4096, "4K")
vm:write(10 * 4096, "4K")
m:drain_lru()
local names = { "5.2", "5.3", "5.7", "5.10", "5.13", "6.12" }
local c = compare(names, function(fork) return fork:guest("vm0"):pin{ longterm = true } end, { start = m })
print(c:only{ "result", "moved", "pinned", "pinned_cma", "lookups" })
for i, name in ipairs(names) do
  local blind = i >= 2 and i <= 4
  expect(name .. ": pages pinned", c[i].pinned, 512)
  expect(name .. ": pages pinned in CMA", c[i].pinned_cma, blind and 1 or 0)
end

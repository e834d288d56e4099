-- S4.5 · a held huge page
-- thp_migration_fail 1 and thp_split_page_failed 1 was reported: what does 6.12 count when a huge
-- page in CMA is held and there is no free block of 2 MiB?
-- Thread: linux-mm, October 2022, "[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior". Baolin
-- Wang, 17 October: "the 'thp_migration_fail' count is 1 and the 'thp_split_page_failed' count is also
-- 1".
-- Rules: P4.8 to P4.11, P4.20.

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

local m = machine{ ram = "2G", cma = "1200M" }
local vm = m:guest{ ram = "2M" }
vm:write()
expect("pages in CMA", vm:resident().cma, 512)
scarce(m)
local held <const> = m:temp_ref(vm:page(0), "drop_caches")
print(m:why(vm:page(0)))

local start = m:fork()
local p, err = vm:pin{ longterm = true }
print(p, err)
local d = delta(m, start)
expect("the error", err.errno, "ENOMEM")
expect("thp_migration_fail", d.thp_migration_fail, 1)
expect("thp_split_page_failed", d.thp_split_page_failed, 10)
expect("pgmigrate_fail", d.pgmigrate_fail, 512)
expect("it is still one folio", m:folio(vm:page(0)).order, 9)

print("-- let go after the fourth attempt to split it")
m, vm = start, start:guest("vm0")
local reference = m:temp_refs()[1]
local before = m:fork()
p = vm:pin{ longterm = true, watch = function()
  if reference and delta(m, before).thp_split_page_failed >= 4 then
    reference:release()
    reference = nil
  end
end }
print(p)
expect("pages pinned", p.pages, 512)
expect("thp_split_page_failed", delta(m, before).thp_split_page_failed, 4)
expect("pages in CMA now", vm:resident().cma, 0)

print("-- what was reported: 6.1 tried to split it once")
m = machine{ ram = "2G", cma = "1200M" }
m:guest{ ram = "2M" }:write()
scarce(m)
local reported <const> = m:temp_ref(m:guest("vm0"):page(0), "drop_caches")
local c = compare({ "6.1.13", "6.2", "6.12" }, function(fork)
  local before = fork:fork()
  local p, err = fork:guest("vm0"):pin{ longterm = true }
  local d = delta(fork, before)
  return { error = err and err.errno, split_failed = d.thp_split_page_failed }
end, { start = m })
print(c:only{ "error", "thp_failed", "split_failed", "failed" })
for i = 1, 3 do
  expect(c[i].kernel .. ": the error", c[i].error, "ENOMEM")
  expect(c[i].kernel .. ": thp_migration_fail", c[i].thp_failed, 1)
end
expect("6.1: thp_split_page_failed", c:row("6.1.13").split_failed, 1)
expect("6.2: thp_split_page_failed", c:row("6.2").split_failed, 10)
expect("6.12: thp_split_page_failed", c:row("6.12").split_failed, 10)

-- S4.6 · drop_caches
-- Somebody writes to drop_caches while dirty shmem pages wait to be pinned. What do the references that it
-- leaves behind do to the pin?
-- Thread: linux-mm, October 2022, "[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior". Baolin
-- Wang, 17 October: "the temporary reference count can be caused by dropping page caches".
-- Rules: P9.30, P9.31, P1.27, P3.45.

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
local vm = m:guest{ name = "vm0", ram = 16 * 4096, backing = "memfd" }
vm:populate()
m:drain_lru()
expect("pages in CMA", vm:resident().cma, 16)
local dropped = m:drop_caches(1)
expect("dirty shmem is not dropped", vm:resident().pages, 16)
expect("pages that drop_caches kept", dropped.kept, 16)
print(m:why(vm:page(0)))
local more = 0
for page = 0, 15 do more = more + vm:page(page * 4096).folio.ref - 2 end
expect("each has one reference more, of the lru_deactivate_file batch", more, 16)
local drained = m:fork()
drained:drain_lru()
expect("after a drain it has not", drained:guest("vm0"):page(0).folio.ref, 2)

local before = m:fork()
local pin = vm:pin{ longterm = true }
print(pin)
local d = m:vmstat{ since = before, table = true }
expect("6.12 drains the batches and pins", pin.pages, 16)
expect("pages moved", d.pgmigrate_success, 16)
expect("pages that did not move", d.pgmigrate_fail, 0)
expect("the state is sound", m:check(), true)

print("-- kernels that drain only for a page without the LRU flag do not see these references")
local start = machine{ ram = "2G", cma = "1200M", thp = "never" }
start:guest{ name = "vm0", ram = 8 * 4096, backing = "memfd" }:populate()
start:drain_lru()
local c = compare({ "5.10", "5.13", "6.1.13", "6.9", "6.12" }, function(fork)
  fork:drop_caches(1)
  return fork:guest("vm0"):pin{ longterm = true }
end, { start = start })
print(c:only{ "result", "errno", "moved", "failed", "pinned", "pinned_cma" })
expect("5.10: all are pinned where they are", c:row("5.10").pinned_cma, 8)
for _, name in ipairs{ "5.13", "6.1.13", "6.9" } do
  expect(name .. ": its errno", c:row(name).errno, "ENOMEM")
  expect(name .. ": pages pinned", c:row(name).pinned, 0)
end
expect("6.12: pages pinned", c:row("6.12").pinned, 8)
expect("6.12: pages moved", c:row("6.12").moved, 8)

print("-- a huge page of shmem that has to be split while drop_caches looks at it")
m = machine{ ram = "256M", cma = "128M", cpus = 2 }
m:thp("always")
vm = m:guest{ name = "vm0", ram = "2M", backing = "memfd", shmem_thp = "force" }
vm:write()
m:drain_lru()
expect("it lies in CMA", vm:resident().cma, 512)
expect("it is one folio", vm:page(0).folio.order, 9)
-- No block of 2 MiB is left outside CMA, but single pages are.
local small = {}
for i = 1, 64 do small[i] = m:alloc_pages(8, "GFP_NOWAIT") end
while m:alloc_pages(9, "GFP_NOWAIT") do end
for i = 1, #small, 2 do small[i]:free() end
m:drain()
while m:alloc_pages(9, "GFP_NOWAIT") do end

-- drop_caches stops with its reference taken; the pin meets it at every attempt.
for _, name in ipairs{ "6.1.13", "6.12" } do
  local f = m:fork()
  f:kernel(name)
  local before = f:vmstat{ table = true }
  local dropping = step(function() f:drop_caches(1) end)
  dropping:to("folio_batch_release")
  print(dropping:where().text)
  local guest = f:guest("vm0")
  local p, err
  local pinning = step(function() p, err = guest:pin{ longterm = true } end)
  pinning:run()
  dropping:run()
  local after = f:vmstat{ table = true }
  local function delta(counter) return after[counter] - before[counter] end
  print(p, err)
  expect(name .. ": the pin", err and err.errno, "ENOMEM")
  expect(name .. ": splits that failed (EAGAIN)", delta("thp_split_page_failed"), name == "6.12" and 10 or 1)
  expect(name .. ": the shmem is still there", guest:resident().pages, 512)
  expect(name .. ": afterwards the pin succeeds", guest:pin{ longterm = true }.pages, 512)
  expect(name .. ": the state is sound", f:check(), true)
end

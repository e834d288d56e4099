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
print(m:why(vm:page(0)))

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

-- S4.3 · MADV_NOMOVABLE
-- A proposed advice keeps faults of an area out of CMA and ZONE_MOVABLE. When does it spare the pin any
-- moves?
-- Thread: linux-mm, October 2022, "[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior". Baolin
-- Wang, 17 October (the patch), and David Hildenbrand: "it will gets et after all memory already was
-- allocated".
-- Rules: P9.20, P9.21, P9.23.

local proposed = kernel{ base = "6.12", madv_nomovable = true }
local size = 256 * 4096
local function fresh()
  return machine{ ram = "2G", cma = "1200M", thp = "never", kernel = proposed }
end

-- Pins a range for long, and says how many pages had to move.
local function moved_by_pin(m, vm, from)
  m:drain_lru()
  local before = m:fork()
  local pin = assert(vm:pin{ from = from, length = size, longterm = true })
  print(pin)
  return m:vmstat{ since = before, table = true }.pgmigrate_success
end

print("-- 6.12 as it is does not know the advice")
local plain = machine{ ram = "64M" }:guest{ ram = "1M" }
local ok, err = plain:madvise("nomovable")
print(ok, err)
expect("6.12 as it is: madvise", err.errno, "EINVAL")

print("-- (a) MAP_POPULATE, then the advice: too late")
local m = fresh()
local vm = m:guest{ ram = "4K" }
local at = vm:mmap{ length = size, populate = true }
expect("(a) madvise", vm:madvise("nomovable", at, size), true)
expect("(a) pages in CMA", vm:resident(at, size).cma, 256)
expect("(a) moved by the pin", moved_by_pin(m, vm, at), 256)

print("-- (b) the advice, then MADV_POPULATE_WRITE: nothing moves")
m = fresh()
vm = m:guest{ ram = "4K" }
at = vm:mmap{ length = size }
vm:madvise("nomovable", at, size)
vm:madvise("populate_write", at, size)
local advised = m:fork()
expect("(b) pages in CMA", vm:resident(at, size).cma, 0)
expect("(b) moved by the pin", moved_by_pin(m, vm, at), 0)

print("-- (c) a memfd that another mapping filled")
m = fresh()
vm = m:guest{ ram = size, backing = "memfd" }
at = vm:mmap{ length = size, of = 0 }
vm:madvise("nomovable", at, size)
vm:touch(0, size)
vm:madvise("populate_write", at, size)
expect("(c) pages in CMA", vm:resident(at, size).cma, 256)
expect("(c) moved by the pin", moved_by_pin(m, vm, at), 256)

print("-- (d) as b, but compaction moves five pages meanwhile, and knows nothing of the advice")
m = advised
vm = m:guests()[1]
at = vm:vmas()[2].address
m:drain()
m:drain_lru()
expect("(d) pages that compaction moved", vm:migrate(at, 5 * 4096).moved, 5)
expect("(d) pages in CMA", vm:resident(at, size).cma, 5)
expect("(d) moved by the pin", moved_by_pin(m, vm, at), 5)
expect("the state is sound", m:check(), true)

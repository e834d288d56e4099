-- S4.7 · a parameter that disables borrowing from CMA
-- If nobody may borrow CMA pages, no pin ever has to move one. What does that cost, and what does it
-- leave unsolved?
-- Thread: linux-mm, October 2022, "[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior". David
-- Hildenbrand, 17 October: "a kernel parameter that would disable allocating from CMA areas
-- completely".
-- Rules: P9.24.

local m = machine{
  ram = "4G", cma = "2G", thp = "never", kernel = kernel{ base = "6.12", cma_disable_borrow = true },
}
local area = m:cma()
local vm = m:guest{ name = "vm0", ram = "1G" }
vm:populate()
expect("pages in CMA", vm:resident().cma, 0)
local before = m:fork()
local pin = vm:pin{ longterm = true }
print(pin)
expect("moved by the pin", m:vmstat{ since = before, table = true }.pgmigrate_success, 0)

print("-- 3 GiB do not fit beside 2 GiB that nobody may use")
local big = m:fork()
local other = big:guest{ name = "vm1", ram = "2G" }
local done, err = other:populate()
print(done, err)
local resident = #big:guests() == 2 and other:resident().pages or 0
expect("it does not get its memory", resident < 2 * 262144, true)
print(big:dmesg())
expect("somebody is killed instead", big:vmstat{ table = true }.oom_kill >= 1, true)
expect("nothing lies in CMA", big:cma_alloc(area.pages).pages, area.pages)

print("-- the device gets the area without a move")
local buffer = m:cma_alloc(area.pages)
print(buffer)
expect("moved for the device", m:vmstat{ since = before, table = true }.pgmigrate_success, 0)

print("-- ZONE_MOVABLE is another matter: its pages must still move")
m = machine{
  ram = "4G", movablecore = "1G", thp = "never", kernel = kernel{ base = "6.12", cma_disable_borrow = true },
}
vm = m:guest{ ram = "1M" }
vm:populate()
m:drain_lru()
before = m:fork()
vm:pin{ longterm = true }
expect("moved by the pin out of ZONE_MOVABLE", m:vmstat{ since = before, table = true }.pgmigrate_success, 256)
expect("the state is sound", m:check() and big:check(), true)

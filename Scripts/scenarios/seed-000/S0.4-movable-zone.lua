-- S0.4 · memory that was meant to be removed
-- A guest's page lies in ZONE_MOVABLE and is pinned for a device. Can its memory block still go
-- offline?
-- Thread: linux-mm and kvm-ppc, 2018, "mm: Get a page reference and migrate pages out of CMA".
-- Rules: P3.1, P6.3, P6.6.

local m = machine{ ram = "4G", movablecore = "1G", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "4K" }
vm:populate()
m:drain_lru()
local page = vm:page(0)
expect("the page's zone", page.zone.name, "Movable")
local size = m:memory_blocks()[1].pages
local block = page.pfn // size

print("-- a pin that nobody checks, as all were for ZONE_MOVABLE before 5.13")
local old = m:fork()
local short = old:guest("vm0"):pin{ from = 0, length = "4K" }
print(short)
local ok, err = old:offline(block, 100)
print(ok, err)
expect("offline goes round until a signal", err.errno, "EINTR")
expect("because of one holder", #err.blockers, 1)
expect("the pin", err.blockers[1].pin, short.id)
expect("the page is where it was", old:guest("vm0"):page(0).pfn, page.pfn)
expect("the state is sound", old:check(), true)

print("-- 6.12 moves the page to a kernel zone first")
local before = m:fork()
local pin = vm:pin{ longterm = true }
print(pin)
expect("moved", m:vmstat{ since = before, table = true }.pgmigrate_success, 1)
expect("out of ZONE_MOVABLE", vm:page(0).zone.name ~= "Movable", true)
expect("the block goes offline", m:offline(block), true)
print(m:map{ color = false, legend = false })
expect("the state is sound", m:check(), true)

-- S5.3 · blocks that do not go offline
-- Can a memory block with a CMA area in it go offline? And one in ZONE_MOVABLE, of which somebody holds
-- a page?
-- Thread: measured on 6.12.117 for this rule book.
-- Rules: P6.1, P6.2, P6.3.

local m = machine{ ram = "1400M", cma = "256M", thp = "never" }
local block = m:cma().base // m:memory_blocks()[1].pages
local ok, err = m:offline(block)
print(ok, err)
expect("with CMA in it", err.errno, "EBUSY")
expect("in the way", err.blockers[1].by:match("CMA") ~= nil, true)
expect("nothing is isolated", m:pageblock(m:cma().base).type, "CMA")

m = machine{ ram = "4G", movablecore = "1G", thp = "never" }
local vm = m:guest{ ram = "100M" }
vm:populate()
m:drain_lru()
local held = m:temp_ref(vm:page(0), "a pipe")
block = vm:page(0).pfn // m:memory_blocks()[1].pages
local before = m:fork()
ok, err = m:offline(block, 50)
print(ok, err)
local d = m:vmstat{ since = before, table = true }
expect("with a held page", err.errno, "EINTR")
expect("the page fails once a round", d.pgmigrate_fail, 50)
print(m:map{ color = false, legend = false })
held:release()
expect("without the reference", m:offline(block), true)
expect("the state is sound", m:check(), true)

-- S1.18 · one walk for a huge page
-- What does it save to take a huge page at once instead of page by page?
-- Thread: linux-mm, December 2020, "prohibit pinning pages in ZONE_MOVABLE".
-- Rules: P3.21, P3.80, P8.1, P8.2.

local m = machine{ ram = "1G" }
local vm = m:guest{ ram = "4M" }
vm:write()
expect("pages in leaves of 2 MiB", vm:resident().huge, 1024)

local slow = vm:pin{}
print(slow)
expect("walks", slow.costs.walks, 2)
expect("entry reads", slow.costs.entry_reads, 8)
expect("atomic operations", slow.costs.pin_atomics, 8)
print("estimate: " .. slow.ns .. " ns")
slow:unpin()

local fast = vm:pin{ fast = true }
print(fast)
expect("atomic operations of the fast walk", fast.costs.pin_atomics, 4)
expect("entry reads of the fast walk: 4 of leaves, 2 above", fast.costs.entry_reads, 6)
print("estimate: " .. fast.ns .. " ns")

-- S1.18 · one walk for a huge page
-- What does it save to take a huge page at once instead of page by page?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 4 December (#19): "gup fast does this already, look at record_subpages() gup slow
-- needs it too".
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
fast:unpin()

print("-- who takes and gives back how much, by kernel")
local c = compare({ "5.10", "5.13", "6.1", "6.6", "6.12" }, function(fork)
  local costs = fork:guest("vm0"):pin{}.costs
  local unmapped = fork:guest("vm0"):rdma():map{}:unmap()
  return {
    walks = costs.walks, entry_reads = costs.entry_reads, pin_atomics = costs.pin_atomics,
    given_back = unmapped.unpin_atomics,
  }
end, { start = m })
print(c:only{ "walks", "entry_reads", "pin_atomics", "given_back" })
expect("6.1: walks", c:row("6.1").walks, 1024)
expect("6.1: entry reads", c:row("6.1").entry_reads, 4096)
expect("6.1: atomic operations", c:row("6.1").pin_atomics, 2048)
expect("6.12: walks", c:row("6.12").walks, 2)
expect("6.12: entry reads", c:row("6.12").entry_reads, 8)
expect("6.12: atomic operations", c:row("6.12").pin_atomics, 8)
expect("5.10: atomic operations of the unpin", c:row("5.10").given_back, 2048)
for _, name in ipairs{ "5.13", "6.1", "6.6", "6.12" } do
  expect(name .. ": atomic operations of the unpin", c:row(name).given_back, 4)
end

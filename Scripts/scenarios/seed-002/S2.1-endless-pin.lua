-- S2.1 · the endless pin
-- Half of the memory is CMA, and one per-CPU list holds the free huge pages of all types. Where does a
-- huge page move that must leave CMA?
-- Thread: linux-mm, June 2024, "mm/page_alloc: Separate THP PCP into movable and non-movable
-- categories". yangge, 19 June: "endless loops in this function".
-- Rules: P2.35, P4.40, P4.41, P3.40.

local m = machine{ ram = "1G", cma = "640M" }
local vm = m:guest{ name = "vm0", ram = "64M" }
vm:populate()
-- Huge pages of CMA that were freed wait on the list of this CPU.
local gone = m:guest{ ram = "16M" }
gone:populate()

local c = compare({ "5.13", "6.0", "6.9", "6.10", "6.12" }, function(fork)
  fork:guest(gone.name):exit()
  local p, err = fork:guest("vm0"):pin{ longterm = true, remote = true, length = "2M", max_rounds = 200 }
  if err and err.livelock then print(fork:kernel().name, err.message) end
  return p, err
end, { start = m })
print(c)
expect("the pages were in CMA", vm:resident().cma > 0, true)
expect("6.0: it was killed after 200 rounds", c:row("6.0").errno, "EINTR")
expect("6.0: a livelock", c:row("6.0").livelock, true)
expect("6.0: huge pages moved, one a round", c:row("6.0").thp_moved, 200)
expect("6.0: pages that failed to move", c:row("6.0").failed, 0)
expect("6.0: where its page is now", c:row("6.0").in_cma, vm.ram // 4096)
expect("6.9: another defect comes first (S1.21)", c:row("6.9").errno, "EFAULT")
for _, name in ipairs{ "5.13", "6.10", "6.12" } do
  expect(name .. ": pages pinned", c:row(name).pinned, 512)
  expect(name .. ": pages moved", c:row(name).moved, 512)
end

-- One page of it alone is taken without the look at the rest of the leaf.
local one = compare({ "6.9", "6.10" }, function(fork)
  fork:guest(gone.name):exit()
  return fork:guest("vm0"):pin{ longterm = true, remote = true, length = "4K", max_rounds = 200 }
end, { start = m })
print(one)
expect("6.9: a livelock", one[1].livelock, true)
expect("6.10: pages pinned", one[2].pinned, 1)

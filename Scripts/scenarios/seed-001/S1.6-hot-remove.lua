-- S1.6 · hot-remove is not working
-- A device holds 1000 pages of ZONE_MOVABLE, and their memory block goes offline. Does it ever?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Pasha Tatashin, 3 December (#2): "The current series fixes a bug where hot-remove is not working".
-- Rules: P6.2, P6.3, P6.6.

local m = machine{ ram = "4G", movablecore = "1G", thp = "never" }
local vm = m:guest{ name = "vm0", ram = 1000 * 4096 }
vm:populate()
expect("pages in ZONE_MOVABLE", vm:resident().movable, 1000)
local block = vm:page(0).pfn // m:memory_blocks()[1].pages

local c = compare({ "5.10", "5.12.5", "5.13", "6.12" }, function(fork)
  local region = fork:guest("vm0"):rdma():map{}
  -- The patience of the user: a signal after 5 rounds.
  local ok, err = fork:offline(block, 5)
  return { calls = region.calls, offline = ok and "yes" or err.errno }
end, { start = m })
print(c)
for i = 1, #c do expect(c[i].kernel .. ": pages pinned", c[i].pinned, 1000) end
for _, name in ipairs{ "5.10", "5.12.5" } do
  expect(name .. ": offline", c:row(name).offline, "EINTR")
  expect(name .. ": pages pinned in ZONE_MOVABLE", c:row(name).pinned_movable, 1000)
end
for _, name in ipairs{ "5.13", "6.12" } do
  expect(name .. ": offline", c:row(name).offline, "yes")
  expect(name .. ": pages pinned in ZONE_MOVABLE", c:row(name).pinned_movable, 0)
end

-- S1.6 · hot-remove is not working
-- A device holds 100 pages of ZONE_MOVABLE, and their memory block goes offline. Does it ever?
-- Thread: linux-mm, December 2020, "prohibit pinning pages in ZONE_MOVABLE".
-- Rules: P6.2, P6.3, P6.6.

local m = machine{ ram = "4G", movablecore = "1G", thp = "never" }
local vm = m:guest{ name = "vm0", ram = 100 * 4096 }
vm:populate()
expect("pages in ZONE_MOVABLE", vm:resident().movable, 100)
local block = vm:page(0).pfn // m:memory_blocks()[1].pages

local c = compare({ "5.10", "5.12.5", "5.13", "6.12" }, function(fork)
  local p = fork:guest("vm0"):pin{ longterm = true, fast = true, chunk = "2M" }
  -- The patience of the user: a signal after 5 rounds.
  local ok, err = fork:offline(block, 5)
  return { pages = p.pages, offline = ok and "yes" or err.errno }
end, { start = m })
print(c)
for _, name in ipairs{ "5.10", "5.12.5" } do
  expect(name .. ": offline", c:row(name).offline, "EINTR")
  expect(name .. ": pages pinned in ZONE_MOVABLE", c:row(name).pinned_movable, 100)
end
for _, name in ipairs{ "5.13", "6.12" } do
  expect(name .. ": offline", c:row(name).offline, "yes")
  expect(name .. ": pages pinned in ZONE_MOVABLE", c:row(name).pinned_movable, 0)
end

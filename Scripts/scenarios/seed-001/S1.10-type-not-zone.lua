-- S1.10 · a type is not a zone
-- The last patch of the series asks whether the pageblock is movable. Is that ZONE_MOVABLE?
-- Thread: linux-mm, December 2020, "prohibit pinning pages in ZONE_MOVABLE".
-- Rules: P3.52.

-- No CMA, no ZONE_MOVABLE: nothing has to move.
local m = machine{ ram = "512M", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "16M" }
vm:populate()

local c = compare({ "RFC2020-6/6", "RFC2020-OR", "5.13", "6.12" }, function(fork)
  return fork:guest("vm0"):pin{ longterm = true }
end, { start = m })
print(c)
expect("by type: every page moves", c[1].moved >= 4096, true)
for i = 2, 4 do expect(c[i].kernel .. ": pages moved", c[i].moved, 0) end
for i = 1, 4 do expect(c[i].kernel .. ": pages pinned", c[i].pinned, 4096) end

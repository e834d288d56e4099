-- S1.12 · AND, or OR?
-- "CMA and ZONE_MOVABLE", says a reply literally. Which pages are both?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Joonsoo Kim, 4 December (#13), and Pasha Tatashin (#16): "The above should be OR not AND".
-- Rules: P3.54.

-- The area lies in an ordinary zone: beside a ZONE_MOVABLE, `cma=` would put it there.
local m = machine{
  ram = "1G", cma = { { name = "area", size = "480M", base = 0x8000 } }, movablecore = "256M",
  thp = "never",
}
local vm = m:guest{ name = "vm0", ram = "400M" }
vm:populate()
local at = vm:resident()
print(("%d pages in CMA, %d in ZONE_MOVABLE"):format(at.cma, at.movable))
expect("there are some of both", at.cma > 0 and at.movable > 0, true)

local c = compare({ "5.10", "RFC2020-AND", "RFC2020-OR", "6.12" }, function(fork)
  return fork:guest("vm0"):pin{ longterm = true, from = "224M", length = "64M" }
end, { start = m })
print(c)
expect("AND: pages moved", c:row("RFC2020-AND").moved, 0)
expect("OR: pages left in ZONE_MOVABLE", c:row("RFC2020-OR").pinned_movable, 0)
expect("OR: pages left in CMA", c:row("RFC2020-OR").pinned_cma, 0)
expect("5.10 forbids CMA alone", c:row("5.10").pinned_cma, 0)
expect("6.12 as OR", c:row("6.12").pinned_movable + c:row("6.12").pinned_cma, 0)

print("-- one page of each kind alone")
local in_cma, in_movable
for at = 0, vm.ram - 4096, 4096 do
  local page = vm:page(at)
  if page.pageblock.type == "CMA" then in_cma = in_cma or at end
  if page.zone.name == "Movable" then in_movable = in_movable or at end
end
c = compare({ "RFC2020-AND", "RFC2020-OR", "6.12" }, function(fork)
  local guest = fork:guest("vm0")
  for _, at in ipairs{ in_cma, in_movable } do guest:pin{ longterm = true, from = at, length = "4K" } end
end, { start = m })
print(c:only{ "moved", "pinned", "pinned_cma", "pinned_movable" })
for i, moved in ipairs{ 0, 2, 2 } do
  expect(c[i].kernel .. ": of the two pages moved", c[i].moved, moved)
  expect(c[i].kernel .. ": of the two pages pinned", c[i].pinned, 2)
end

-- R12 · two long-term pins of the same hugetlb page
-- A hugetlb page is on no LRU list; a flag of its own says that it may be isolated. Does it exclude as
-- well as the LRU flag does?
-- Rules: P10 R12, P1.31.

local function race(kernel)
  local m = machine{ ram = "64M", movablecore = "48M", cpus = 2 }
  m:hugepages{ count = 4 }
  local vm = m:guest{ name = "vm", ram = "2M", backing = "hugetlb" }
  vm:populate()
  m:kernel(kernel)
  local function pin() vm:pin{ length = "4K", longterm = true } end
  return explore{ machine = m, tasks = { pin, pin }, preemptions = 2 }
end

for _, kernel in ipairs{ "5.13", "6.1", "6.9", "6.12" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | 1 page; 1 page | ENOMEM; ENOMEM | 1 page")
  expect(kernel .. " broken", #e.broken, 0)
end

-- Before 5.13 nobody asks about ZONE_MOVABLE at all.
for _, kernel in ipairs{ "5.1", "5.10", "5.12.5" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | 1 page · 2 pinned in CMA or ZONE_MOVABLE")
end

local e = race("6.14")
print("6.14", e)
expect("6.14 ends in", e.ends, "1 page | 1 page; 1 page | ENOMEM; "
  .. "1 page | ENOMEM · 1 pinned in CMA or ZONE_MOVABLE; ENOMEM | 1 page; "
  .. "ENOMEM | 1 page · 1 pinned in CMA or ZONE_MOVABLE")
expect("6.14 leaves it in ZONE_MOVABLE", e.broken[1].text:sub(1, 2), "I1")

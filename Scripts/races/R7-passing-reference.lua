-- R7 · a reference that comes and goes
-- drop_caches, a scan or direct I/O takes a reference for a moment. What does it do to a long-term pin
-- that has to move the page?
-- Rules: P10 R7, P9.31, S4.2.

local function race(kernel)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
  vm:populate()
  expect("pages in CMA", vm:resident().cma, vm:resident().pages)
  m:kernel(kernel)
  local x = vm:page(0)
  return explore{
    machine = m, preemptions = 2,
    tasks = {
      function() vm:pin{ length = "4K", longterm = true } end,
      function()
        local reference = m:temp_ref(x, "drop_caches")
        if reference then reference:release() end
      end,
    },
  }
end

-- It has to be held through all ten attempts to do harm.
for _, kernel in ipairs{ "5.13", "6.1", "6.9", "6.14", "6.12" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | EINVAL; 1 page | ok, ok; ENOMEM | ok, ok")
  expect(kernel .. " broken", #e.broken, 0)
end

-- Up to 5.12.4 a page that did not move was pinned where it was.
for _, kernel in ipairs{ "5.1", "5.10" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | EINVAL; 1 page | ok, ok; "
    .. "1 page | ok, ok · 1 pinned in CMA or ZONE_MOVABLE")
  expect(kernel .. " pins in CMA", e.broken[1].text:sub(1, 2), "I1")
end

-- R2 · somebody else has the page isolated
-- What does a long-term pin do while compaction or move_pages holds the page off its LRU list?
-- (Also S1.9: can GUP return success with a CMA page?)
-- Rules: P10 R2, S1.9, P3.43.

local function race(kernel)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
  vm:populate()
  expect("pages in CMA", vm:resident().cma, 4)
  m:kernel(kernel)
  local x = vm:page(0)
  return explore{
    machine = m, preemptions = 3,
    tasks = {
      function() vm:pin{ length = "4K", longterm = true } end,
      function()
        local other = m:isolate(x, "compaction")
        if other then other:put_back() end
      end,
    },
  }
end

-- It goes round until the page is put back. The other finds it isolated, or moved away and free.
for _, kernel in ipairs{ "5.12.5", "5.13", "6.1", "6.9", "6.12" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | EBUSY; 1 page | EINVAL; 1 page | ok, ok")
  expect(kernel .. " broken", #e.broken, 0)
  expect(kernel .. ": every order was looked at", e.complete, true)
end

-- Up to 5.12, and again in early 2025, a pin that could isolate nothing took the page as it was.
for _, kernel in ipairs{ "5.1", "5.10", "6.14" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | EBUSY; 1 page | EINVAL; 1 page | ok, ok; "
    .. "1 page | ok, ok · 1 pinned in CMA or ZONE_MOVABLE")
  expect(kernel .. " pins in CMA", e.broken[1].text:sub(1, 2), "I1")
end

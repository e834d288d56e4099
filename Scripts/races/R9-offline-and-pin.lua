-- R9 · memory goes offline while its pages are being pinned
-- Who wins: the long-term pin that moves the page out of ZONE_MOVABLE, or offline that empties the
-- block?
-- Rules: P10 R9, P6.3.

local function race(kernel)
  local m = machine{ ram = "1G", movablecore = "512M", cpus = 2, thp = "never" }
  -- The highest memory block is not whole: what lies there is taken first.
  local filler = m:guest{ name = "filler", ram = "160M" }
  filler:populate()
  local vm = m:guest{ name = "vm", ram = "4K" }
  vm:populate()
  filler:exit()
  m:kernel(kernel)
  local block = vm:page(0).pfn // 32768
  return explore{
    machine = m, preemptions = 1, invariant = { "I1", "I2", "I4" },
    tasks = {
      function() vm:pin{ length = "4K", longterm = true } end,
      function() m:offline(block, 3) end,
    },
  }
end

-- Whoever comes first wins: a pin that is there already, in a block of the kernel's, would be in the way
-- for ever, but here it left ZONE_MOVABLE. Offline has the page isolated or locked meanwhile: ENOMEM.
for _, kernel in ipairs{ "5.13", "6.12" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | EINTR; 1 page | offline; ENOMEM | offline")
  expect(kernel .. " broken", #e.broken, 0)
end

-- Before, the pin takes the page where it is: offline goes round until the signal, unless the page has
-- moved before, to another block of ZONE_MOVABLE.
for _, kernel in ipairs{ "5.10", "5.12.5" } do
  local e = race(kernel)
  print(kernel, e)
  expect(kernel .. " ends in", e.ends, "1 page | EINTR · 1 pinned in CMA or ZONE_MOVABLE; "
    .. "1 page | offline · 1 pinned in CMA or ZONE_MOVABLE")
  expect(kernel .. " pins in ZONE_MOVABLE", e.broken[1].text:sub(1, 2), "I1")
end

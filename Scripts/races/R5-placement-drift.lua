-- R5 · a page that was well placed drifts
-- A page is outside of ZONE_MOVABLE when it is populated. Memory goes offline meanwhile, and its pages
-- move elsewhere, perhaps into CMA. Can the pin keep such a page?
-- Rules: P10 R5, P2.37.

-- The texts of where the orders end, sorted.
local function ends(e)
  local texts = {}
  for i, state in ipairs(e.end_states) do texts[i] = state.text end
  table.sort(texts)
  return table.concat(texts, "; ")
end

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
      function() m:offline(block, 2) end,
    },
  }
end

local e = race("6.12")
print(e)
expect("6.12 ends in", ends(e), "1 page | EINTR; 1 page | offline; ENOMEM | offline")
expect("a long-term pin never stays in ZONE_MOVABLE", #e.broken, 0)

-- A walk that does not ask keeps the page that has drifted.
e = race("5.10")
print(e)
expect("5.10 keeps what it finds", e.broken[1].text:sub(1, 2), "I1")

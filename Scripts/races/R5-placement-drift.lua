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

local m = machine{ ram = "1G", movablecore = "512M", cpus = 2, thp = "never" }
local vm = m:guest{ name = "vm", ram = "4K" }
vm:populate()
local block = vm:page(0).pfn // 32768
local e = explore{
  machine = m, preemptions = 1, invariant = { "I1", "I2", "I4" },
  tasks = {
    function() vm:pin{ length = "4K", longterm = true } end,
    function() m:offline(block, 2) end,
  },
}
print(e)
expect("a long-term pin never stays in ZONE_MOVABLE", #e.broken, 0)

-- R9 · memory goes offline while its pages are being pinned
-- Who wins: the long-term pin that moves the page out of ZONE_MOVABLE, or offline that empties the
-- block?
-- Rules: P10 R9, P6.3.

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
  machine = m, preemptions = 1, invariant = { "I1", "I2", "I4" }, schedules = 2000,
  tasks = {
    function() vm:pin{ length = "4K", longterm = true } end,
    function() m:offline(block, 3) end,
  },
}
print(e)
expect("broken", #e.broken, 0)

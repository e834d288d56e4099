-- R10 · two cma_alloc at a time
-- Bitmap and mutex: can two callers get the same pages, or wait for each other for ever?
-- Rules: P10 R10, P5.2.

-- The texts of where the orders end, sorted.
local function ends(e)
  local texts = {}
  for i, state in ipairs(e.end_states) do texts[i] = state.text end
  table.sort(texts)
  return table.concat(texts, "; ")
end

local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
local e = explore{
  machine = m, preemptions = 2,
  tasks = { function() m:cma_alloc(4) end, function() m:cma_alloc(4) end },
}
print(e)
expect("6.12 ends in", ends(e), "allocated | allocated")
expect("broken", #e.broken, 0)

-- R7 · a reference that comes and goes
-- drop_caches, a scan or direct I/O takes a reference for a moment. What does it do to a long-term pin
-- that has to move the page?
-- Rules: P10 R7, P9.31, S4.2.

-- The texts of where the orders end, sorted.
local function ends(e)
  local texts = {}
  for i, state in ipairs(e.end_states) do texts[i] = state.text end
  table.sort(texts)
  return table.concat(texts, "; ")
end

local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
vm:populate()
expect("pages in CMA", vm:resident().cma, 4)

local x = vm:page(0)
local e = explore{
  machine = m, preemptions = 2,
  tasks = {
    function() vm:pin{ length = "4K", longterm = true } end,
    function()
      local reference = m:temp_ref(x, "drop_caches")
      if reference then reference:release() end
    end,
  },
}
print(e)
-- It has to be held through all ten attempts to do harm.
expect("6.12 ends in", ends(e), "1 page | EINVAL; 1 page | ok, ok; ENOMEM | ok, ok")
expect("broken", #e.broken, 0)

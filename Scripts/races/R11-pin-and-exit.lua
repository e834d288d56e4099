-- R11 · the page is unmapped while it is being pinned
-- A process ends, or unmaps, while another pins the page that both share. Is anything freed too early,
-- or kept for ever?
-- Rules: P10 R11, P9.32.

-- The texts of where the orders end, sorted.
local function ends(e)
  local texts = {}
  for i, state in ipairs(e.end_states) do texts[i] = state.text end
  table.sort(texts)
  return table.concat(texts, "; ")
end

local function booted()
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "16K", backing = "memfd" }
  vm:populate()
  local twin = vm:fork("twin")
  twin:populate()
  return m, vm, twin
end

local function pin(who)
  return function() who:pin{ length = "4K", longterm = true } end
end

local m, vm, twin = booted()
local e = explore{
  machine = m, preemptions = 2, tasks = { pin(vm), function() twin:exit() end },
}
print(e)
expect("6.12 ends in", ends(e), "1 page | ok; ENOMEM | ok")
expect("broken", #e.broken, 0)

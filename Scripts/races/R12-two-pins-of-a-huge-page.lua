-- R12 · two long-term pins of the same hugetlb page
-- A hugetlb page is on no LRU list; a flag of its own says that it may be isolated. Does it exclude as
-- well as the LRU flag does?
-- Rules: P10 R12, P1.31.

-- The texts of where the orders end, sorted.
local function ends(e)
  local texts = {}
  for i, state in ipairs(e.end_states) do texts[i] = state.text end
  table.sort(texts)
  return table.concat(texts, "; ")
end

local m = machine{ ram = "64M", movablecore = "48M", cpus = 2 }
m:hugepages{ count = 4 }
local vm = m:guest{ name = "vm", ram = "2M", backing = "hugetlb" }
vm:populate()
local function pin() vm:pin{ length = "4K", longterm = true } end
local e = explore{ machine = m, tasks = { pin, pin }, preemptions = 2 }
print(e)
expect("6.12 ends in", ends(e), "1 page | 1 page; 1 page | ENOMEM; ENOMEM | 1 page")
expect("broken", #e.broken, 0)

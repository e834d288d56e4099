-- S5.5 · fork after a pin
-- A device writes into pinned pages, and the process forks. Whose pages does the device write into
-- afterwards?
-- Thread: Linux 6.12 itself; a recorded kernel did the same.
-- Rules: P2.20, P2.21, I15.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local function run(thp)
  local m = machine{ ram = "1G" }
  local vm = m:guest{ ram = "2M", thp = thp }
  vm:write()
  local p = vm:pin{ longterm = true }
  print(p)
  local first = vm:page(0).pfn
  local before = m:fork()
  local child = vm:fork("child")
  expect("the child has a copy", child:page(0).pfn ~= first, true)
  vm:write()
  expect("the parent keeps its frame when it writes", vm:page(0).pfn, first)
  expect("which is the pinned one", p:page(1).pfn, first)
  expect("the state is sound", m:check(), true)
  return delta(m, before)
end

print("-- single pages")
run("never")
print("-- a huge page: its mapping is split for that")
expect("thp_split_pmd", run("always").thp_split_pmd, 1)

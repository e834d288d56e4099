-- S1.8 · two callers of move_pages
-- The thread asks whether move_pages has the same race. Two callers move one page to node 1: what do
-- they tell, and is anything linked twice?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Pasha Tatashin, 3 December (#8): "this race is also exposable as a syscall instead of via driver:
-- two move_pages() run simultaneously".
-- Rules: P1.30, P10.3, P10 R2, I4.

local function booted()
  local m = machine{ nodes = { "64M", "64M" }, cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "4K", backing = "memfd", node = 0 }
  vm:populate()
  local twin = vm:fork("twin")
  twin:populate()
  local function move(who) return function() who:move_pages{ node = 1, all = true } end end
  return m, { move(vm), move(twin) }, vm
end

local m, tasks, vm = booted()
expect("the page begins on node", vm:page(0).zone.node.id, 0)
local e = explore{ machine = m, tasks = tasks, preemptions = 2 }
print(e)
local texts = {}
for i, state in ipairs(e.end_states) do texts[i] = state.text end
table.sort(texts)
expect("they tell", table.concat(texts, "; "),
  "status -EBUSY | status 1; status -ENOENT | status 1; status 1 | status -EBUSY; "
    .. "status 1 | status -ENOENT; status 1 | status 1")
expect("broken", #e.broken, 0)
expect("every order was looked at", e.complete, true)

-- Whoever is told EBUSY looked while the other had the page off its list, whoever is told ENOENT while its
-- entry was a migration entry; the page has moved all the same.
for _, state in ipairs(e.end_states) do
  local m, tasks, vm = booted()
  replay_schedule(state.schedule, { machine = m, tasks = tasks })
  expect(state.text .. ": the page is on node", vm:page(0).zone.node.id, 1)
  expect(state.text .. ": check", m:check(), true)
end

-- Without MPOL_MF_MOVE_ALL a page that two processes map is not touched.
m, tasks, vm = booted()
expect("shared pages", vm:move_pages{ node = 1 }[1], "EACCES")

-- The same protection: without it both link the page.
m, tasks, vm = booted()
m:protection("test_and_clear_lru", false)
e = explore{ machine = m, tasks = tasks, preemptions = 2 }
print(e.broken[1].text, e.broken[1].schedule)
expect("without test-and-clear", e.broken[1].text:sub(1, 3), "I4:")

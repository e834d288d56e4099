-- R1 · two long-term pins of the same CMA page
-- Can both tasks take the page off the LRU and link it twice ("is this list_add racy?")? Can a pin
-- succeed while its page stays in CMA?
-- Thread: seed 001, December 2020. Rules: P10 R1, S1.7, P3.43, P3.50.

local function booted(kernel)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2, kernel = kernel }
  local vm = m:guest{ name = "vm", ram = "16K", backing = "memfd" }
  vm:populate()
  local twin = vm:fork("twin")
  twin:populate()
  return m, vm, twin
end

local function pin(who)
  return function() who:pin{ length = "4K", longterm = true } end
end

local m, vm, twin = booted("6.12")
local e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }
print(e)
expect("6.12 ends in", e.ends, "1 page | 1 page; 1 page | ENOMEM; ENOMEM | 1 page")
expect("broken", #e.broken, 0)
expect("every order was looked at", e.complete, true)

-- The spurious ENOMEM: one task holds the page pinned while the other tries to move it ten times.
local schedule
for _, state in ipairs(e.end_states) do
  if state.text == "1 page | ENOMEM" then schedule = state.schedule end
end
local results = replay_schedule(schedule, { machine = m, tasks = { pin(vm), pin(twin) } })
expect("one holds the page while the other migrates", results[1][1] .. ", " .. results[2][1],
  "1 page, ENOMEM")

-- Up to 5.12 a pin that could not isolate the page took it as it was.
m, vm, twin = booted("5.10")
e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }
print(e)
expect("5.10 ends in", e.ends, "1 page | 1 page; 1 page | 1 page · 2 pinned in CMA or ZONE_MOVABLE")
expect("5.10 pins in CMA", e.broken[1].text:sub(1, 2), "I1")
local bug = e.broken[1].schedule
replay_schedule(bug, { machine = m, tasks = { pin(vm), pin(twin) } })
expect("its order leaves both pins in CMA", m:pins()[1]:page(1).migratetype, "CMA")

-- The regression of early 2025 does so again.
m, vm, twin = booted("6.14")
e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }
print(e)
expect("6.14 ends in", e.ends, "1 page | 1 page; 1 page | ENOMEM; "
  .. "1 page | ENOMEM · 1 pinned in CMA or ZONE_MOVABLE; ENOMEM | 1 page; "
  .. "ENOMEM | 1 page · 1 pinned in CMA or ZONE_MOVABLE")
expect("6.14 pins in CMA", e.broken[1].text:sub(1, 2), "I1")

-- Without the atomic test-and-clear of the LRU flag both link the page.
m, vm, twin = booted("6.12")
m:protection("test_and_clear_lru", false)
e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }
print(e)
expect("I4 breaks", #e.broken >= 1 and e.broken[1].text:sub(1, 2), "I4")

-- R10 · two cma_alloc at a time
-- Bitmap and mutex: can two callers get the same pages, or wait for each other for ever?
-- Rules: P10 R10, P5.2.

local function race(first, second, options)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
  vm:populate()
  expect("pages in CMA", vm:resident().cma, 4)
  return explore{
    machine = m, preemptions = options.preemptions,
    tasks = {
      function() first(m) end, function() second(m, vm) end,
    },
  }
end

local function four(m) m:cma_alloc(4) end
local e = race(four, four, { preemptions = 2 })
print(e)
expect("four pages each", e.ends, "allocated | allocated")
expect("broken", #e.broken, 0)

-- Both halves, with pages of a guest to move away.
local function half(m) m:cma_alloc("16M") end
e = race(half, half, { preemptions = 1 })
print(e)
expect("half of the area each", e.ends, "allocated | allocated")
expect("broken", #e.broken, 0)

-- One of two who want all of it gets it; the other finds no clear bits.
local function all(m) m:cma_alloc("32M") end
e = race(all, all, { preemptions = 1 })
print(e)
expect("all of it each", e.ends, "ENOMEM | allocated; allocated | ENOMEM")
expect("broken", #e.broken, 0)

-- What one gives back the other may get at once.
e = race(function(m)
  local buffer = m:cma_alloc(4)
  if buffer then buffer:release() end
end, four, { preemptions = 2 })
print(e)
expect("one gives its pages back", e.ends, "allocated, ok | allocated")
expect("broken", #e.broken, 0)

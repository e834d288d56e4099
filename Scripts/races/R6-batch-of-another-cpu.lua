-- R6 · a reference that hides in another CPU's LRU batch
-- A page that waits in the LRU batch of another CPU is on no list and has one reference more. Does the
-- pin find out?
-- Rules: P10 R6, P3.41 c, P3.45.

local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
vm:populate()
expect("pages in CMA", vm:resident().cma, 4)

local x = vm:page(0)
local e = explore{
  machine = m, preemptions = 3,
  tasks = {
    function() vm:pin{ length = "4K", longterm = true } end,
    -- Put back on CPU 1: the page waits in its batch until somebody drains it.
    function()
      local other = m:isolate(x, "a scan on CPU 1")
      if other then other:put_back() end
    end,
  },
}
print(e)
-- All CPUs are drained when the references do not add up; where the page was put back too late, another
-- round does it.
expect("every end has the page pinned", e.ends:find("ENOMEM") == nil, true)
expect("broken", #e.broken, 0)

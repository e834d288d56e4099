-- R13 · a task touches the page that is being moved
-- It meets a migration entry and waits. Up to 4.19 it held a reference meanwhile, which made the
-- migration fail that it waited for. And now?
-- Rules: P10 R13, P2.14.

local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
vm:populate()
expect("pages in CMA", vm:resident().cma, 4)

local e = explore{
  machine = m, preemptions = 2,
  tasks = {
    function() vm:pin{ length = "4K", longterm = true } end,
    function() vm:write(0, "4K") end,
  },
}
print(e)
expect("6.12 ends in", e.ends, "1 page | ok")
expect("nobody waits for ever, nothing breaks", #e.broken, 0)

-- R15 · between unpin and pin
-- To move one page, the check first unpins the whole range. What may happen to it before it is pinned
-- again?
-- Rules: P10 R15, P3.42.

local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
vm:populate()
expect("pages in CMA", vm:resident().cma, 4)

local function pin() vm:pin{ length = "4K", longterm = true } end
local e = explore{
  machine = m, preemptions = 2, tasks = { pin, function() vm:munmap(0, "4K") end },
}
print(e)
-- pin_user_pages() holds mmap_lock all the time, so munmap comes before or after.
expect("6.12 ends in", e.ends, "1 page | ok; EFAULT | ok")
expect("broken", #e.broken, 0)

-- The other task needs no lock of this process: it takes a plain reference in the window.
local x = vm:page(0)
e = explore{
  machine = m, preemptions = 3,
  tasks = { pin, function() m:temp_ref(x, "another actor") end },
}
print(e)
expect("a lasting reference", e.ends, "1 page | EINVAL; 1 page | ok; ENOMEM | ok")
expect("broken", #e.broken, 0)

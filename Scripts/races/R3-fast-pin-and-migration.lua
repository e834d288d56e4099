-- R3 · the fast walk against migration
-- The fast walk takes no lock. Can it pin the page that migration is just leaving?
-- Rules: P10 R3, P3.30 (6), P4.6.

local function race(protection)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
  vm:populate()
  if protection then m:protection(protection, false) end
  return explore{
    machine = m, preemptions = 2,
    tasks = {
      function() vm:pin{ length = "4K", fast = true } end,
      function() vm:pin{ length = "4K", longterm = true } end,
    },
  }
end

local e = race()
print(e)
-- The pin in the way makes the other's migration fail: ENOMEM.
expect("6.12 ends in", e.ends, "1 page | 1 page; 1 page | ENOMEM")
expect("broken", #e.broken, 0)

e = race("reread_entry")
print(e)
expect("without f7 a pin holds a page that nobody sees", e.broken[1].text:sub(1, 2), "I2")

-- Of shmem nothing but the comparison of the references protects the pin.
local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
local vm = m:guest{ name = "vm", ram = "16K", backing = "memfd" }
vm:populate()
local twin = vm:fork("twin")
twin:populate()
m:protection("compare_references", false)
e = explore{
  machine = m, preemptions = 1,
  tasks = {
    function() vm:pin{ length = "4K", fast = true } end,
    function() twin:pin{ length = "4K", longterm = true } end,
  },
}
print(e)
expect("without m6 and m8 the pinned page moves", e.broken[1].text:sub(1, 2), "I2")

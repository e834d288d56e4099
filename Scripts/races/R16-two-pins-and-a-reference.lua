-- R16 · two long-term pins, and somebody who holds a reference
-- Two pins alone never both fail (R1). Can they with a third task?
-- Rules: P10 R1, S1.7 (both -ENOMEM only with a third reference holder).

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
local x = vm:page(0)
local e = explore{
  machine = m, preemptions = 2,
  tasks = {
    pin(vm), pin(twin),
    function()
      local reference = m:temp_ref(x, "a third task")
      if reference then reference:release() end
    end,
  },
}
print(e)
expect("both fail in some order", e.ends:find("ENOMEM | ENOMEM | ok, ok", 1, true) ~= nil, true)
expect("broken", #e.broken, 0)

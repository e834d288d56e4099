-- R8 · fork against the fast walk
-- fork looks whether a page is pinned, and then shares it. A fast pin may come in between. Does the
-- parent's next write leave the device with the old page?
-- Rules: P10 R8, P3.30 (1) and (7), P2.20.

local function race(checks)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "4K", thp = "never" }
  vm:populate()
  m:protection("fork_sequence", checks)
  return explore{
    machine = m, preemptions = 2,
    tasks = {
      function() vm:pin{ length = "4K", fast = true } end,
      function() vm:fork("child") vm:write(0, "4K") end,
    },
  }
end

local e = race(true)
print(e)
expect("6.12 ends in", e.ends, "1 page | forked, ok")
expect("broken", #e.broken, 0)

e = race(false)
print(e)
expect("without f9 parent and device part", e.broken[1].text:sub(1, 2), "I2")

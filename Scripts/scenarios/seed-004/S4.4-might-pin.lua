-- S4.4 · MADV_MIGHT_PIN
-- A hint that the kernel may follow or not: the more often it does, the fewer pages have to move. Does it
-- change what the pin returns?
-- Thread: linux-mm, October 2022, "[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior". David
-- Hildenbrand, 17 October: "that could only be a pure optimization".
-- Rules: P9.22.

local pages = 4096
-- Populates an area with the hint, pins it, and returns how many pages were moved.
local function pin_with(percent)
  local m = machine{
    ram = "2G", cma = "1200M", thp = "never", 
    kernel = kernel{ base = "6.12", madv_nomovable = true, madv_might_pin = percent },
  }
  local vm = m:guest{ ram = pages * 4096 }
  expect("madvise", vm:madvise("might_pin"), true)
  vm:populate()
  m:drain_lru()
  local inside = vm:resident().cma
  local before = m:fork()
  local pin = vm:pin{ longterm = true }
  print(percent .. " %: " .. tostring(pin))
  expect("pages pinned", pin.pages, pages)
  local moved = m:vmstat{ since = before, table = true }.pgmigrate_success
  expect("what moved is what lay in CMA", moved, inside)
  expect("the state is sound", m:check(), true)
  return moved
end

expect("never followed", pin_with(0), pages)
local some = pin_with(25)
expect("followed for a quarter, give or take a twentieth",
       some > pages * 70 // 100 and some < pages * 80 // 100, true)
expect("always followed", pin_with(100), 0)

-- R4 · the fast walk against cma_alloc isolating the pageblock
-- Between cma_alloc's isolation of the pageblock and its end the block's type is not CMA. Does the
-- fast long-term pin take a page of it?
-- Rules: P10 R4, P3.3.

local function race(kernel, preemptions)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2, kernel = kernel }
  local vm = m:guest{ name = "vm", ram = "16K", thp = "never" }
  vm:populate()
  -- The area's pageblocks in front of the guest's page go first, so that the next one is its own.
  local first = m:cma_alloc(1)
  local base = first.pfn
  first:release()
  for _ = 1, (vm:page(0).pfn - base) // 512 do m:cma_alloc("2M", { align = 9 }) end
  return explore{
    machine = m, preemptions = preemptions,
    tasks = {
      function() vm:pin{ length = "4K", longterm = true, fast = true } end,
      function() m:cma_alloc("2M", { align = 9 }) end,
    },
  }
end

local e = race("6.12", 2)
print(e)
-- A pin that is there first moves nothing yet; cma_alloc finds it in the way.
expect("6.12 ends in", e.ends, "1 page | EBUSY; 1 page | allocated")
expect("broken", #e.broken, 0)

-- Up to 5.18 nobody asked whether the block was isolated: the page stays, pinned for long in CMA.
e = race("5.13", 1)
print(e)
expect("5.13 pins in CMA", e.broken[1].text:sub(1, 2), "I1")

-- It is this question alone: 6.12 without it does the same.
e = race(kernel{ base = "6.12", lt_check = "zoneOrCma" }, 1)
print(e)
expect("6.12 without ISOLATE pins in CMA", e.broken[1].text:sub(1, 2), "I1")

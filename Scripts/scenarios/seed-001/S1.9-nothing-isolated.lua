-- S1.9 · success with a page in CMA
-- A page in CMA is off its list, because compaction holds it. Nothing can be isolated: is all well
-- then?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 4 December (#15): "If it gets to a point where all the CMA pages fail to isolate
-- then it simply exits with success".
-- Rules: P3.43, P3.47, P3.50, P3.51.

local m = machine{ ram = "1G", cma = "640M", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "4K" }
vm:populate()
m:isolate(vm:page(0), "compaction")

local c = compare({ "5.1", "5.10", "5.12.5", "5.13", "6.9", "6.14", "6.12" }, function(fork)
  return fork:guest("vm0"):pin{ longterm = true }
end, { start = m })
print(c)
for _, name in ipairs{ "5.1", "5.10", "6.14" } do
  expect(name .. ": pages pinned in CMA", c:row(name).pinned_cma, 1)
end
for _, name in ipairs{ "5.12.5", "5.13", "6.9", "6.12" } do
  expect(name .. ": it spins until somebody puts the page back", c:row(name).errno, "EINTR")
  expect(name .. ": pages pinned", c:row(name).pinned, 0)
end

-- Every order in which compaction takes the page and puts it back while the pin runs.
for _, kernel in ipairs{ "5.1", "5.10", "5.12.5", "5.13", "6.9", "6.14", "6.12" } do
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm0", ram = "4K", backing = "memfd" }
  vm:populate()
  local page = vm:page(0)
  m:drain_lru()
  m:kernel(kernel)
  local function compaction()
    local held = m:isolate(page, "compaction")
    if held then held:put_back() end
  end
  local e = explore{
    machine = m, tasks = { function() vm:pin{ longterm = true } end, compaction },
    preemptions = 3,
  }
  print(kernel, e)
  local inCMA = false
  for _, broken in ipairs(e.broken) do inCMA = inCMA or broken.text:sub(1, 3) == "I1:" end
  expect(kernel .. ": every order was looked at", e.complete, true)
  expect(kernel .. ": pins in CMA", inCMA,
    kernel == "5.1" or kernel == "5.10" or kernel == "6.14")
  for _, state in ipairs(e.end_states) do
    expect(kernel .. ": the pin ends with", state.text:match("^[^|·]*[^|·%s]"), "1 page")
  end
end

-- R14 · a huge page from CMA comes back while another is being moved
-- Up to 6.9 huge blocks of all types share one per-CPU list. A CMA page that one task frees is what the
-- other gets to move its own page to. Does the pin still end, and outside of CMA?
-- Thread: seed 002, June 2024. Rules: P10 R14, P4.40.

local function race(kernel, options)
  local m = machine{ ram = "1G", cma = "768M", kernel = kernel }
  local vm = m:guest{ name = "vm", ram = "2M", thp = "always" }
  local other = m:guest{ name = "other", ram = "2M", thp = "always" }
  vm:populate()
  other:populate()
  expect("huge pages in CMA", vm:resident().cma + other:resident().cma, 1024)
  options.machine = m
  options.invariant = { "I1", "I2", "I4" }
  options.tasks = {
    function() vm:pin{ length = "4K", longterm = true } end,
    function() other:munmap() end,
  }
  return explore(options)
end

local e = race("6.12", { preemptions = 1 })
print(e)
expect("6.12 ends in", e.ends, "1 page | ok")
expect("broken", #e.broken, 0)

-- In 6.9 the page goes from one huge page of CMA to the other and back: one order is enough to see it.
e = race("6.9", { search = "random", schedules = 1 })
print(e)
expect("6.9 finds no end", e.broken[1].text, "no end after 20000 steps")

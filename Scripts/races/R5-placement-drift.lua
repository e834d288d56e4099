-- R5 · a page that was well placed drifts
-- A page lies outside of ZONE_MOVABLE, where an earlier pin has put it. Before the next pin somebody moves
-- it to another node, whose free memory is in ZONE_MOVABLE. Can that pin keep such a page?
-- Rules: P10 R5, P2.37.

local function race(kernel)
  local m = machine{ nodes = { "64M", "64M" }, movablecore = "64M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "4K", thp = "never", node = 0 }
  vm:populate()
  vm:pin{ length = "4K", longterm = true }:unpin()
  expect("well placed at first", vm:page(0).zone.name, "DMA32")
  m:kernel(kernel)
  return explore{
    machine = m, invariant = { "I1", "I2", "I4" },
    tasks = {
      function() vm:pin{ length = "4K", longterm = true } end,
      function() vm:move_pages{ length = "4K", node = 1 } end,
    },
  }
end

-- What counts is where the page is when it is pinned, not where it was put.
local e = race("6.12")
print(e)
expect("6.12 ends in", e.ends, "1 page | status 1; 1 page | status ?; ENOMEM | status 1")
expect("a long-term pin never stays in ZONE_MOVABLE", #e.broken, 0)

-- A walk that does not ask keeps the page that has drifted.
e = race("5.10")
print(e)
expect("5.10 ends in", e.ends,
  "1 page | status 1 · 1 pinned in CMA or ZONE_MOVABLE; 1 page | status ?")
expect("5.10 keeps what it finds", e.broken[1].text:sub(1, 2), "I1")

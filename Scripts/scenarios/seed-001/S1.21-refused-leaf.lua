-- S1.21 · a leaf that is refused
-- From 6.6 on the slow walk takes a whole leaf at once. May it do so with a huge page in CMA?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 4 December (#19): batching the slow walk, which 6.6 did.
-- Rules: P3.23.

local m = machine{ ram = "1G", cma = "640M" }
local vm = m:guest{ name = "vm0", ram = "2M" }
vm:populate()
expect("the huge page lies in CMA", vm:resident().cma, 512)

local kernels = { "6.3", "6.6", "6.9", "6.10", "6.12" }
local warned = {}
local whole = compare(kernels, function(fork)
  local p, err = fork:guest("vm0"):pin{ longterm = true }
  warned[fork:kernel().name] = fork:dmesg():find("WARNING", 1, true) ~= nil
  return p, err
end, { start = m })
print(whole)
for _, name in ipairs{ "6.6", "6.9" } do
  expect(name .. ": the huge page", whole:row(name).errno, "EFAULT")
  expect(name .. ": pages moved", whole:row(name).moved, 0)
  expect(name .. ": pages pinned", whole:row(name).pinned, 0)
  expect(name .. ": a warning in the log", warned[name], true)
end
for _, name in ipairs{ "6.3", "6.10", "6.12" } do
  expect(name .. ": pages moved", whole:row(name).moved, 512)
end
local one = compare(kernels, function(fork)
  return fork:guest("vm0"):pin{ longterm = true, length = "4K" }
end, { start = m })
for i = 1, #one do expect(one[i].kernel .. ": one page of it moves all", one[i].moved, 512) end

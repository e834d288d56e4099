-- S4.8 · how often is a page tried?
-- A reference is let go after attempt t. Up to which t does the pin succeed?
-- Thread: linux-mm, October 2022, "[RFC PATCH] mm: Introduce new MADV_NOMOVABLE behavior". David
-- Hildenbrand, 17 October: "a hack to work around a kernel implementation detail (how often we retry
-- to migrate pages)".
-- Rules: P4.2, P4.6.

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
m:guest{ ram = "4K" }:populate()
local kept = m:guest("vm0"):page(0).pfn

for t = 1, 11 do
  local try = m:fork()
  local vm = try:guest("vm0")
  local reference, attempts = try:temp_ref(kept, "a scanner"), 0
  local p, err = vm:pin{ longterm = true, watch = function(step)
    -- m6 compares the references: one comparison an attempt.
    if step == "m6" then
      attempts = attempts + 1
      if attempts == t + 1 then reference:release() end
    end
  end }
  expect("let go after attempt " .. t .. ": pinned", p ~= nil, t <= 9)
  if not p then expect("attempts before it gives up", attempts, 10) end
end

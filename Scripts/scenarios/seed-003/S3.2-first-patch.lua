-- S3.2 · the patch of 2015
-- Ten pages in CMA leave their list, an empty list is migrated, and the pages are taken again. What moved?
-- Thread: linux-mm, August 2015, "[RFC PATCH kernel vfio] mm: vfio: Move pages out of CMA before
-- pinning". Alexey Kardashevskiy, 5 August (the patch).
-- Rules: P3.10.

local m = machine{ ram = "1G", cma = "640M", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "40K" }
vm:populate()
expect("pages in CMA", vm:resident().cma, 10)
local c = compare({ "4.2", "RFC2015", "4.9ppc", "6.12" }, function(fork)
  local map = fork:guest("vm0"):spapr():map{}
  local sound, violation = fork:check()
  return {
    moved = map.migrated, corrupted = map.corrupted,
    violation = violation and violation.message:match("^I%d+") or "",
  }
end, { start = m })
print(c)
expect("RFC2015: pages moved", c:row("RFC2015").moved, 0)
expect("RFC2015: pages off their list, with their flag (I4)", c:row("RFC2015").corrupted, 10)
expect("RFC2015: pages pinned in CMA", c:row("RFC2015").pinned_cma, 10)
expect("4.9: pages moved", c:row("4.9ppc").moved, 10)
expect("4.9: pages pinned in CMA", c:row("4.9ppc").pinned_cma, 0)
-- A list whose folio is gone from its middle: the kernel crashes when it walks it the next time.
expect("RFC2015: the invariant that is broken", c:row("RFC2015").violation, "I4")
for _, name in ipairs{ "4.2", "4.9ppc", "6.12" } do
  expect(name .. ": the invariant that is broken", c:row(name).violation, "")
end

-- S5.4 · a read-only pin of the zero page
-- A long-term read-only pin finds the zero page. Is the zero page what the device gets?
-- Thread: Linux 6.12 itself; a recorded kernel did the same.
-- Rules: P3.14, P1.5.

local m = machine{ ram = "1G", thp = "never" }
local vm = m:guest{ ram = "64K" }
print(vm:read())
local zero = vm:page(0).pfn
expect("all 16 show the zero page", vm:resident().zero, 16)
print(m:why(zero))

local p = vm:pin{ write = false, longterm = true }
print(p)
expect("pages pinned", p.pages, 16)
expect("the first is another frame now", vm:page(0).pfn ~= zero, true)
expect("zero pages that are left", vm:resident().zero, 0)
expect("the state is sound", m:check(), true)

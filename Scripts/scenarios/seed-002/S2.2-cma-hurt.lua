-- S2.2 · a kernel page in CMA
-- The shared list hands a huge page of CMA to a request of the kernel. What becomes of cma_alloc?
-- Thread: linux-mm, June 2024, "mm/page_alloc: Separate THP PCP into movable and non-movable
-- categories". yangge, 19 June: "CMA's memory is occupied by non-movable pages, meaning we can't
-- relocate them".
-- Rules: P4.40, P4.41, P5.12.

local m = machine{ ram = "1G", cma = "640M" }
local vm = m:guest{ name = "vm0", ram = "2M" }
vm:populate()
expect("the huge page lies in CMA", vm:resident().cma, 512)

local c = compare({ "5.13", "6.0", "6.9", "6.10", "6.12" }, function(fork)
  fork:guest("vm0"):exit()
  local page = fork:alloc_pages(9, "GFP_KERNEL")
  local buffer, err = fork:cma_alloc("640M")
  return { kernel_page = page.migratetype, cma_alloc = buffer and "found" or err.errno }
end, { start = m })
print(c)
for _, name in ipairs{ "6.0", "6.9" } do
  expect(name .. ": cma_alloc of the whole area", c:row(name).cma_alloc, "EBUSY")
end
for _, name in ipairs{ "5.13", "6.10", "6.12" } do
  expect(name .. ": cma_alloc of the whole area", c:row(name).cma_alloc, "found")
end

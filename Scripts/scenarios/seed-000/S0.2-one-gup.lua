-- S0.2 · one call instead of one a page
-- The old code takes a region page by page. What does one call for all of it read less?
-- Thread: linux-mm, September 2018, "[RFC PATCH V2 4/4] powerpc/mm/iommu: Allow migration of cma
-- allocated pages during mm_iommu_get". Aneesh Kumar K.V, 6 September: "It does one get_user_pages
-- with right count, instead of doing one get_user_pages per page".
-- Rules: P3.55, P3.56, P8.2 (D1g, D2).

local m = machine{ ram = "512M", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "6M" }
vm:populate()
local c = compare({ "4.9ppc", "HELPER2018V2", "5.1", "6.12" }, function(fork)
  local map = fork:guest("vm0"):spapr():map{}
  return { calls = map.calls, entry_reads = map.costs.entry_reads, pages = map.pages }
end, { start = m })
print(c)
expect("page by page: calls", c[1].calls, 1536)
expect("page by page: entries read (6 a page)", c[1].entry_reads, 6 * 1536)
expect("the helper: calls", c[2].calls, 1)
expect("the helper: entries read (4 a page)", c[2].entry_reads, 4 * 1536)

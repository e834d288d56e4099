-- S3.4 · why QEMU's memory is in CMA
-- 1000 pages are free. With 501 of them in CMA, and with 500, where does the next movable page come
-- from?
-- Thread: linux-mm, August 2015, "[RFC PATCH kernel vfio] mm: vfio: Move pages out of CMA before
-- pinning". Alexey Kardashevskiy, 17 August: "It just happens sometime that the kernel allocates
-- movable pages from there".
-- Rules: P2.31, A3.5.

-- A machine with exactly so many free pages, and none on the CPU's lists.
local function machine_with(free, free_cma)
  local m = machine{ ram = "16M", cma = "4M", min_free_kbytes = 64 }
  local zone = m:zone("DMA")
  m:cma_alloc(m:cma().pages - free_cma)
  m:drain()
  while zone.free - zone.free_cma > free - free_cma do
    local more = zone.free - zone.free_cma - (free - free_cma)
    local order = 0
    while order < 8 and 2 << order <= more do order = order + 1 end
    if order > 0 and order <= 3 then order = 0 end
    assert(m:alloc_pages(order, "GFP_KERNEL|__GFP_MEMALLOC|__GFP_NOWARN"))
    m:drain()
  end
  expect("free pages", zone.free, free)
  expect("of these in CMA", zone.free_cma, free_cma)
  return m
end

for _, case in ipairs{ { 501, "CMA" }, { 500, "Movable" } } do
  local m = machine_with(1000, case[1])
  local page = m:alloc_pages(0, "GFP_HIGHUSER_MOVABLE")
  print(page)
  expect("the next movable page", page.pageblock.type, case[2])
  expect("the state is sound", m:check(), true)
end

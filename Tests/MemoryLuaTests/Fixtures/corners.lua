-- Calls that meet in corners: each of these once went wrong.

local function says(text, part)
  assert(tostring(text):find(part, 1, true), ("%q is not in:\n%s"):format(part, tostring(text)))
end

-- A ring that coalesces keeps one pin a folio, also of a huge page that is mapped page by page.
local m = machine{ ram = "128M" }
m:thp("always")
local vm = m:guest{ ram = "4M" }
vm:populate()
vm:mprotect("r", 0, "4K")
vm:mprotect("rw", 0, "4K")
assert(vm:pagemap()[1].level == "p")
local ring = vm:io_uring()
local mapping = ring:map{}
assert(mapping.coalesced and mapping.records == 2)
assert(vm:page(0).pincount == 1 and vm:page("3M").pincount == 1)
assert(m:check())
assert(ring:close().size == 4 << 20)
assert(vm:page(0).pincount == 0 and m:check())

-- Where pins are plain references, so are those of a ring.
m:kernel("5.1")
mapping = vm:io_uring():map{ length = "2M" }
assert(mapping.coalesced and vm:page(0).pincount == 0)
assert(vm:page(0).ref == vm:page(0).expected_ref + 1 and m:check())

-- A child is no guest before its fork is over, and a pin that is being taken is none to give back.
m = machine{ ram = "64M", cma = "16M", cpus = 2 }
vm = m:guest{ ram = "64K", thp = "never" }
vm:populate()
local t = step(function() vm:fork("child") end)
t:next(4)
assert(not t.done and #m:guests() == 1 and not pcall(m.guest, m, "child"))
assert(not pcall(vm.fork, vm, "child"), "the name is taken")
assert(m:check())
t:run()
assert(#m:guests() == 2 and m:guest("child"):resident().pages == 16)
t = step(function() vm:pin{ longterm = true } end)
t:to("g4")
assert(#m:pins() == 0 and #vm.pins == 0)
says(m:why(vm:page(0)), "1024 of pin #1 of vm0")
assert(m:check(), "what it holds is known")
t:run()
assert(#m:pins() == 1 and m:check())

-- Half way through any call the counts add up, with what the call holds.
for _, f in ipairs{
  function() vm:pin{ fast = true, longterm = true } end,
  function() vm:touch(vm:mmap{ length = "32K" }, "32K") end,
  function() vm:fork("again") end,
  function() vm:munmap("32K", "16K") end,
  function() m:guest("child"):exit() end,
  function() m:cma_alloc(512) end,
} do
  t = step(f)
  while not t.done do
    t:next()
    assert(m:check())
  end
end
vm:pin{ length = "8K", watch = function() assert(m:check()) end }

-- Before read pins made copies of their own, they took pages that others share.
m = machine{ ram = "64M", kernel = "5.13" }
vm = m:guest{ ram = "64K", thp = "never" }
vm:populate()
vm:fork()
assert(vm:pin{ write = false, longterm = true }.pages == 16 and m:check())

-- A bit of an area goes with all of its pages.
m = machine{ ram = "64M", cma = { { name = "a", size = "16M", order_per_bit = 2 } } }
local a, buffer = m:cma("a"), m:cma_alloc(21)
local ok, message = pcall(a.release, a, buffer.pfn, 17)
assert(not ok)
says(message, "a bit of area 'a' stands for 4 pages")
a:release(buffer.pfn, 16)
assert(buffer.released and a.used == 8)
a:release(buffer.pfn + 16, 5)
assert(a.used == 0 and m:check())

-- why: kernel pages with their owners, and which rule stops what.
m = machine{ ram = "1G", cma = "64M" }
vm = m:guest{ ram = "2M", backing = "memfd" }
vm:populate()
local pin = vm:pin{ length = "4K" }
says(m:why(pin:page(1)), "(rule P4.6, folio_migrate_mapping)")
local anon = m:guest{ name = "anon", ram = "2M" }
anon:write()
anon:madvise("dontneed", "8K", "4K")
local w = m:why(anon:page(0))
assert(w.movable and w.rule == "P4.11")
pin = anon:pin{ length = "4K" }
assert(m:why(pin:page(1)).rule == "P4.5")
anon:munmap()
assert(m:why(pin:page(1)).rule == "P4.6", "nothing shows it any more")
buffer = m:cma_alloc(100)
w = m:why(buffer.pfn + 3)
says(w, "a buffer of cma_alloc, 100 pages at pfn")
assert(w.holders[1].kind == "kernel" and not w.movable)
local pressure = m:pressure("64K")
local tables = {}
for _, group in ipairs(m:why_busy(0x1000, 0x1000, "alloc_contig")) do
  tables[group.by] = group
  if group.by == "pressure #1" then assert(group.pages == 16 and group.since == m.operation) end
end
assert(tables["pressure #1"] and tables["vm0's page tables"])
says(m:why(tables["vm0's page tables"].pfns[1]), "page table of vm0")
says(m:why(tables["pressure #1"].pfns[1]), "1 of pressure #1, since operation " .. m.operation)
t = step(function() m:cma_alloc(512, { align = 9 }) end)
t:to("c6")
local isolated
for pfn = m:cma().base, m:cma().base + m:cma().pages - 1, 512 do
  if m:pageblock(pfn).type == "Isolate" then isolated = pfn end
end
says(m:why(isolated), "Isolate block of area reserved")
t:run()

-- A gigantic page needs another one that nobody was promised, and that may be pinned.
m = machine{ ram = "8G", hugetlb_cma = "2G" }
m:hugepages{ size = "1G", count = 2 }
vm = m:guest{ ram = "1G", backing = "hugetlb", hugepages = "1G" }
vm:touch()
w = m:why(vm:page(0))
assert(w.movable and not w.pinnable)
says(w, "a long-term pin gets ENOMEM (P4.16)")
assert(select(2, vm:pin{ length = "4K", longterm = true }).errno == "ENOMEM")

-- What a kernel does with a page that does not move is that kernel's.
m = machine{ ram = "64M", cma = "32M" }
vm = m:guest{ ram = "1M", thp = "never", backing = "memfd" }
vm:populate()
local page
for at = 0, 255 do
  page = vm:page(at * 4096)
  if page.migratetype == "CMA" then break end
end
m:temp_ref(page, "a scanner")
says(m:why(page), "a long-term pin gets ENOMEM (P3.42)")
m:kernel("5.10")
says(m:why(page), "a long-term pin fails to move it, and stays on it (P3.50)")
m:kernel("4.2")
assert(m:why(page).pinnable, "nobody looks")

-- DAX files take no long-term pins and secret memory none at all, by the fast walk neither.
m = machine{ ram = "64M", swap = "64M", cma = "16M" }
local dax = m:guest{ name = "dax", ram = "64K", backing = "dax" }
local secret = m:guest{ name = "secret", ram = "64K", backing = "secret" }
dax:populate()
secret:populate()
assert(secret.locked_pages == 16)
for _, fast in ipairs{ true, false } do
  assert(select(2, dax:pin{ longterm = true, fast = fast }).errno == "EOPNOTSUPP")
  assert(dax:pin{ fast = fast }.pages == 16)
  for _, write in ipairs{ true, false } do
    assert(select(2, secret:pin{ fast = fast, write = write }).errno == "EFAULT")
  end
end
assert(secret:migrate().moved == 0 and m:why(secret:page(0)).rule == "P3.12")
secret:munmap("32K")
assert(secret.locked_pages == 8 and m:check())

-- A page of the swap cache is in nobody's way: cma_alloc takes it, although it is anonymous memory with
-- more references than mappings (P5.12).
vm = m:guest{ ram = "32M", thp = "never" }
vm:populate()
local held = {}
for at = 0, (32 << 20) - 1, 4096 do
  local found = vm:page(at)
  if found and found.migratetype == "CMA" and #held < 8 then held[#held + 1] = m:temp_ref(found) end
end
m:reclaim{ bytes = "48M" }
local cached = held[1].page
for _, reference in ipairs(held) do reference:release() end
assert(cached.flags:find("swapcache") and m:why(cached).movable)
assert(m:cma_alloc("16M") and m:check())
vm:read()
assert(vm.swapped_pages == 0 and m:check())

-- Huge pages in use that move to free ones of their own block keep it from going offline.
m = machine{ ram = "1G", movablecore = "512M" }
m:hugepages{ count = 40 }
vm = m:guest{ ram = "40M", backing = "hugetlb" }
vm:populate(0, "20M")
local done, err = m:offline(4, 20)
assert(not done and err.errno == "EINTR" and err.blockers[1].kind == "huge_pool", tostring(err))
says(err, "after 20 rounds")

-- Who is in the way, of every kind of holder: asked before, and told by the error.
local m = machine{ ram = "256M", cma = "64M", cpus = 2 }
local vm = m:guest{ ram = "160M", backing = "memfd" }
vm:populate()
m:drain_lru()
local area = m:cma("reserved")
local inside = {}
for at = 0, (160 << 8) - 1 do
  local page = vm:page(at << 12)
  if page.pfn >= area.base and page.pfn < area.base + area.pages then
    inside[#inside + 1] = at << 12
  end
end
assert(#inside > 2000)

local function busy(caller)
  local found = {}
  for _, entry in ipairs(m:why_busy(area.base, area.pages, caller)) do
    found[#found + 1] = ("%d %s: %s"):format(entry.pages, entry.kind, entry.by)
  end
  return table.concat(found, "\n")
end
assert(busy() == "")

-- Pins that only a kernel without the check leaves there.
m:kernel(kernel{ base = "6.12", lt_check = "none", lt_fast_check = "absent" })
local vfio = vm:vfio():map{ from = inside[1], length = "4K" }
local rdma = vm:rdma():map{ from = inside[600], length = "4K" }
m:kernel("6.12")
local reference = m:temp_ref(vm:page(inside[900]))
local named = m:temp_ref(vm:page(inside[1100]), "a reader of /proc/kcore")
local isolation = m:isolate(vm:page(inside[1300]))
local text = busy()
for _, words in ipairs{
  "1 pin: vm0's VFIO container, since operation ", "1 pin: vm0's RDMA device, since operation ",
  "1 temp_ref: temporary reference #1, taken by operation ",
  "1 temp_ref: temporary reference #2 of a reader of /proc/kcore, taken by operation ",
  "1 temp_ref: isolation #3, taken by operation ",
} do
  assert(text:find(words, 1, true), words .. " is not in\n" .. text)
end
assert(not text:find("somebody", 1, true), "the isolation is listed twice:\n" .. text)

-- The error says what the question said, of the last range that was tried.
local buffer, err = m:cma_alloc(area.pages)
assert(not buffer and err.errno == "EBUSY")
local by = {}
for _, entry in ipairs(err.blockers) do
  by[entry.by] = entry
  assert(entry.count == #entry.pfns and entry.pages == entry.count)
  assert(tostring(err):find(entry.by, 1, true) or #err.blockers > 4)
  if entry.pin or entry.reference then assert(entry.since > 0 and entry.since <= m.operation) end
end
assert(next(by))

-- What the map points at is the same.
local drawn = m:map{ area = "reserved", blockers = "cma_alloc", color = false, legend = false }
assert(drawn:find("in the way: ", 1, true) and drawn:find("VFIO container", 1, true), drawn)

-- Offline meets the area itself.
assert(m:why_busy(area.base, 1, "offline")[1].kind == "cma_pageblock")

reference:release()
named:release()
isolation:put_back()
vfio:unmap()
rdma:unmap()
m:drain_lru()
assert(busy() == "", busy())
buffer = assert(m:cma_alloc(area.pages))

-- Another user of the area.
local other, refused = m:cma_alloc(1)
assert(not other and refused.errno == "ENOMEM")
assert(#refused.blockers == 1 and refused.blockers[1].kind == "cma_buffer")
assert(refused.blockers[1].pages == area.pages)
assert(busy():find("a buffer of cma_alloc", 1, true))
buffer:release()
assert(m:check())

-- A drop_caches between its look at a page and its release.
m = machine{ ram = "64M", cma = "16M" }
local file = m:guest{ ram = "1M", backing = "memfd" }
file:populate()
m:drain_lru()
local pfn = file:page(0).pfn
local task = step(function() m:drop_caches(1) end)
local seen
while not task.done do
  task:next()
  for _, entry in ipairs(m:why_busy(pfn)) do seen = seen or entry.by end
end
assert(seen == "a temporary reference by drop_caches", tostring(seen))
assert(#m:why_busy(pfn) == 0 and m:check())

-- A page of the kernel, and one in a batch of another CPU, stop offline and alloc_contig.
m = machine{ ram = "512M", cpus = 2, thp = "never" }
local kernel_page
-- The first block has holes, which offline refuses before it looks at pages.
repeat kernel_page = m:alloc_pages(10, "GFP_KERNEL") until kernel_page.pfn >> 15 > 0
local block = kernel_page.pfn >> 15
assert(m:why_busy(kernel_page.pfn, 1, "offline")[1].kind == "kernel")
local done, offline = m:offline(block)
assert(not done and offline.errno == "EBUSY" and #offline.blockers > 0)
local guest = m:guest{ ram = "1M" }
guest:touch(0, "16K")
local waiting = m:why_busy(guest:page(0).pfn, 1, "alloc_contig")
assert(waiting[1].kind == "lru_batch" and waiting[1].by == "the LRU batch lru_add", waiting[1].by)
m:drain_lru()
assert(#m:why_busy(guest:page(0).pfn, 1, "alloc_contig") == 0)
assert(m:check())

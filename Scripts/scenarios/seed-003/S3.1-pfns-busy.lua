-- S3.1 · [1f3800, 1f78c4) PFNs busy
-- A pinned page at pfn 1f4000 is in the way of a hash page table of 1 GiB. Why does the log of 2015 show
-- ranges that all begin at 1f3800, and where does the table end up?
-- Thread: linux-mm, August 2015, "[RFC PATCH kernel vfio] mm: vfio: Move pages out of CMA before
-- pinning". Alexey Kardashevskiy, 5 August: "alloc_contig_range: [1f3800, 1f78c4) PFNs busy".
-- Rules: P5.2, P5.16, P5.25.

local m = machine{
  arch = "ppc64", ram = "128G", min_free_kbytes = 8192,
  cma = { { name = "kvm_cma", base = 0x1f3800, size = "1168M", order_per_bit = 2 } },
}
local area = m:cma("kvm_cma")
print(area)
-- The kernel has all other memory, so a process gets its pages from the area.
local block
repeat
  local last = block
  block = m:alloc_pages(8, "GFP_KERNEL|__GFP_NORETRY|__GFP_NOWARN")
  if not block then m:free_pages(last) end
until not block
m:drain()
local vm = assert(m:guest{ name = "vm0", ram = "1160M" })
vm:populate()
m:drain_lru()
local offset
for page = 0, vm.ram // m.page_size - 1 do
  if vm:page(page * m.page_size).pfn == 0x1f4000 then offset = page * m.page_size end
end
local pin = vm:pin{ from = offset, length = m.page_size }
vm:madvise("dontneed", 0, offset)
vm:madvise("dontneed", offset + m.page_size, vm.ram - offset - m.page_size)
m:drain()
print(m:why(vm:page(offset).pfn))
print(m:map{ area = "kvm_cma", blockers = "cma_alloc", color = false, legend = false })
expect("who is in the way", m:why_busy(area.base, area.pages)[1].pfns[1], 0x1f4000)

print("-- Linux 4.2 says so, once for each candidate")
local old = m:fork()
old:kernel("4.2")
local before = old:cma_alloc(0x4000, { align = 2 })
local lines = {}
for line in old:dmesg():gmatch("[^\n]*PFNs busy") do lines[#lines + 1] = line end
for i = 50, 52 do print(lines[i]) end
expect("lines", #lines, 513)
-- Candidate 1f38c4 is the fiftieth.
expect("the range of candidate 1f38c4", lines[50],
       "alloc_contig_range: [1f3800, 1f78c4) PFNs busy")
expect("its end goes on by four pages", lines[51],
       "alloc_contig_range: [1f3800, 1f78c8) PFNs busy")
expect("and the first success", before.pfn, 0x1f4004)

print("-- 6.12 tries the same, and says nothing")
m:trace{ clear = true }
local buffer = m:cma_alloc(0x4000, { align = 2 })
print(buffer)
expect("candidates before the page are refused, one bit after the other",
       select(2, m:trace():gsub("cma_alloc_busy_retry", "")), (0x1f4004 - 0x1f3800) // 4)
expect("the first behind it is free", buffer.pfn, 0x1f4004)
expect("lines of that kind", m:dmesg():find("PFNs busy", 1, true), nil)
expect("the state is sound", m:check() and old:check(), true)

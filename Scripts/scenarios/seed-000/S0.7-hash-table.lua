-- S0.7 · a guest that does not start
-- A powerpc host keeps 5 % of its memory in CMA for the hash page tables of its guests. Guest A has a
-- device, and its pinned pages lie all over that area. Does guest B get its table?
-- Thread: linux-mm, September 2018, "[RFC PATCH V2 4/4] powerpc/mm/iommu: Allow migration of cma
-- allocated pages during mm_iommu_get". Aneesh Kumar K.V, 6 September: "we fail to allocate hash page
-- table that result in failure to start guest".
-- Rules: P5.20, P5.21, P5.22.

print("-- the sizes: 256 GiB of memory, a guest of 128 GiB")
local host = machine{ arch = "ppc64", ram = "256G", kvm_cma_resv_ratio = 5 }
local area = host:cma("kvm_cma")
print(area)
expect("bits of 256 KiB", area.pages >> area.order_per_bit, 52480)
local b = host:guest{ name = "B", ram = "128G", hpt = true }
print(b.hpt)
expect("the order for 128 GiB", b.hpt.order, 30)
expect("at the first candidate", b.hpt.pfn, area.base)

-- The size of the host is the first argument: `pinlab scenarios run S0.7 256G` is the case of the thread,
-- in which 4.2 tries 48,385 places for the table of 1 GiB: some seconds in a release build. Without it the
-- host has 4 GiB, a quarter of which is the area, and the table 64 MiB.
local size = ... or "4G"
local isFull = size == "256G"
local hosts = {
  ["256G"] = { ratio = 5, ram = "128G", order = 30, spare = 40, every = 105, populated = 4096 },
  ["4G"] = { ratio = 25, ram = "1G", order = 26, spare = 5, every = 102, populated = 96 },
}
local case = assert(hosts[size], "the host has 4G or 256G")
print("-- a host of " .. size)
local m = machine{
  arch = "ppc64", ram = size, kvm_cma_resv_ratio = case.ratio, min_free_kbytes = 8192,
}
area = m:cma("kvm_cma")
-- The kernel has all other memory for a while, so A's pages borrow the area.
local blocks = {}
while true do
  local block = m:alloc_pages(8, "GFP_KERNEL|__GFP_NORETRY|__GFP_NOWARN")
  if not block then break end
  blocks[#blocks + 1] = block
end
for i = #blocks, #blocks - case.spare + 1, -1 do m:free_pages(blocks[i]) blocks[i] = nil end
m:drain()
local vm = assert(m:guest{ name = "A", ram = isFull and case.ram or "1030M" })
local touched = (area.pages + case.populated) * m.page_size
print(vm:populate(0, touched))
m:drain_lru()
for _, block in ipairs(blocks) do m:free_pages(block) end
expect("three quarters of the area and more are A's", vm:resident().cma > area.pages * 3 // 4, true)
-- A device sees one page in 6.4 MiB of the area; the rest of A's memory goes.
local every = case.every
local wanted, offsets = {}, {}
for i = 0, (area.pages - 1) // every do wanted[area.base + i * every] = true end
for page = 0, touched // m.page_size - 1 do
  local offset = page * m.page_size
  if wanted[vm:page(offset).pfn] then offsets[#offsets + 1] = offset end
end
if isFull then expect("pages for the device", #offsets, 2000) end
expect("pages for the device, one in 6.4 MiB", #offsets > area.pages // every * 3 // 4, true)

-- Gives the device its pages, and all others back.
local function plug(machine, name)
  machine:kernel(name)
  local guest = machine:guest("A")
  local last = 0
  for _, offset in ipairs(offsets) do
    if offset > last then guest:madvise("dontneed", last, offset - last) end
    last = offset + machine.page_size
  end
  guest:madvise("dontneed", last, touched - last)
  local moved = machine:fork()
  local container = guest:vfio()
  for _, offset in ipairs(offsets) do
    assert(container:map{ from = offset, length = machine.page_size, iova = offset })
  end
  return machine:vmstat{ since = moved, table = true }.pgmigrate_success
end

print("-- 4.2: nobody checks where a pinned page lies")
local old = m:fork()
expect("4.2: pages moved", plug(old, "4.2"), 0)
print(old:map{ area = "kvm_cma", blockers = "cma_alloc", color = false, legend = false })
local none, err = old:guest{ name = "B", ram = case.ram, hpt = case.order }
print(none, err)
expect("guest B does not start", err.errno, "ENOMEM")
expect("and is gone", #old:guests(), 1)
expect("pages asked for in vain", old:cma("kvm_cma").alloc_pages_fail, 1 << case.order - 16)

for _, name in ipairs{ "5.1", "6.12" } do
  print("-- " .. name .. " moves each page out of the area before it is pinned")
  local new = m:fork()
  expect(name .. ": pages moved", plug(new, name), #offsets)
  local guest = new:guest{ name = "B", ram = case.ram, hpt = case.order }
  print(guest.hpt)
  expect(name .. ": B's table lies where the area begins", guest.hpt.pfn, area.base)
  guest:exit()
  expect(name .. ": and is freed with B", new:cma("kvm_cma").used, 0)
  expect(name .. ": the state is sound", new:check() and old:check(), true)
end

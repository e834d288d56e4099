-- S0.5 · pinned memory under pressure
-- 256 MiB of a guest are pinned, and another process wants more memory than there is. What can the kernel
-- take away, and does it matter that the pins are out of CMA?
-- Thread: linux-mm, September 2018, "[RFC PATCH V2 4/4] powerpc/mm/iommu: Allow migration of cma
-- allocated pages during mm_iommu_get". Michal Hocko, 6 September: "Pinned pages are not reclaimable
-- as well so there is a risk of OOMs".
-- Rules: P9.1, A7.37.

-- A guest, half of it pinned, and a second guest that fills all memory and more.
local function press(kernel, size, pinned)
  local m = machine{ ram = size, cma = "50%", swap = size * 2, thp = "never", cpus = 2, kernel = kernel }
  local vm = m:guest{ name = "vm0", ram = pinned * 2 }
  vm:populate()
  m:drain_lru()
  local pin = vm:pin{ length = pinned, longterm = true }
  print(pin)
  local other = m:guest{ name = "other", ram = size }
  other:populate()
  print(vm:map{ columns = 80, color = false, legend = false })
  return m, vm, pin, other
end

-- Whether the guest still sees the pages that the device has.
local function sees(vm, pin)
  local same = 0
  local pfns = pin.pfns
  for i = 1, #pfns do
    if vm:page((i - 1) * 4096).pfn == pfns[i] then same = same + 1 end
  end
  return same
end

print("-- 6.12: 256 MiB pinned on a machine of 4 GiB, and 4 GiB wanted")
local m, vm, pin, other = press(nil, size"4G", size"256M")
local d = m:vmstat{ table = true }
expect("pages pinned", pin.pages, 65536)
expect("pinned pages that were swapped", 65536 - vm:resident(0, "256M").pages, 0)
expect("all other pages of the guest were", vm.swapped_pages, 65536)
expect("pages in swap space", d.pswpout - d.pswpin, vm.swapped_pages + other.swapped_pages)
expect("nobody had to die", d.oom_kill, 0)
expect("the state is sound", m:check(), true)

for _, kernel in ipairs{ "4.2", "5.12", "6.1" } do
  print("-- Linux " .. kernel .. ", an eighth of everything")
  m, vm, pin, other = press(kernel, size"512M", size"32M")
  local before = m:vmstat{ table = true }
  expect("pages pinned", pin.pages, 8192)
  -- Where a pin is but a reference, the kernel takes the page out of the page table, and finds it in use.
  vm:read(0, "32M")
  expect("pinned pages that had to be read", m:vmstat{ table = true }.pswpin - before.pswpin, 0)
  expect("pages that the guest shares with the device", sees(vm, pin), 8192)
  expect("nobody had to die", m:vmstat{ table = true }.oom_kill, 0)
  expect("the state is sound", m:check(), true)
end

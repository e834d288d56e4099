-- S3.3 · the device is unplugged
-- 1000 pages were moved out of CMA for a pin. When the device goes, do they move back?
-- Thread: linux-mm, August 2015, "[RFC PATCH kernel vfio] mm: vfio: Move pages out of CMA before
-- pinning". Alexey Kardashevskiy, 5 August: VFIO can be plugged into a running guest, and unplugged.
-- Rules: P2.31, P3.42, P4.8.

local m = machine{ ram = "2G", cma = "1200M", thp = "never" }
local vm = m:guest{ ram = 1000 * 4096 }
vm:populate()
m:drain_lru()
expect("born in CMA", vm:resident().cma, 1000)
local pin = vm:pin{ longterm = true }
print(pin)
expect("moved out", vm:resident().cma, 0)
local free = m:zone("DMA32").free_cma
pin:unpin()
print(vm:map{ legend = false, color = false })
expect("without the pin they stay outside", vm:resident().cma, 0)
expect("CMA is not refilled", m:zone("DMA32").free_cma, free)
local types = {}
for page = 0, 999 do
  local type = vm:page(page * 4096).pageblock.type
  types[type] = (types[type] or 0) + 1
end
expect("all lie in blocks of the kernel's type", types.Unmovable, 1000)
local other = m:guest{ ram = "1M" }
other:populate()
expect("the next guest takes CMA, as the first did", other:resident().cma, 256)
expect("the state is sound", m:check(), true)

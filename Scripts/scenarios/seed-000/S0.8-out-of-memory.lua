-- S0.8 · pins that do not fit into the kernel's zones
-- Most of a machine's memory is ZONE_MOVABLE, and a guest there is larger than what is left beside it. What
-- does moving its pages before they are pinned cost?
-- Thread: linux-mm, September 2018, "[RFC PATCH V2 4/4] powerpc/mm/iommu: Allow migration of cma
-- allocated pages during mm_iommu_get". Michal Hocko, 7 September: "I suspect this will lead to other
-- issues (OOM in kernel zones)".
-- Rules: P9.2, P4.10, A7.40, P6.6.

-- 360 MiB for the kernel, 970 MiB movable; somebody small beside the guest that will be pinned.
local function start(thp)
  local m = machine{ ram = "1330M", kernelcore = "360M", thp = thp }
  local bystander = m:guest{ name = "bystander", ram = "120M" }
  bystander:write()
  local vm = m:guest{ name = "pinner", ram = "600M" }
  vm:write()
  vm.oom_score_adj = -500
  m:drain_lru()
  expect("the bystander is in ZONE_MOVABLE", bystander:resident().movable, 30720)
  expect("the pinner as well", vm:resident().movable, 153600)
  return m, vm
end

local function killed(m)
  local names = {}
  for name in m:dmesg():gmatch("Killed process %d+ %((%S+)%)") do names[#names + 1] = name end
  return table.concat(names, ", ")
end

for _, thp in ipairs{ "never", "always" } do
  print("-- 6.12, transparent_hugepage=" .. thp)
  local m, vm = start(thp)
  local before = m:vmstat{ table = true }
  print(vm:pin{ longterm = true })
  print(m:dmesg())
  local d = m:vmstat{ table = true }
  expect("killed", killed(m), "bystander, pinner")
  expect("which leaves nobody who could see an errno", #m:guests(), 0)
  expect("kills", d.oom_kill - before.oom_kill, 2)
  expect("pages that are still pinned", d.nr_foll_pin_acquired - d.nr_foll_pin_released, 0)
  -- Huge pages find no room as such, so they are split, and their pages go on one by one.
  expect("huge pages were split", d.thp_split_page > 0, thp == "always")
  expect("the state is sound", m:check(), true)
end

print("-- 5.12 looks at CMA alone: nothing moves, and nobody dies")
local m, vm = start("never")
m:kernel("5.12")
local pin = vm:pin{ longterm = true }
print(pin)
expect("pages pinned", pin.pages, 153600)
expect("they stay in ZONE_MOVABLE", vm:resident().movable, 153600)
expect("kills", m:vmstat{ table = true }.oom_kill, 0)
local block = vm:page("300M").pfn // m:memory_blocks()[1].pages
local ok, err = m:offline(block, 1)
print(ok, err)
expect("but their memory never goes offline", err.errno, "EINTR")
expect("because of the pin", err.blockers[1].pin, pin.id)
expect("the state is sound", m:check(), true)

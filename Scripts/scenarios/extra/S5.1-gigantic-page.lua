-- S5.1 · a gigantic page out of hugetlb_cma
-- A page of 1 GiB comes from a CMA area of its own. Can it be pinned for long?
-- Thread: Linux 6.12 itself; a recorded kernel did the same.
-- Rules: P5.30, P4.16, P3.40, P3.42.

-- What changed since `before`, by counter.
local function delta(m, before)
  return m:vmstat{ since = before, table = true }
end

local m = machine{ ram = "3G", hugetlb_cma = "1G" }
expect("the area", m:cma().name, "hugetlb0")
expect("pages of a bit, as an order", m:cma().order_per_bit, 9)
m:hugepages{ size = "1G", count = 2 }
expect("gigantic pages, of the two that were asked for", m:hugepages{ size = "1G" }.nr, 1)
expect("pages that the area gave", m:cma().used, 1 << 18)

print("-- not touched: the fault inside the pin may not use CMA, and there is nothing else")
local vm = m:guest{ ram = "1G", backing = "hugetlb", hugepages = "1G" }
local p, err = vm:pin{ length = "4K", longterm = true }
print(p, err)
expect("the error", err.errno, "EFAULT")

print("-- touched: the page is there, and has nowhere to go")
print(vm:write())
expect("one leaf holds it all", vm:resident().huge, 1 << 18)
local before = m:fork()
p, err = vm:pin{ length = "4K", longterm = true }
print(p, err)
expect("the error", err.errno, "ENOMEM")
expect("pgmigrate_fail", delta(m, before).pgmigrate_fail, 1 << 18)
expect("pgmigrate_success", delta(m, before).pgmigrate_success, 0)

print("-- a short pin does not mind")
p = vm:pin{ length = "64K" }
expect("pages pinned", p.pages, 16)
p:unpin()

print("-- a gigantic page from elsewhere is pinned where it lies")
local other = machine{ ram = "4G" }
other:hugepages{ size = "1G", count = 1 }
local vm2 = other:guest{ ram = "1G", backing = "hugetlb", hugepages = "1G" }
p = vm2:pin{ longterm = true }
print(p)
expect("pages pinned", p.pages, 1 << 18)
expect("nothing moved", p.migrated, 0)
expect("the state is sound", m:check() and other:check(), true)

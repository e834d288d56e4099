-- The pool of huge pages: growing, shrinking, nodes, sizes, and what others see of it.
local m = machine{ ram = "1G", movablecore = "512M", thp = "never" }
local free = m.free
local empty = m:hugepages()
assert(empty.nr == 0 and empty.free == 0 and empty.size == 2 << 20)

local pool = m:hugepages{ count = 20 }
assert(pool.nr == 20 and pool.free == 20 and pool.max == 20)
assert(pool.reserved == 0 and pool.surplus == 0 and pool.overcommit == 0)
assert(m.free == free - 20 * 512)
assert(m:vmstat{ table = true }.htlb_buddy_alloc_success == 20)
assert(m:meminfo():find("HugePages_Free:       20\nHugePages_Rsvd:        0", 1, true))
assert(m:meminfo():find("Hugetlb:           40960 kB", 1, true))

-- A page of the pool is nobody's to free.
local start = m:zone("Movable").start_pfn
local page = m:page(start)
assert(page.state == "pool" and page.order == 9)
local fine, message = pcall(m.free_pages, m, page)
assert(not fine and message:find("free huge page of the pool", 1, true))

-- Whoever asks for too many gets what there is.
local all = m:hugepages{ count = 100000 }
assert(all.nr < 512 and all.nr > 300 and all.max == all.nr)
assert(m:hugepages{ count = 0 }.nr == 0)
m:drain()
assert(m.free == free and m:check())

-- Gigantic pages have a pool, and nothing to fill it with.
assert(m:hugepages{ size = "1G", count = 1 }.nr == 0)
local got, refused = m:hugepages{ size = "1G", overcommit = 1 }
assert(got == nil and refused.errno == "EINVAL")
assert(not pcall(m.hugepages, m, { size = "4M" }))

-- Nodes take turns unless one is named.
local two = machine{ nodes = { "64M", "64M" }, hugepages = { 2, 4 } }
assert(two:hugepages().nr == 6 and two:hugepages{ node = 1 }.nr == 4)
assert(two:hugepages{ node = 0, count = 0 }.nr == 0)
assert(two:hugepages().nr == 4 and two:check())
assert(not pcall(two.hugepages, two, { node = 2 }))

local booted = machine{ ram = "256M", hugepages = 8 }
assert(booted:hugepages{ overcommit = 3 }.overcommit == 3)
assert(booted:hugepages().nr == 8)
local fork = booted:fork()
fork:hugepages{ count = 1 }
assert(booted:hugepages().nr == 8 and fork:hugepages().nr == 1)
for _, wrong in ipairs{ -1, "many", { 1, 2 }, { -1 }, 1.5 } do
  assert(not pcall(machine, { ram = "64M", hugepages = wrong }))
end

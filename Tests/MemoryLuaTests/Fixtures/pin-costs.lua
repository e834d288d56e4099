-- What pinning costs, rule by rule (P8.1 to P8.9): the counted figures are those of the formulas, written
-- out with the symbols of the rules: N pages, H huge pages, S single ones, C calls of B pages, U folios that
-- have to move.

local function check(what, got, wanted)
  assert(got == wanted, ("%s: %s, not %s"):format(what, tostring(got), tostring(wanted)))
end
-- Figures of a pin by name, against those of a formula.
local function costs(what, pin, wanted)
  for name, value in pairs(wanted) do check(what .. ", " .. name, pin.costs[name], value) end
  return pin
end
local page, leaf = 4096, 2 << 20

-- A guest of which the first part is huge pages and the rest single ones, none in CMA.
local function mixed(H, S)
  local m = machine{ ram = "1G", thp = "madvise" }
  local vm = m:guest{ name = "vm0", ram = H * leaf + S * page }
  if H > 0 then vm:madvise("hugepage", 0, H * leaf) end
  if S > 0 then vm:madvise("nohugepage", H * leaf, S * page) end
  vm:write()
  m:drain_lru()
  check("pages in huge leaves", vm:resident().huge, H * 512)
  return m, vm
end

-- P8.1: one leaf of each kind, walked slowly.
local m, vm = mixed(2, 2)
local at = 2 * leaf
costs("P8.1 a page", vm:pin{ from = at, length = page }, { walks = 1, entry_reads = 4, pin_atomics = 1 }):unpin()
costs("P8.1 a leaf", vm:pin{ length = leaf }, { walks = 1, entry_reads = 4, pin_atomics = 4 }):unpin()
costs("P8.1 one page of a leaf", vm:pin{ length = page }, { walks = 1, entry_reads = 4, pin_atomics = 2 }):unpin()
costs("P8.1 a get of a page", vm:pin{ from = at, length = page, get = true }, { pin_atomics = 1 }):unpin()
costs("P8.1 a get of a leaf", vm:pin{ length = leaf, get = true }, { pin_atomics = 2 }):unpin()
-- Mapped page by page, each page of a huge page is a leaf.
local split = m:fork()
local svm = split:guest("vm0")
svm:mprotect("r", 0, page)
check("P8.1 the mapping is split", svm:resident(0, leaf).huge, 0)
costs("P8.1 pages of a split mapping", svm:pin{ from = page, length = 8 * page },
  { walks = 8, entry_reads = 32, pin_atomics = 16 })

-- P8.2: the same walked fast: 3 reads a page and one a table of 512, 2 a leaf, 2 above once a call.
costs("P8.2 a page", vm:pin{ from = at, length = page, fast = true }, { walks = 0, entry_reads = 3 + 1 + 2, pin_atomics = 2 }):unpin()
costs("P8.2 a leaf", vm:pin{ length = leaf, fast = true }, { entry_reads = 2 + 2, pin_atomics = 2 }):unpin()

-- P8.2: every design, on half huge and half single pages, in calls of 2 MiB.
local H, S = 8, 8 * 512
local N, h = H * 512 + S, H * 512
local C = N // 512
m, vm = mixed(H, S)
local function design(base, fields)
  fields = fields or {}
  fields.base = base
  return kernel(fields)
end
local slow = { longterm = true, remote = true, chunk = "2M" }
local designs = {
  { "D1", design("5.12"), { longterm = true, remote = true, chunk = "4K" },
    { calls = N, walks = N, entry_reads = 4 * N, pin_atomics = S + 2 * h, array_writes = N, rescan_reads = N, lookups = N } },
  { "D1g", design("4.9ppc"), { fast = true, get = true, chunk = "4K" },
    { calls = N, walks = 0, entry_reads = 6 * S + 4 * h, pin_atomics = N, array_writes = N } },
  { "D2", design("5.1"), slow,
    { calls = C, walks = N, entry_reads = 4 * N, pin_atomics = N, array_writes = 2 * N, rescan_reads = 2 * N, lookups = N } },
  { "D3", design("5.10"), slow,
    { calls = C, walks = N, entry_reads = 4 * N, pin_atomics = S + 2 * h, array_writes = 2 * N, rescan_reads = N + S + H, lookups = S + H } },
  { "D4", design("5.13"), slow,
    { calls = C, walks = N, entry_reads = 4 * N, pin_atomics = S + 2 * h, array_writes = N, rescan_reads = N, lookups = S + H } },
  { "D5", design("6.12"), slow,
    { calls = C, walks = S + H, entry_reads = 4 * (S + H), pin_atomics = S + 4 * H, array_writes = N, rescan_reads = N, lookups = S + H } },
  { "D6", design("6.12"), { longterm = true, fast = true, chunk = "2M" },
    { calls = C, walks = 0, entry_reads = 3 * S + S // 512 + 2 * H + 2 * C, pin_atomics = 2 * S + 2 * H, array_writes = N, rescan_reads = 0, lookups = S + H } },
  { "D7", design("6.12", { gup_walker = "integrated" }), slow,
    { calls = C, walks = S + H, entry_reads = 4 * (S + H), pin_atomics = S + 4 * H, array_writes = N, rescan_reads = 0, lookups = S + H } },
  { "D8", design("6.12", { gup_walker = "integrated", gup_output = "scatter" }), slow,
    { calls = C, walks = S + H, entry_reads = 4 * (S + H), pin_atomics = S + 2 * H, array_writes = 0, rescan_reads = 0, lookups = S + H } },
}
for _, d in ipairs(designs) do
  m:kernel(d[2])
  costs("P8.2 " .. d[1], vm:pin(d[3]), d[4]):unpin()
end
-- What they give back: page by page, or folio by folio since 5.13; gets one a page.
for name, atomics in pairs{ ["5.1"] = N, ["5.10"] = S + 2 * h, ["5.13"] = S + 2 * H, ["6.12"] = S + 2 * H } do
  m:kernel(name)
  check("P8.2 unpin on " .. name, vm:rdma():map{}:unmap().unpin_atomics, atomics)
end
m:kernel("6.12")

-- P8.5: VFIO unpins page by page to this day, and asks the IOMMU's table once a page and once a border.
local container = vm:vfio()
local runs = container:map{}.runs
local done = container:unmap{ length = N * page }
check("P8.5 unpins", done.unpin_atomics, S + 2 * h)
check("P8.5 looks", done.lookups, N + runs - 1)

-- P8.6: without the array of VMAs: a write and a read a page less.
m:kernel("5.10")
local with = vm:pin(slow)
m:kernel("5.12")
local without = vm:pin(slow)
check("P8.6 writes", with.costs.array_writes - without.costs.array_writes, N)
check("P8.6 reads", with.costs.rescan_reads - without.costs.rescan_reads, N)
with:unpin()
without:unpin()

-- P8.3, P8.4: U pages of a guest in CMA, the others outside, in calls of B pages.
local function spotted(pages, every)
  local m = machine{ ram = "1G", cma = "640M", thp = "never" }
  local vm = m:guest{ name = "vm0", ram = pages * page }
  vm:pin{ longterm = true }:unpin()
  local U = 0
  for i = every // 2, pages - 1, every do
    vm:madvise("dontneed", i * page, page)
    vm:write(i * page, page)
    U = U + 1
  end
  m:drain_lru()
  check("pages in CMA", vm:resident().cma, U)
  return m, vm, U
end
N = 4096
for _, every in ipairs{ 4096, 512, 64 } do
  local start, _, U = spotted(N, every)
  local calls = math.min(U, N // 512)
  -- Of 512 pages a call: the calls with a page that moves pay two rounds, the others one.
  local m = start:fork()
  local twice = calls * 512
  costs("P8.3 D5, one in " .. every, m:guest("vm0"):pin(slow), {
    walks = N + twice, entry_reads = 4 * (N + twice), pin_atomics = N + twice, array_writes = N + twice,
    rescan_reads = N + twice, unpin_atomics = twice, rounds = N // 512 + calls, migrated_pages = U,
  })
  -- One call for all: one bad page repeats all N.
  m = start:fork()
  costs("P8.4 one call, one in " .. every, m:guest("vm0"):pin{ longterm = true },
    { calls = 1, rounds = 2, walks = 2 * N, pin_atomics = 2 * N, unpin_atomics = N, migrated_pages = U })
  -- Page by page the affected page alone is walked twice, and so it is by the integrated walker.
  m = start:fork()
  m:kernel(kernel{ base = "6.12", vfio_batch = 1 })
  costs("P8.3 D1, one in " .. every, m:guest("vm0"):pin{ longterm = true, remote = true, chunk = "4K" },
    { walks = N + U, pin_atomics = N + U, unpin_atomics = U })
  m = start:fork()
  m:kernel(kernel{ base = "6.12", gup_walker = "integrated" })
  costs("P8.3 D7, one in " .. every, m:guest("vm0"):pin(slow),
    { walks = N + U, entry_reads = 4 * (N + U), pin_atomics = N + U, unpin_atomics = U, rescan_reads = 0 })
end
-- Huge pages in CMA: a failed round gives back 2 a page in 6.12, folio by folio from 5.13 to 6.0.
m = machine{ ram = "1G", cma = "640M" }
vm = m:guest{ name = "vm0", ram = "4M" }
vm:write()
check("huge pages in CMA", vm:resident().cma, 1024)
for name, atomics in pairs{ ["5.13"] = 4, ["6.0"] = 4, ["6.1.13"] = 2048, ["6.12"] = 2048 } do
  local f = m:fork()
  -- With one list for all huge pages it would never end (P4.41).
  f:kernel(kernel{ base = name, thp_pcp_lists = 2 })
  costs("P8.3 the failed round on " .. name, f:guest("vm0"):pin{ longterm = true },
    { rounds = 2, unpin_atomics = atomics, migrated_pages = 1024 })
end

-- P8.7: 300 GiB of huge pages, by a sample of 64 MiB.
H, C = 32, 32
local times = 153600 // H
m, vm = mixed(H, 0)
local function all(pin)
  local counted = {}
  for name, value in pairs(pin.costs) do counted[name] = value * times end
  return counted
end
m:kernel("5.12")
local pin = vm:pin{ longterm = true, remote = true, chunk = "4K" }
local c = all(pin)
check("P8.7 D1", table.concat({ c.calls, c.walks, c.entry_reads, c.pin_atomics }, " "),
  "78643200 78643200 314572800 157286400")
pin:unpin()
m:kernel("6.12")
pin = vm:pin(slow)
c = all(pin)
check("P8.7 D5", table.concat({ c.calls, c.walks, c.entry_reads, c.pin_atomics, c.rescan_reads }, " "),
  "153600 153600 614400 614400 78643200")
pin:unpin()
pin = vm:pin{ longterm = true, fast = true, chunk = "2M" }
c = all(pin)
check("P8.7 D6", table.concat({ c.calls, c.entry_reads, c.pin_atomics, c.rescan_reads }, " "),
  "153600 614400 307200 0")
pin:unpin()
check("P8.7 unpin, batched", vm:rdma():map{}:unmap().unpin_atomics * times, 307200)
check("P8.7 unpin, VFIO", vm:vfio():map{}:unmap().unpin_atomics * times, 157286400)

-- P8.8: calls that are not aligned see a leaf twice: H + min(H, C) instead of H.
m, vm = mixed(8, 0)
for _, case in ipairs{ { "2M", 8 }, { "4M", 4 } } do
  local pin = vm:pin{ from = page, length = 8 * leaf - 2 * page, longterm = true, remote = true, chunk = case[1] }
  -- The last call ends inside the last leaf, so one border is no call's.
  local twice = math.min(8, case[2]) - 1
  costs("P8.8 calls of " .. case[1], pin,
    { calls = case[2], walks = 8 + twice, entry_reads = 4 * (8 + twice) })
  pin:unpin()
end

-- P8.9: drains. A page that waits in a batch, in each of two calls; the batch of another CPU.
local function drains(name, huge)
  local m = machine{ ram = "1G", cma = "640M", thp = huge and "always" or "never", cpus = 2 }
  local vm = m:guest{ name = "vm0", ram = "4M" }
  vm:populate()
  m:drain_lru()
  m:kernel(name)
  if not huge then
    m.cpu = 1
    for _, at in ipairs{ 0, leaf } do
      vm:madvise("dontneed", at, page)
      vm:write(at, page)
    end
    m.cpu = 0
  end
  local costs = vm:pin(slow).costs
  return costs.local_drains .. " " .. costs.full_drains
end
check("P8.9 references: nothing for huge pages", drains("6.12", true), "0 0")
check("P8.9 references: local, then all, once a call", drains("6.12"), "1 1")
check("P8.9 flags: all, where a page has none", drains("5.13"), "0 1")
check("P8.9 flags: none for huge pages", drains("5.13", true), "0 0")
check("P8.9 page by page: once a huge page, for its second page", drains("5.1", true), "0 2")

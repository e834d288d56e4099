-- S5.2 · one held page in an area of 800 MiB
-- Somebody holds the page at offset 4 of a CMA area. What becomes of a request for the whole area, and
-- of one for 64 pages?
-- Thread: measured on 6.12.117 for this rule book.
-- Rules: P5.2, P5.4, P5.12, P5.14.

local others = 40222

-- An area with one guest's memory, of which the page at an offset is held and so many others stay.
local function prepare(backing, offset)
  local m = machine{ ram = "1400M", cma = "800M", thp = "never" }
  local area = m:cma()
  local vm = m:guest{ ram = "1200M", backing = backing }
  vm:populate()
  m:drain_lru()
  local kept, at = 0, nil
  local gone = {}
  local rows = vm:pagemap()
  for i = 1, #rows do
    local run = rows[i]
    -- The page itself, and as many others as there shall be.
    for page = 0, run.pages - 1 do
      local pfn = run.pfn + page
      local address = run.address + page * 4096
      if pfn == area.base + offset then
        at = address
      elseif kept < others and pfn >= area.base and pfn < area.base + area.pages then
        kept = kept + 1
      else
        local last = gone[#gone]
        if last and last[1] + last[2] == address then
          last[2] = last[2] + 4096
        else
          gone[#gone + 1] = { address, 4096 }
        end
      end
    end
  end
  for _, range in ipairs(gone) do
    assert(vm:madvise("dontneed", range[1], range[2]))
  end
  m:drain()
  return m, vm, m:temp_ref(vm:page(at), "a pipe")
end

print("-- an anonymous page")
local m, vm = prepare("anon", 4)
local area = m:cma()
expect("pages of the area in use", vm:resident().cma, others + 1)
local small = m:fork()
local before = m:fork()
local none, err = m:cma_alloc(area.pages)
print(none, err)
local d = m:vmstat{ since = before, table = true }
expect("the call", err.errno, "EBUSY")
expect("in the way", err.blockers[1].pfns[1], area.base + 4)
expect("all others have moved all the same", d.pgmigrate_success, others)
expect("a held page is passed over, which is no failure", d.pgmigrate_fail, 0)
expect("calls that failed", d.cma_alloc_fail, 1)
expect("pages that failed", area:read("alloc_pages_fail"), "204800\n")
print(m:dmesg())

print("-- 64 pages: the request creeps past the page")
small:trace{ clear = true }
local buffer = small:cma_alloc(64)
print(buffer)
local _, busy = small:trace():gsub("cma_alloc_busy_retry", "")
expect("busy candidates", busy, 5)
expect("the first without the page", buffer.pfn, area.base + 5)
expect("the state is sound", m:check() and small:check(), true)

print("-- a shmem page is taken, and fails five times")
m = machine{ ram = "256M", cma = "64M", thp = "never" }
vm = m:guest{ ram = "180M", backing = "memfd" }
vm:populate()
m:drain_lru()
area = m:cma()
local at
for page = 0, vm.ram // 4096 - 1 do
  if vm:page(page * 4096).pageblock.type == "CMA" then at = page * 4096 end
end
local held <close> = m:temp_ref(vm:page(at), "a pipe")
before = m:fork()
none, err = m:cma_alloc(area.pages, { no_warn = true })
print(none, err)
expect("the call", err.errno, "EBUSY")
expect("pages that did not move", m:vmstat{ since = before, table = true }.pgmigrate_fail, 5)
expect("the state is sound", m:check(), true)

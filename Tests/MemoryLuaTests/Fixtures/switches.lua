-- Every switch of a kernel makes a difference somewhere: for each, a scenario in which machines that
-- differ in it alone end differently. A switch without a scenario fails.

local function cma(fields)
  fields.ram = fields.ram or "1G"
  fields.cma = fields.cma or "640M"
  return machine(fields)
end
local small = function() return cma{ thp = "never" } end
local huge = function() return cma{ thp = "always" } end
local movable = function() return machine{ ram = "1G", movablecore = "512M", thp = "never" } end

-- A guest of some pages, all touched.
local function guest(m, ram, fields)
  fields = fields or {}
  fields.ram = ram
  local vm = m:guest(fields)
  vm:populate()
  return vm
end

-- What became of a pin.
local function outcome(p, err)
  return { pages = p and p.pages or 0, errno = err and err.errno or "" }
end

-- A stream of requests without reclaim, as one number.
local function stream(m, rounds)
  local gfps = {
    "__GFP_MOVABLE|__GFP_HIGHMEM", "GFP_NOWAIT", "GFP_ATOMIC", "__GFP_RECLAIMABLE",
    "__GFP_MOVABLE|__GFP_HIGHMEM", "__GFP_HIGH|__GFP_KSWAPD_RECLAIM",
  }
  local held, sum, state = {}, 0, 12345
  local function random(n)
    state = (state * 1103515245 + 12345) % 2147483648
    return (state >> 8) % n
  end
  for _ = 1, rounds do
    if random(8) < 5 or #held == 0 then
      local order = ({ 0, 0, 0, 1, 2, 3, 9, 5 })[random(8) + 1]
      local page = m:alloc_pages(order, gfps[random(#gfps) + 1])
      sum = (sum * 31 + (page and page.pfn or 7)) % 1000000007
      if page then held[#held + 1] = page end
    else
      local page = table.remove(held, random(#held) + 1)
      m:free_pages(page)
    end
  end
  return { sum = sum }
end

local scenarios = {
  lt_check = { small, "6.12", function(m) return guest(m, "64K"):pin{ longterm = true } end },
  lt_users = { small, "6.12", function(m) return guest(m, "64K"):pin{ longterm = true } end },
  lt_fast_check = {
    small, "6.12",
    function(m) return guest(m, "64K"):pin{ longterm = true, fast = true } end,
  },
  lt_scan = { huge, "6.1.13", function(m) return guest(m, "2M"):pin{ longterm = true } end },
  lt_on_migrate_fail = {
    small, "6.12",
    function(m)
      local vm = guest(m, "64K")
      m:temp_ref(vm:page(0), "a scanner")
      return outcome(vm:pin{ longterm = true })
    end,
  },
  lt_on_isolate_fail = {
    small, "6.12",
    function(m)
      local vm = guest(m, "4K")
      m:isolate(vm:page(0), "compaction")
      return outcome(vm:pin{ longterm = true })
    end,
  },
  lt_drain = {
    small, "6.12",
    function(m)
      local vm = m:guest{ ram = "64K" }
      vm:touch()
      return vm:pin{ longterm = true }
    end,
  },
  lt_isolate_inverted = { small, "6.12", function(m) return guest(m, "4K"):pin{ longterm = true } end },
  lt_dest = {
    small, "5.9",
    function(m)
      local vm = guest(m, "64K")
      vm:pin{ longterm = true }
      return { pfn = vm:page(0).pfn }
    end,
  },
  lt_scope = {
    small, "5.10",
    function(m) return m:guest{ ram = "1M" }:pin{ longterm = true } end,
  },
  lt_compound = { huge, "6.12", function(m) return guest(m, "2M"):pin{ longterm = true } end },
  lt_reason = {
    small, "6.12",
    function(m)
      m:trace{ clear = true }
      guest(m, "64K"):pin{ longterm = true }
      return { reason = m:trace{ last = 4000 }:match("reason=(%S+)") or "" }
    end,
  },
  lt_check_array = {
    function() return machine{ ram = "6G" } end, "6.12",
    function(m) return outcome(guest(m, "2052M"):pin{ longterm = true }) end,
  },
  lt_batched_unpin = { huge, "6.12", function(m) return guest(m, "2M"):pin{ longterm = true } end },
  gup_slow_batch = { huge, "6.12", function(m) return guest(m, "2M"):pin{} end },
  gup_slow_grab_checks_zone = {
    huge, "6.12", function(m) return outcome(guest(m, "2M"):pin{ longterm = true }) end,
  },
  gup_unpin_batch = {
    huge, "6.12",
    function(m) return guest(m, "2M"):rdma():map{}:unmap() end,
  },
  gup_vmas_array = { small, "6.12", function(m) return guest(m, "64K"):pin{ longterm = true } end },
  gup_counting = { small, "6.12", function(m) return { get = guest(m, "64K"):pin{}.get } end },
  gup_unshare = {
    small, "6.12",
    function(m)
      local vm = m:guest{ ram = "4K" }
      vm:read()
      local before = vm:page(0).pfn
      vm:pin{ longterm = true, write = false }
      return { moved = before ~= vm:page(0).pfn }
    end,
  },
  gup_refuses_dirty_tracking = {
    small, "6.12",
    function(m)
      local vm = m:guest{ ram = "64K" }
      local area = vm:mmap{ length = "64K", backing = "file", shared = true }
      vm:touch(area, "64K")
      return outcome(vm:pin{ from = area, length = "64K", longterm = true })
    end,
  },
  gup_walker = { small, "6.12", function(m) return guest(m, "64K"):pin{ longterm = true } end },
  gup_output = { huge, "6.12", function(m) return guest(m, "2M"):pin{} end },
  bug_zero_page_unpinnable = {
    small, "6.1.13",
    function(m)
      local vm = m:guest{ ram = "4K" }
      vm:read()
      return outcome(vm:pin{ longterm = true, write = false })
    end,
  },
  mig_mode = {
    small, "6.12",
    function(m)
      local steps = {}
      guest(m, "16K"):pin{
        longterm = true,
        watch = function(id) if id:sub(1, 1) == "m" then steps[#steps + 1] = id end end,
      }
      return { steps = table.concat(steps, " ") }
    end,
  },
  mig_split_retry_longterm = {
    function() return machine{ ram = "256M", cma = "128M" } end, "6.12",
    function(m)
      m:thp("always")
      local vm = guest(m, "2M")
      -- No block of 2 MiB is left outside CMA.
      while m:alloc_pages(9, "GFP_NOWAIT") do end
      m:temp_ref(vm:page(0), "a scanner")
      local got = outcome(vm:pin{ longterm = true })
      got.tries = m:vmstat{ table = true }.thp_split_page_failed
      return got
    end,
  },
  vfio_batch = { small, "6.12", function(m) return { calls = guest(m, "64K"):vfio():map{}.calls } end },
  vfio_skip_tails = {
    huge, "6.12",
    function(m) return { calls = guest(m, "2M"):vfio():map{ length = "1M" }.calls } end,
  },
  kvm_guest_memfd = {
    small, "6.12",
    function(m)
      local g, err = m:guest{ ram = "4K" }:guest_memfd{ size = "4K" }
      return { errno = err and err.errno or "" }
    end,
  },
  spapr_pin = {
    small, "4.9ppc",
    function(m)
      local map = guest(m, "64K"):spapr():map{}
      return { migrated = map.migrated, corrupted = map.corrupted, calls = map.calls }
    end,
  },
  lru_batch_size = {
    small, "6.12",
    function(m)
      local vm = m:guest{ ram = "128K" }
      vm:touch()
      local on = 0
      for i = 0, 31 do on = on + (m:folio(vm:page(i * 4096)).lru and 1 or 0) end
      return { on_lru = on }
    end,
  },
  lru_clear_flag_on_queue = {
    small, "6.12",
    function(m)
      local vm = guest(m, "4K")
      vm:madvise("cold")
      return { lru = m:folio(vm:page(0)).lru }
    end,
  },
  thp_pcp_lists = {
    huge, "6.9",
    function(m)
      local page = m:alloc_pages(9, "__GFP_MOVABLE|__GFP_HIGHMEM")
      local pfn = page.pfn
      m:free_pages(page)
      return { again = m:alloc_pages(9, "GFP_KERNEL").pfn == pfn, count = m:zone("DMA32"):pcp().count }
    end,
  },
  alloc_cma_first = {
    small, "6.12",
    function(m) return { cma = guest(m, "64M"):resident().cma } end,
  },
  log_busy_ranges = {
    small, "6.12",
    function(m)
      local ref = m:temp_ref(guest(m, "64K"):page(0), "a scanner")
      m:cma_alloc(m:cma().pages, { no_warn = true })
      return { busy = m:dmesg():find("PFNs busy", 1, true) ~= nil }
    end,
  },
  madv_nomovable = {
    small, "6.12",
    function(m)
      local ok, err = m:guest{ ram = "64K" }:madvise("nomovable")
      return { errno = err and err.errno or "" }
    end,
  },
  madv_might_pin = {
    small, "6.12",
    function(m)
      local vm = m:guest{ ram = "1M" }
      vm:madvise("might_pin")
      vm:populate()
      return { cma = vm:resident().cma }
    end,
  },
  cma_disable_borrow = {
    small, "6.12",
    function(m) return { cma = guest(m, "1M"):resident().cma } end,
  },
  pcp_high_orders = { small, "6.12", function(m) return stream(m, 300) end },
}

local tight = function() return machine{ ram = "64M", cma = "24M" } end
for _, name in ipairs{
  "alloc_fallback", "alloc_inserts_at_head", "alloc_types_follow_pageblocks", "pcp_regime",
} do
  scenarios[name] = { tight, "6.9", function(m) return stream(m, 3000) end }
end

-- How often a request is served until it is refused.
local function count(m, gfp, order)
  local n = 0
  while m:alloc_pages(order or 0, gfp) do n = n + 1 end
  return n
end

-- Fills a small machine, frees 2000 pages at its start, and asks for urgent blocks until pageblocks are
-- reserved for them: the blocks, and the pages that are still held.
local function reserve(m)
  local held = {}
  while true do
    local page = m:alloc_pages(0, "GFP_NOWAIT")
    if not page then break end
    held[#held + 1] = page
  end
  table.sort(held, function(a, b) return a.pfn < b.pfn end)
  for i = 1, 2000 do m:free_pages(held[i]) end
  m:drain()
  local urgent = {}
  while true do
    local page = m:alloc_pages(3, "GFP_ATOMIC")
    if not page then break end
    urgent[#urgent + 1] = page
  end
  return urgent, table.move(held, 2001, #held, 1, {})
end

local function release(m, pages, n)
  for i = #pages, #pages - (n or #pages) + 1, -1 do m:free_pages(table.remove(pages, i)) end
  m:drain()
end

local full = function() return machine{ ram = "40M" } end
scenarios.alloc_harder = {
  full, "6.12", function(m) return { urgent = count(m, "GFP_ATOMIC", 3) } end,
}
scenarios.alloc_atomic_bit = {
  full, "5.9", function(m) return { urgent = count(m, "GFP_ATOMIC") } end,
}
scenarios.alloc_limits_high_atomic_strictly = {
  full, "5.9", function(m) return { urgent = count(m, "GFP_ATOMIC", 3) } end,
}
scenarios.alloc_compares_unsigned = {
  full, "5.9",
  function(m)
    reserve(m)
    return { below_the_mark = count(m, "GFP_ATOMIC") }
  end,
}
scenarios.alloc_high_atomic_needs_high = {
  full, "6.12",
  function(m)
    count(m, "GFP_NOWAIT", 3)
    return { left = count(m, "GFP_NOWAIT") }
  end,
}
scenarios.alloc_non_blocking_takes_high_atomic = {
  full, "6.12",
  function(m)
    local urgent = reserve(m)
    release(m, urgent, 20)
    return { last_resort = count(m, "GFP_ATOMIC") }
  end,
}
scenarios.alloc_counts_free_high_atomic = {
  full, "6.12",
  function(m)
    local _, held = reserve(m)
    release(m, held)
    return { left = count(m, "__GFP_DMA|__GFP_DIRECT_RECLAIM|__GFP_NORETRY|__GFP_NOWARN") }
  end,
}
scenarios.alloc_merges_across_types = {
  full, "6.9",
  function(m)
    local urgent, held = reserve(m)
    release(m, urgent)
    release(m, held)
    return { free = m:buddyinfo() }
  end,
}
scenarios.alloc_wakes_without_boost = {
  function() return machine{ ram = "300M" } end, "5.9",
  function(m)
    m:sysctl("watermark_boost_factor", 0)
    local dma, zone = m:zone("DMA"), m:zone("DMA32")
    -- Below the high mark, so that kswapd has something to do, and above the low one.
    while dma.free > dma.high - 8 and m:alloc_pages(0, "__GFP_DMA|__GFP_MOVABLE") do end
    while zone.free > zone.high - 8 do m:alloc_pages(0, "__GFP_MOVABLE") end
    m:trace{ clear = true }
    m:alloc_pages(0, "GFP_KERNEL|__GFP_RECLAIMABLE")
    m:alloc_pages(0, "GFP_KERNEL")
    local _, wakes = m:trace{ last = 1000 }:gsub("mm_vmscan_wakeup_kswapd", "")
    return { wakes = wakes }
  end,
}
scenarios.alloc_empty_zone_drops_reserve = {
  full, "6.12",
  function(m)
    -- Reserves are sized at boot.
    local booted = machine{ ram = "1G", kernel = m:kernel() }
    return { dma = booted:zoneinfo():match("protection: (%b())") }
  end,
}
scenarios.pcp_decays_in_batches = {
  function() return machine{ ram = "1G", cpus = 1 } end, "6.12",
  function(m)
    local held = {}
    for i = 1, 600 do held[i] = m:alloc_pages(i % 2 == 0 and 3 or 0, "GFP_KERNEL") end
    for i = 1, 600 do m:free_pages(held[i]) end
    m:sysctl("percpu_pagelist_high_fraction", 1000)
    local counts = {}
    -- A batch that ends inside a block of order 3 frees all of it.
    for i = 1, 40 do
      m:tick(1)
      counts[i] = m:zone("DMA32"):pcp().count
    end
    return { counts = table.concat(counts, " ") }
  end,
}
scenarios.revoke = {
  small, "6.12",
  function(m)
    local container = guest(m, "64K"):vfio()
    container:map{}
    m:cma_alloc(m:cma().pages, { no_warn = true })
    return { refused = container.revoked.refused }
  end,
}

-- What else has to be turned with a value.
local with = {
  alloc_fallback = {
    single = { alloc_types_follow_pageblocks = true },
    claimThenSteal = { alloc_types_follow_pageblocks = true },
  },
  alloc_types_follow_pageblocks = { ["true"] = { alloc_fallback = "single" } },
  alloc_merges_across_types = {
    ["false"] = { alloc_limits_high_atomic_strictly = false },
    ["true"] = { alloc_limits_high_atomic_strictly = false },
  },
  madv_might_pin = {},
  -- Pins that stay in CMA, where cma_alloc meets them.
  -- At 512 pages a call there is one call either way.
  vfio_skip_tails = { ["false"] = { vfio_batch = 1 }, ["true"] = { vfio_batch = 1 } },
  revoke = {
    off = { lt_check = "none", lt_fast_check = "absent" },
    forced = { lt_check = "none", lt_fast_check = "absent" },
  },
}
-- A machine of 40 MiB has fewer than a hundred pageblocks, of which none would be reserved.
for _, name in ipairs{
  "alloc_high_atomic_needs_high", "alloc_non_blocking_takes_high_atomic",
  "alloc_counts_free_high_atomic",
} do
  local loose = { alloc_limits_high_atomic_strictly = false }
  with[name] = { ["false"] = loose, ["true"] = loose }
end
for _, percent in ipairs{ 0, 10, 25, 50, 75, 90, 100 } do
  with.madv_might_pin[tostring(percent)] = { madv_nomovable = true }
end
assert(not pcall(kernel, { base = "6.12", alloc_fallback = "moveAndRetry" }))
assert(not pcall(kernel, { base = "6.12", alloc_merges_across_types = true }))

local seen = 0
for _, item in ipairs(kernel("6.12"):switches()) do
  local scenario = scenarios[item.name]
  assert(scenario, item.name .. " has no scenario")
  do
    local make, base, run = table.unpack(scenario)
    local kernels = {}
    for i, value in ipairs(item.values) do
      local typed = value
      if value == "true" then typed = true elseif value == "false" then typed = false end
      local fields = { base = base, [item.name] = math.tointeger(value) or typed, name = value }
      for name, other in pairs((with[item.name] or {})[value] or {}) do fields[name] = other end
      kernels[i] = kernel(fields)
    end
    local c = compare(kernels, function(m)
      local got, err = run(m)
      local ok, problem = m:check()
      assert(ok, item.name .. ": " .. tostring(problem))
      return got, err
    end, { start = make() })
    assert(#c.differences > 0, item.name .. " makes no difference:\n" .. tostring(c))
    seen = seen + 1
  end
end
assert(seen == #kernel("6.12"):switches(), seen)

-- Where nobody is checked powerpc moves nothing either; where all are, its own check goes on.
do
  local start = small()
  guest(start, "64K", { name = "g" })
  local moved = {}
  for _, users in ipairs{ "none", "spapr", "gup" } do
    local m = start:fork()
    m:kernel(kernel{ base = "4.9ppc", lt_users = users })
    moved[users] = m:guest("g"):spapr():map{}.migrated
    assert(m:check())
  end
  assert(moved.none == 0 and moved.spapr == 16 and moved.gup == 16)
end

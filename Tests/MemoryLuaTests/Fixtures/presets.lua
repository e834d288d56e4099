-- compare over all presets on S1.1, S1.9, S1.20, S2.1 and S4.5: the differences that the rules state, each
-- kernel by its name. A preset that no group names fails.

-- Says of each column which kernels have which value; every preset has to be in one of the lists.
local function check(title, c, expected)
  assert(#c == #kernels(), title)
  for column, groups in pairs(expected) do
    local left = {}
    for i = 1, #c do left[c[i].kernel] = c[i][column] or false end
    for value, names in pairs(groups) do
      for name in names:gmatch("%S+") do
        assert(left[name] ~= nil, title .. ": no kernel " .. name .. ", or it is named twice")
        assert(
          left[name] == value or value == "" and not left[name],
          ("%s on %s: %s is %s, not %s"):format(title, name, column, tostring(left[name]), value))
        left[name] = nil
      end
    end
    local name = next(left)
    assert(not name, ("%s: %s has no expected %s"):format(title, tostring(name), column))
  end
end

local before = "4.2 RFC2015 4.9ppc HELPER2018V2 "
local ignoring = "5.1 5.2 5.3 5.7 5.9 5.10 5.12 RFC2020-6/6 RFC2020-OR "
local strict = "5.12.5 5.13 5.14 5.15 5.16 5.17 5.18 "
local later = "5.19 5.19-rc1 6.0 6.1.13 6.1 6.2 6.3 6.6 6.9 6.10 6.11 6.12.0 6.12 "
local all = before .. ignoring .. "RFC2020-AND " .. strict .. later .. "6.1.0 6.14"

local function small(ram)
  local m = machine{ ram = "1G", cma = "640M", thp = "never" }
  local vm = m:guest{ name = "vm0", ram = ram }
  vm:populate()
  m:drain_lru()
  return m, vm
end
local function pin(m) return m:guest("vm0"):pin{ longterm = true } end

-- S1.1: before 5.1 nobody looks; AND is true of no page; 6.1.0 needs a round more.
local m = small("256K")
local c = compare("all", function(f)
  f:trace{ clear = true }
  local p = pin(f)
  return {
    pages = p.pages, reason = f:trace{ last = 8000 }:match("mm_migrate_pages:.-reason=(%S+)") or "",
  }
end, { start = m })
check("S1.1", c, {
  pages = { [64] = all },
  moved = { [0] = before .. "RFC2020-AND", [64] = ignoring .. strict .. later .. "6.1.0 6.14" },
  pinned_cma = { [64] = before .. "RFC2020-AND", [0] = ignoring .. strict .. later .. "6.1.0 6.14" },
  rounds = {
    [0] = before, [1] = "RFC2020-AND", [2] = ignoring .. strict .. later .. "6.14", [3] = "6.1.0",
  },
  reason = {
    [""] = before .. "RFC2020-AND",
    contig_range = "5.1 5.2 5.3 5.7 5.9 5.10 5.12 5.12.5",
    longterm_pin = "RFC2020-6/6 RFC2020-OR 5.13 5.14 5.15 5.16 5.17 5.18 6.1.0 6.14 " .. later,
  },
})

-- S1.9: the page is isolated by somebody else.
local vm
m, vm = small("4K")
m:isolate(vm:page(0), "compaction")
c = compare("all", pin, { start = m })
check("S1.9", c, {
  errno = {
    [""] = before .. ignoring .. "RFC2020-AND 6.1.0 6.14", EINTR = strict .. later,
  },
  pinned_cma = {
    [1] = before .. ignoring .. "RFC2020-AND 6.14", [0] = strict .. later .. "6.1.0",
  },
  -- The test that is the wrong way round finds the isolated page, and moves it (P3.46).
  moved = { [1] = "6.1.0", [0] = before .. ignoring .. "RFC2020-AND 6.14 " .. strict .. later },
})

-- S1.20: page 3 of 64 has one more reference.
m, vm = small("256K")
m:temp_ref(vm:page(3 * 4096), "a scanner")
c = compare("all", pin, { start = m })
check("S1.20", c, {
  errno = {
    [""] = before .. ignoring .. "RFC2020-AND", ENOMEM = strict .. later .. "6.1.0 6.14",
  },
  moved = { [0] = before .. "RFC2020-AND", [63] = ignoring .. strict .. later .. "6.1.0 6.14" },
  pinned_cma = {
    [64] = before .. "RFC2020-AND", [1] = ignoring, [0] = strict .. later .. "6.1.0 6.14",
  },
  pinned = { [64] = before .. ignoring .. "RFC2020-AND", [0] = strict .. later .. "6.1.0 6.14" },
})

-- S2.1: one per-CPU list for all huge pages, and huge pages of CMA on it.
m = machine{ ram = "1G", cma = "640M" }
vm = m:guest{ name = "vm0", ram = "64M" }
vm:populate()
local gone = m:guest{ ram = "16M" }
gone:populate()
local report
c = compare("all", function(f)
  f:guest(gone.name):exit()
  local p, err = f:guest("vm0"):pin{
    longterm = true, remote = true, length = "2M", max_rounds = 50,
  }
  if err and err.livelock then report = err.message end
  return p, err
end, { start = m })
local endless = "6.0 6.1.0 6.1.13 6.2 6.3 "
local single = "5.19 5.19-rc1 6.1 6.10 6.11 6.12.0 6.12 6.14 "
check("S2.1", c, {
  errno = {
    [""] = before .. ignoring .. "RFC2020-AND " .. strict .. single, EINTR = endless,
    EFAULT = "6.6 6.9",
  },
  livelock = {
    [true] = endless,
    [""] = before .. ignoring .. "RFC2020-AND " .. strict .. single .. "6.6 6.9",
  },
  -- One a round until the budget of rounds ends; every second round of 6.1.0 moves one.
  thp_moved = {
    [50] = "6.0 6.1.13 6.2 6.3", [25] = "6.1.0", [0] = before .. "RFC2020-AND 6.6 6.9",
    [1] = ignoring .. strict .. single,
  },
})
assert(report:find("LIVELOCK: in 50 rounds it moved", 1, true), report)

-- S4.5: a huge page of CMA is held, and no huge page is free elsewhere.
m = machine{ ram = "256M", cma = "128M" }
m:thp("always")
vm = m:guest{ name = "vm0", ram = "2M" }
vm:populate()
while m:alloc_pages(9, "GFP_NOWAIT") do end
m:temp_ref(vm:page(0), "a scanner")
c = compare("all", function(f)
  local p, err = pin(f)
  local counted = f:vmstat{ since = m, table = true }
  return {
    pages = p and p.pages or 0, errno = err and err.errno or "",
    splits = counted.thp_split_page_failed, left = f:guest("vm0"):resident().cma,
  }
end, { start = m })
check("S4.5", c, {
  errno = {
    [""] = before .. ignoring .. "RFC2020-AND",
    ENOMEM = strict .. "6.1.0 6.14 5.19 5.19-rc1 6.0 6.1.13 6.1 6.2 6.3 6.10 6.11 6.12.0 6.12",
    EFAULT = "6.6 6.9",
  },
  -- Nothing is pinned after an error, and the page is where it was.
  pages = {
    [512] = before .. ignoring .. "RFC2020-AND",
    [0] = strict .. later .. "6.1.0 6.14",
  },
  left = { [512] = all },
})
assert(c:row("6.12").splits == 10 and c:row("6.12").thp_failed == 1)
assert(c:row("6.1.13").splits == 1 and c:row("6.1.0").splits == 1, "up to 6.1 it is tried once")
assert(c:row("6.2").splits > 1, "6.2 tries again")

-- What is printed and exported.
local lines = {}
for line in c:csv():gmatch("[^\n]+") do lines[#lines + 1] = line end
assert(#lines == #c + 1 and lines[1]:sub(1, 7) == "kernel,", lines[1])
assert(#c.differences > 0 and tostring(c):find("6.1.13", 1, true))
local json = c:json()
local _, objects = json:gsub('"kernel"', "")
assert(json:sub(1, 1) == "[" and objects == #c, json:sub(1, 80))
local same = compare({ "6.12", "6.12" }, pin, { start = small("4K") })
assert(#same.differences == 0)

-- What is not known is refused, with what is.
local ok, text = pcall(kernel, "7.0")
assert(not ok and text:find("5.10", 1, true), text)
ok, text = pcall(kernel, { base = "6.12", lt_chek = "none" })
assert(not ok and text:find("lt_check", 1, true), text)
ok, text = pcall(kernel, { base = "6.12", lt_check = "nothing" })
assert(not ok and text:find("pinnable519", 1, true), text)
for _, item in ipairs(kernels()) do
  assert(item.year >= 2015 and #item.special > 0 and #item.threads > 0, item.name)
end

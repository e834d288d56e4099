-- S1.4 · what 300 GiB cost
-- "Users pin huge ranges", some hundred gigabytes, tens of seconds. What does each design do for it?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 3 December (#3): "we are benchmarking around the 300G level. It takes 10s of
-- seconds".
-- Rules: P8.1 to P8.7, P3.60.

-- The size is the first argument: `pinlab scenarios run S1.4 300G` prints the table of the thread, in a
-- release build within a minute. Without one it is small; the formulas are the same.
local ram = ... or "64M"

local function design(name, base, fields)
  fields = fields or {}
  fields.base, fields.name = base, name
  return kernel(fields)
end
-- How a caller pins: page by page as VFIO did, page by page without a lock as powerpc did, one call for
-- 2 MiB, one fast call for 2 MiB.
local function vfio(m) return m:guest("vm0"):pin{ longterm = true, remote = true, chunk = "4K" } end
local function spapr(m) return m:guest("vm0"):pin{ fast = true, get = true, chunk = "4K" } end
local function chunks(m) return m:guest("vm0"):pin{ longterm = true, remote = true, chunk = "2M" } end
local function fast(m) return m:guest("vm0"):pin{ longterm = true, fast = true, chunk = "2M" } end

local designs = {
  { design("D1 page at a time", "5.12"), vfio },
  { design("D1g powerpc 4.9", "4.9ppc"), spapr },
  { design("D2 scan page by page", "5.1"), chunks },
  { design("D3 compound step", "5.7"), chunks },
  { design("D4 head compare", "5.13"), chunks },
  { design("D5 leaf at a time", "6.12"), chunks },
  { design("D6 fast walk", "6.12"), fast },
  { design("D7 integrated", "6.12", { gup_walker = "integrated" }), chunks },
  { design("D8 scatter list", "6.12", { gup_walker = "integrated", gup_output = "scatter" }), chunks },
}

local small_in_full = {
  D1 = "78643200 78643200 78643200 78643200",
  D5 = "153600 78643200 78643200 78643200",
  D6 = "153600 0 157286400 78643200",
}
local in_full = {
  D1 = "78643200 78643200 157286400 78643200",
  D3 = "153600 78643200 157286400 157286400",
  D4 = "153600 78643200 157286400 78643200",
  D5 = "153600 153600 614400 78643200",
  D6 = "153600 0 307200 78643200",
  D8 = "153600 153600 307200 0",
}

for _, thp in ipairs{ "always", "never" } do
  local bytes = size(tostring(ram))
  local m = machine{ ram = bytes * 2 + size"1G", thp = thp }
  m:thp(thp)
  local vm = m:guest{ name = "vm0", ram = bytes }
  vm:populate()
  local N = bytes // 4096
  local H = thp == "always" and N // 512 or 0
  local S, C = N - 512 * H, N // 512
  local h = 512 * H
  print(("\n%s in pages of %s"):format(ram, H > 0 and "2 MiB" or "4 KiB"))
  print(("%-22s %11s %11s %12s %12s %12s %12s %11s"):format(
    "design", "calls", "walks", "entry reads", "pin atomics", "array writes", "rescan reads", "lookups"))
  -- The formulas of P8.2: calls, walks, entry reads, pin atomics, array writes, rescan reads, lookups.
  local formulas = {
    { N, N, 4 * N, S + 2 * h, N, N, N },
    -- What the powerpc driver itself looks up for each page is not among the costs of the pin.
    { N, 0, 6 * S + 4 * h, N, N, 0, 0 },
    { C, N, 4 * N, N, 2 * N, 2 * N, N },
    { C, N, 4 * N, S + 2 * h, 2 * N, N + S + H, S + H },
    { C, N, 4 * N, S + 2 * h, N, N, S + H },
    { C, S + H, 4 * (S + H), S + 4 * H, N, N, S + H },
    { C, 0, 3 * S + S // 512 + 2 * H + 2 * C, 2 * S + 2 * H, N, 0, S + H },
    { C, S + H, 4 * (S + H), S + 4 * H, N, 0, S + H },
    { C, S + H, 4 * (S + H), S + 2 * H, 0, 0, S + H },
  }
  for i, d in ipairs(designs) do
    m:kernel(d[1])
    local pin = d[2](m)
    local costs = pin.costs
    pin:unpin()
    local got = {
      costs.calls, costs.walks, costs.entry_reads, costs.pin_atomics, costs.array_writes,
      costs.rescan_reads, costs.lookups,
    }
    print(("%-22s %11d %11d %12d %12d %12d %12d %11d"):format(d[1].name, table.unpack(got)))
    expect(d[1].name .. " as the formulas say", table.concat(got, " "), table.concat(formulas[i], " "))
    -- Of 300 GiB the rules give some figures in full (P8.7).
    local wanted = (H > 0 and in_full or small_in_full)[d[1].name:match("^D%d+g?")]
    if wanted then
      local times = 78643200 // N
      expect(d[1].name .. ", 300 GiB: calls, walks, pin atomics, pointers written",
        ("%d %d %d %d"):format(got[1] * times, got[2] * times, got[4] * times, got[5] * times), wanted)
    end
  end
  -- What gives it all back: page by page, folio by folio from 5.13 on, but VFIO page by page to this day
  -- (P8.5). A large guest's figures are those of a small one, as often as it is larger.
  if bytes <= size"4G" then
    for _, case in ipairs{
      { "5.1", N }, { "5.10", S + 2 * h }, { "5.13", S + 2 * H }, { "6.12", S + 2 * H, 307200 },
    } do
      m:kernel(case[1])
      local given = vm:rdma():map{}:unmap().unpin_atomics
      expect(case[1] .. ": atomic operations of the unpin", given, case[2])
      if case[3] and H > 0 then expect("of 300 GiB", given * (78643200 // N), case[3]) end
    end
    local container = vm:vfio()
    container:map{}
    local given = container:unmap{ length = bytes }.unpin_atomics
    expect("6.12, VFIO: atomic operations of the unpin", given, S + 2 * h)
    if H > 0 then expect("of 300 GiB", given * (78643200 // N), 157286400) end
  end
end

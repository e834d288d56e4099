-- S1.10 · a type is not a zone
-- The last patch of the series asks whether the pageblock is movable. Is that ZONE_MOVABLE, and would a
-- long pin "always fail due to not enough memory"?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Joonsoo Kim, 4 December (#13): "is_migrate_movable() isn't a check for the ZONE".
-- Rules: P3.52, P4.6.

-- The patch as it was sent, and with an error for what cannot move, as 5.12.5 has it.
local strict = kernel{ base = "RFC2020-6/6", lt_on_migrate_fail = "error", name = "6/6, error" }
local kernels = { "RFC2020-6/6", strict, "RFC2020-OR", "5.13", "6.12" }

local function pin(m, names)
  return compare(names or kernels, function(fork)
    local p, err = fork:guest("vm0"):pin{ longterm = true }
    return { pages = p and p.pages or 0, error = err and err.errno or "" }
  end, { start = m }):only{ "pages", "error", "moved", "pinned", "rounds" }
end

print("-- 4 GiB without CMA and ZONE_MOVABLE, a guest of 1 GiB: nothing would have to move")
local m = machine{ ram = "4G", thp = "never" }
local vm = m:guest{ name = "vm0", ram = "1G" }
vm:populate()
expect("the guest's pageblocks are", vm:page(0).pageblock.type, "Movable")
local c = pin(m, { "RFC2020-6/6", "RFC2020-OR", "5.13", "6.12" })
print(c)
expect("by type: every page moves", c[1].moved >= 262144, true)
for i = 2, 4 do expect(c[i].kernel .. ": pages moved", c[i].moved, 0) end
for i = 1, 4 do expect(c[i].kernel .. ": pages pinned", c[i].pinned, 262144) end

print("-- less is free than is pinned: a page's old frame is free when the next one looks for a new one")
m = machine{ ram = "512M", thp = "never" }
vm = m:guest{ name = "vm0", ram = "400M" }
vm:populate()
m:drain_lru()
-- There is nobody whom the OOM killer could choose instead.
vm.oom_score_adj = -1000
expect("less is free than is pinned", m.free < 102400 // 3, true)
c = pin(m)
print(c)
for i = 1, 2 do expect(c[i].kernel .. ": pages moved, with little free", c[i].moved, 102400) end

print("-- nothing is free: one page finds a new frame, and the next one none")
while m:alloc_pages(0, "GFP_KERNEL|__GFP_MEMALLOC|__GFP_NOWARN") do end
c = pin(m)
print(c)
expect("6/6: without memory it pins what does not move", c[1].pages, 102400)
expect("6/6: pages moved without memory: what fits", c[1].moved, 1)
expect("6/6 with an error: its errno without memory", c[2].error, "ENOMEM")
expect("6/6 with an error: pages pinned without memory", c[2].pinned, 0)
for i = 3, 5 do
  expect(c[i].kernel .. ": pages pinned without memory", c[i].pinned, 102400)
  expect(c[i].kernel .. ": pages moved without memory", c[i].moved, 0)
end

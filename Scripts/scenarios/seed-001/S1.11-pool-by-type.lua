-- S1.11 · the same mistake with huge pages
-- Patch 5 skips pages of the pool whose pageblock is movable. Which are left?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Joonsoo Kim, 4 December (#13): "Patch #5 also has this problem".
-- Rules: P3.53, P2.36.

local m = machine{ ram = "1G", hugepages = 8 }
m:guest{ name = "vm0", ram = "16M", backing = "hugetlb" }

local c = compare({ "RFC2020-6/6", "RFC2020-OR", "5.13", "6.12" }, function(fork)
  return fork:guest("vm0"):pin{ longterm = true }
end, { start = m })
print(c)
expect("by type: the pool is full, and nothing in it will do", c[1].errno, "EFAULT")
for i = 2, 4 do expect(c[i].kernel .. ": pages pinned", c[i].pinned, 4096) end

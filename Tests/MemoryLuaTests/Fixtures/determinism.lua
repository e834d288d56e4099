-- Prints much of what could differ between two runs: tables, objects, random numbers, functions.
local m = machine{ ram = "64M", cpus = 2 }
local held = {}
for step = 1, 3000 do
  if #held > 0 and math.random() < 0.45 then
    table.remove(held, math.random(#held)):free()
  else
    m.cpu = math.random(0, 1)
    held[#held + 1] = m:alloc_pages(math.random(0, 4), "GFP_HIGHUSER_MOVABLE")
  end
end
print(m, m:zones()[1], held[1], m:pageblock(held[1]), m:node(0))
print(m:buddyinfo(), m:vmstat(), m:map{ columns = 60 }, m:trace{ last = 50 })
print({}, print, coroutine.create(print), held, m.alloc_pages)
for name, value in pairs(m:vmstat{ table = true }) do print(name, value) end
for name, value in pairs{ b = 1, a = 2, [3] = 4, [m] = 5, [held[1]] = 6, z = 7 } do
  print(name, value)
end
for name, list in pairs(m:zone("DMA32"):pcp(0).lists) do print(name, #list, list[1]) end
assert(m:check())

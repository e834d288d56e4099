-- L3 · PFNs busy
-- A guest runs in memory that is kept for the next guest. A device pins it. Why does the next guest not start,
-- and what did the kernel do about it?
-- Rules: A2.11, P3.1, P3.42, P5.2, P5.16.
local function in_cma(guest) return guest:resident().cma end
local whole = 640 * 256
local function moved_pin()
  for _, pin in ipairs(m:pins()) do
    if pin.longterm and pin.migrated == 2048 then return pin end
  end
end
local function whole_area()
  for _, buffer in ipairs(m:cma_buffers()) do
    if buffer.pages == whole then return true end
  end
  return false
end
return {
  setup = function()
    m = machine{ ram = "1G", cma = "640M", thp = "never" }
  end,
  {
    text = [[
m has an area for contiguous allocations (CMA) of 640 MiB: m:cma(). A powerpc host keeps such an area for the page
tables of its guests, which must be one piece. So that the area is not idle, pages that can be moved away again may
borrow it: a movable page is taken from CMA while more than half of the free pages are CMA's.]],
    ask = [[
Compare m:zone("DMA32").free_cma with m:zone("DMA32").free. Where will the next guest's first page come from: "CMA" or
"Movable"?]],
    expect = "CMA",
    hints = { "Is free_cma more than half of free?" },
    answer = '"CMA"',
    wrong = { '"Movable"' },
  },
  {
    ask = [[
Start a guest of 16 MiB and let it use its memory:
  vm = m:guest{ name = "vm0", ram = "16M" }
  vm:populate()]],
    check = function()
      if in_cma(vm) == 0 then return false end
      return vm:resident().pages == 4096 and in_cma(vm) == 4096, "4096 pages, all borrowed from CMA. m:map() shows where."
    end,
    hints = { "Two statements; both may stand on one line." },
    answer = 'vm = m:guest{ name = "vm0", ram = "16M" }\nvm:populate()',
    also = { 'vm = m:guest{ ram = "16M" } vm:write()' },
    wrong = { 'vm = m:guest{ name = "vm0", ram = "16M" }', 'vm = m:guest{ name = "vm0", ram = "4M" } vm:populate()' },
  },
  {
    text = [[
It is 2015, and the kernel is 4.2. The guest gets a network card through VFIO, which pins all of its memory for as
long as the card is there.]],
    ask = [[
Make it 2015, and pin the guest for long:
  m:kernel("4.2")
  p = vm:pin{ longterm = true }]],
    check = function()
      local pin = m:pins()[1]
      if not pin then return false end
      if m:kernel().name ~= "4.2" or in_cma(vm) ~= 4096 then
        return false, nil, 'That pin was taken by another kernel. again() goes back; then m:kernel("4.2") first.'
      end
      return #m:pins() == 1 and pin.pages == 4096, "4.2 pins pages where they are: in CMA.",
        "Pin all of the guest, once."
    end,
    hints = { 'm:kernel("4.2") changes the machine\'s kernel in place.' },
    answer = 'm:kernel("4.2")\np = vm:pin{ longterm = true }',
    wrong = { "p = vm:pin{ longterm = true }", "p = vm:pin{}", 'm:kernel("4.2") p = vm:pin{ length = "4K", longterm = true }' },
  },
  {
    text = [[
The next guest starts, and the host wants its page table from the area. All 640 MiB of it are free or movable,
people thought.]],
    ask = [[
Ask for the whole area:
  buffer, err = m:cma_alloc("640M")
What errno do you get? It is a field of err.]],
    check = function(value)
      if not m:dmesg():find("PFNs busy", 1, true) then
        return false, nil, value ~= nil and type(value) == "string" and "Call it first, and look at err." or nil
      end
      if type(value) ~= "string" then return false end
      return value == "EBUSY", "Read m:dmesg(): the thread of August 2015 is about that line.", "no, not " .. value
    end,
    hints = { "err prints with what is in the way; err.errno is its name." },
    answer = 'buffer, err = m:cma_alloc("640M")\nreturn err.errno',
    wrong = { '"EBUSY"', 'buffer, err = m:cma_alloc("640M") return err', 'buffer, err = m:cma_alloc("640M") return "EINVAL"' },
  },
  {
    text = [[
m:why_busy(pfn, pages) lists who is in the way of a range, m:why(pfn) tells of one page. The area begins at
m:cma("reserved").base.]],
    ask = "Name one page that is in the way: type its pfn.",
    check = function(value, source)
      if type(value) == "userdata" then
        local is_page = pcall(function() return value.pageblock end)
        return false, nil, is_page and "That is a page; its pfn is wanted: put .pfn behind it." or nil
      end
      if math.type(value) ~= "integer" or source:find("cma(", 1, true) and not source:find("why", 1, true) then return false end
      local page = value >= 0 and value < 1 << 18 and m:page(value)
      if not page or page.migratetype ~= "CMA" then return false, nil, string.format("%#x is not in CMA.", value) end
      if m:why(value).movable ~= false then
        return false, nil, string.format("%#x is in CMA, but nobody holds it: it could be moved away.", value)
      end
      return true, "That is one of 4096."
    end,
    hints = { "The pages of the guest: vm:page(0).pfn", 'Or: m:why_busy(m:cma("reserved").base, 640 * 256)[1].pfns[1]' },
    answer = "vm:page(0).pfn",
    also = { 'm:why_busy(m:cma("reserved").base, 640 * 256)[1].pfns[1]' },
    wrong = { "0", 'm:cma("reserved").base', "0x30000", "vm:page(0)" },
  },
  {
    ask = [[
Take the card out again, and get the buffer:
  p:unpin()
  buffer = m:cma_alloc("640M")]],
    check = function()
      return #m:pins() == 0 and whole_area() and in_cma(vm) == 0,
        "Without the pin the pages were moved out of the way: vm:resident().cma is 0 now."
    end,
    hints = { "First p:unpin(), then m:cma_alloc." },
    answer = 'p:unpin()\nbuffer = m:cma_alloc("640M")',
    also = { 'p:unpin() other = m:cma_alloc("640M")' },
    wrong = { "p:unpin()", 'buffer = m:cma_alloc("640M")' },
  },
  {
    text = [[
The fix that went in: a long-term pin that finds its pages in CMA lets go of them, moves them out, and pins them
anew. It came for powerpc in 4.9, for everybody in 5.1, and is what 6.12 does.]],
    ask = [[
Give the buffer back, go to 6.12, and start another guest:
  for _, b in ipairs(m:cma_buffers()) do b:release() end
  m:kernel("6.12")
  vm2 = m:guest{ name = "vm1", ram = "8M" }
  vm2:populate()
How many pages will a long-term pin of it move?]],
    check = function(value)
      if type(value) ~= "number" then return false end
      if m:kernel().name ~= "6.12" then return false, nil, 'The machine still runs an old kernel: m:kernel("6.12")' end
      if not vm2 or vm2:resident().pages ~= 2048 then return false, nil, "Start vm2 first, and let it use all of its memory." end
      if in_cma(vm2) ~= 2048 and not moved_pin() then
        return false, nil, "vm2 must lie in CMA: give the buffer back before vm2 is populated. again() goes back."
      end
      return value == 2048, "All of them: vm2 lies in CMA, as vm did.", "no, not " .. value
    end,
    hints = { "Those that lie in CMA: vm2:resident().cma" },
    answer = 'for _, b in ipairs(m:cma_buffers()) do b:release() end\nm:kernel("6.12")\nvm2 = m:guest{ name = "vm1", ram = "8M" }\nvm2:populate()\nreturn vm2:resident().cma',
    wrong = { "2048", "0", "4096", 'vm2 = m:guest{ name = "vm1", ram = "8M" } vm2:populate() return 2048' },
  },
  {
    ask = [[
Pin it,
  q = vm2:pin{ longterm = true }
and then take the whole area, with the pin in place.]],
    check = function()
      return moved_pin() and whole_area(), "Both have what they want: the pin its pages, the next guest its table."
    end,
    hints = { 'buffer = m:cma_alloc("640M")', "If cma_alloc fails, m:why_busy says who is in the way." },
    answer = 'q = vm2:pin{ longterm = true }\nbuffer = m:cma_alloc("640M")',
    wrong = { "q = vm2:pin{ longterm = true }", 'buffer = m:cma_alloc("640M")' },
  },
  {
    text = [[
There is a price. Pages that cannot move should not lie among pages that can, or the latter become useless for
whoever needs a large block.]],
    ask = "Of what type is the pageblock that the first page of vm2 lies in now? The answer is a text.",
    expect = "Unmovable",
    hints = { "vm2:page(0).migratetype, or m:why(vm2:page(0))" },
    answer = "vm2:page(0).migratetype",
    wrong = { '"Movable"', '"CMA"' },
    done = [[
"An excessive pinning simply sucks", wrote a reviewer in 2018. What a pin moves goes into Unmovable blocks, and those
no longer serve requests for large movable blocks.]],
  },
}

-- L3 · PFNs busy
-- A guest runs in memory that is kept for the next guest. A device pins it. Why does the next guest not start,
-- and what did the kernel do about it?
-- Rules: A2.11, P3.1, P3.42, P5.2, P5.16.
local function in_cma(guest) return guest:resident().cma end
return {
  setup = function()
    m = machine{ ram = "1G", cma = "640M", thp = "never" }
  end,
  {
    text = [[
m has an area for contiguous allocations (CMA) of 640 MiB: m:cma(). A powerpc host keeps such an area for the page
tables of its guests, which must be one piece. So that the area is not idle, pages that can be moved away again may
borrow it: a movable page is taken from CMA while more than half of the free pages are CMA's.]],
    ask = 'Compare m:zone("DMA32").free_cma with m:zone("DMA32").free. Where will the next guest\'s first page come from: "CMA" or "Movable"?',
    expect = "CMA",
    hints = { "free_cma * 2 > free ?" },
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
      return vm:resident().pages == 4096, "4096 pages, all borrowed from CMA. m:map() shows where."
    end,
    hints = { "Two statements; both may stand on one line." },
    answer = 'vm = m:guest{ name = "vm0", ram = "16M" }\nvm:populate()',
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
      if #m:pins() > 0 and in_cma(vm) == 0 then
        return false, nil, "That was a newer kernel: it moved the pages. again() goes back; m:kernel(\"4.2\") first."
      end
      return p.pages == 4096 and #m:pins() > 0 and in_cma(vm) == 4096, "4.2 pins pages where they are: in CMA."
    end,
    hints = { "m:kernel(\"4.2\") changes the machine's kernel in place." },
    answer = 'm:kernel("4.2")\np = vm:pin{ longterm = true }',
    wrong = { "p = vm:pin{ longterm = true }", 'm:kernel("4.2") p = vm:pin{ length = "4K", longterm = true }' },
  },
  {
    text = [[
The next guest starts, and the host wants its page table from the area. All 640 MiB of it are free or movable,
people thought.]],
    ask = [[
Ask for the whole area:
  buffer, err = m:cma_alloc("640M")
What errno do you get? It is a field of err.]],
    expect = function()
      local fork = m:fork()
      local _, refused = fork:cma_alloc("640M")
      return refused.errno
    end,
    hints = { "err prints with what is in the way; err.errno is its name." },
    answer = 'buffer, err = m:cma_alloc("640M")\nreturn err.errno',
    wrong = { '"EINVAL"', 'buffer, err = m:cma_alloc("640M") return err' },
    done = "Read m:dmesg(): this is the line that the thread of August 2015 begins with.",
  },
  {
    text = [[
m:why_busy(pfn, pages) lists who is in the way of a range, m:why(pfn) tells of one page. The area begins at
m:cma("reserved").base.]],
    ask = "Name one page that is in the way: type its pfn.",
    check = function(value)
      if math.type(value) ~= "integer" then return false end
      local page = value >= 0 and value < 1 << 18 and m:page(value)
      if not page or page.migratetype ~= "CMA" then return false, nil, string.format("%#x is not in CMA.", value) end
      if m:why(value).movable ~= false then
        return false, nil, string.format("%#x is in CMA, but nobody holds it: it could be moved away.", value)
      end
      return true, "That is one of 4096."
    end,
    hints = { "The pages of the guest: vm:page(0).pfn", "Or: m:why_busy(m:cma(\"reserved\").base, 640 * 256)[1].pfns[1]" },
    answer = "vm:page(0).pfn",
    wrong = { "0", 'm:cma("reserved").base + 100000', "vm:page(0)" },
  },
  {
    ask = [[
Take the card out again, and get the buffer:
  p:unpin()
  buffer = m:cma_alloc("640M")]],
    check = function()
      return #m:pins() == 0 and buffer and buffer.pages == 640 * 256 and in_cma(vm) == 0,
        "Without the pin the pages were moved out of the way: vm:resident().cma is 0 now."
    end,
    hints = { "First p:unpin(), then m:cma_alloc." },
    answer = 'p:unpin()\nbuffer = m:cma_alloc("640M")',
    wrong = { "p:unpin()", 'buffer = m:cma_alloc("640M")' },
  },
  {
    text = [[
The fix that went in: a long-term pin first moves pages out of CMA, and then pins them. It came for powerpc in 4.9,
for everybody in 5.1, and is what 6.12 does.]],
    ask = [[
Give the buffer back, go to 6.12, and start another guest:
  buffer:release()
  m:kernel("6.12")
  vm2 = m:guest{ name = "vm1", ram = "8M" }
  vm2:populate()
How many pages will a long-term pin of it move?]],
    expect = 2048,
    hints = { "Those that lie in CMA: vm2:resident().cma" },
    answer = 'buffer:release()\nm:kernel("6.12")\nvm2 = m:guest{ name = "vm1", ram = "8M" }\nvm2:populate()\nreturn vm2:resident().cma',
    wrong = { "0", "4096" },
  },
  {
    ask = [[
Pin it,
  q = vm2:pin{ longterm = true }
and then take the whole area, with the pin in place.]],
    check = function()
      if #m:pins() == 0 then return false end
      local pin = m:pins()[#m:pins()]
      return pin.longterm and pin.migrated == 2048 and #m:cma_buffers() > 0 and m:cma_buffers()[1].pages == 640 * 256,
        "Both have what they want: the pin its pages, the next guest its table."
    end,
    hints = { 'buffer = m:cma_alloc("640M")', "If cma_alloc fails, look with m:why_busy which guest is in the way." },
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
    done = "\"Excessive pinning simply sucks\", said a reviewer in 2018: whole blocks became Unmovable for it.",
  },
}

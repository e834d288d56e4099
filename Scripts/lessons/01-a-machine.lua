-- L1 · a machine and its pages
-- What does memory look like to the allocator, and how do you ask about one page of it?
-- Rules: A1.1, A1.8, A3.1, P1.30.
local taken
return {
  {
    text = [[
Everything here happens on a machine: a model of a computer's memory, run by a model of the kernel's memory
manager. machine{ … } makes one; sizes are texts such as "256M" or "4G".]],
    ask = [[
Make a machine with 256 MiB of RAM and call it m:
  m = machine{ ram = "256M" }]],
    check = function()
      local pages, cma = 0, 0
      for _, zone in ipairs(m:zones()) do pages, cma = pages + zone.present, cma + zone.cma_pages end
      if pages < 60000 or pages > 65536 then
        return false, nil, 'That machine has another size; this lesson goes on with m = machine{ ram = "256M" }.'
      end
      if cma > 0 then
        return false, nil, 'That machine has a CMA area; this lesson goes on with m = machine{ ram = "256M" }.'
      end
      return true, "It has booted: 65536 page frames of 4 KiB, less a few that the boot keeps."
    end,
    hints = { 'The field is called ram, and its value is a text: ram = "256M".' },
    answer = 'm = machine{ ram = "256M" }',
    wrong = { 'm = machine{ ram = "512M" }', 'm = machine{ ram = "256M", cma = "16M" }', 'n = machine{ ram = "256M" }', "m = 256" },
  },
  {
    text = [[
Memory is divided into zones; each has free lists of its own. m:zones() lists them, m:zone("DMA32") is one of
them, and its fields are read with a dot, as in m:zone("DMA32").low. Press Tab behind a dot or a colon to see
what there is.]],
    ask = [[
Part of memory may be reserved as CMA; lesson 3 is about that. How many pages of CMA has zone DMA32? Ask the machine,
or type the number.]],
    expect = 0,
    hints = { 'm:zone("DMA32") is the zone; type a dot behind it and press Tab.', "The field is cma_pages." },
    answer = 'm:zone("DMA32").cma_pages',
    wrong = { 'm:zone("DMA32").free', "1" },
    done = "None: this machine reserves nothing.",
  },
  {
    text = [[
Free memory is kept in blocks of 2^order pages: a block of order 0 is one page of 4 KiB, one of order 10 has
4 MiB. m:map() draws all memory, m:buddyinfo() is /proc/buddyinfo: one number for each order.]],
    ask = "How many pages are in a block of order 4?",
    expect = 16,
    hints = { "Order 0 has 1, order 1 has 2, order 2 has 4 …" },
    wrong = { "4", "8", "32" },
  },
  {
    ask = [[
Take such a block and call it p:
  p = m:alloc_pages(4)]],
    check = function()
      if p.order ~= 4 or p.state ~= "allocated" then
        return false, nil, "That block has order " .. tostring(p.order) .. "; the lesson asked for order 4."
      end
      taken = p.pfn
      return true, string.format("It begins at page frame number (pfn) %#x.", p.pfn)
    end,
    hints = { "alloc_pages takes the order:  p = m:alloc_pages(4)" },
    answer = "p = m:alloc_pages(4)",
    wrong = { "p = m:alloc_pages(2)", "m:alloc_pages(4)" },
  },
  {
    text = [[
Of every page you can ask why it is where it is: m:why(p) tells who has it, who refers to it, and whether it
could be moved, with the kernel function and the rule behind each answer.]],
    ask = "Ask why p is there. Can the kernel move this block elsewhere? Type true or false.",
    expect = false,
    hints = { "m:why(p) says it in its last lines.", "m:why(p).movable is the answer itself." },
    answer = "m:why(p).movable",
    wrong = { "true", "m:why(p).pfn" },
    done = "Pages that a kernel user holds by their address cannot move: nobody knows who to tell.",
  },
  {
    text = [[
A block that is given back looks for its neighbour of the same size, its buddy; while that is free, too,
the two become one block of the next order.]],
    ask = [[
Give the block back,
  p:free()
and look: of which order is the free block that its first page lies in now? The page is still m:page(pfn), with the
pfn that was named when you took it.]],
    check = function(value)
      local page = m:page(taken)
      if page.state ~= "free" then return false end
      if value == page.order and value < 10 then
        return false, nil, "Right, but other pages of yours are in the way of the merge: again(), and free this block alone."
      end
      if math.type(value) == "integer" and value ~= page.order and value < 11 then
        return false, nil, "no, not " .. value
      end
      return value == page.order, "All the way up to the largest order: the allocator left no trace."
    end,
    hints = { "m:page(0x1000) is the page with pfn 0x1000; it has a field order.", "Free it first: p:free()" },
    answer = "p:free()\nreturn m:page(0x1000).order",
    wrong = { "10", "p:free()", "m:page(0x1000).order", "p:free() return 4" },
  },
}

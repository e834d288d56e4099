-- L2 · who holds a page
-- A page can only be moved when the kernel knows everyone who refers to it. How does it count, and what is a
-- pin in these counts?
-- Rules: P1.1, P1.3, P1.7, P1.20, P4.5, P4.6.
local function first() return vm:page(0) end
local guessed
return {
  setup = function()
    m = machine{ ram = "512M", thp = "never" }
    vm = m:guest{ name = "vm0", ram = "64K" }
  end,
  {
    text = [[
There is a machine m and a guest vm: a process with 64 KiB of memory, as QEMU is one for the kernel. Its memory
is a promise so far: no page belongs to it before it is touched.]],
    ask = [[
Let the guest write to all of its memory:
  vm:write()]],
    check = function()
      local pages = vm:resident().pages
      return pages == 16 and first().ref == 2, "16 pages: vm:map() draws them.",
        pages == 16 and "Its pages are there, but not as vm:write() alone leaves them: again(), and then vm:write()."
    end,
    hints = { "vm:write()" },
    answer = "vm:write()",
    wrong = { 'vm:write(0, "4K")', "vm:read()", "vm:populate()" },
  },
  {
    text = [[
Each page counts references: one for each page table entry that maps it, and one for whoever else has it at the
moment. A page is moved only when there are no others than expected.]],
    ask = [[
The guest maps its first page once. How many references has that page?
  vm:page(0).ref]],
    check = function(value)
      if first().ref ~= 2 then return false, nil, "The page has changed since it was written: again() goes back." end
      if math.type(value) ~= "integer" then return false end
      return value == 2, "Two, and only one is the mapping's. m:why(vm:page(0)) tells who has the other.", "no, not " .. value
    end,
    hints = { "Ask: vm:page(0).ref" },
    answer = "vm:page(0).ref",
    wrong = { "1", "vm:page(0).mapcount" },
  },
  {
    text = [[
New pages wait in a batch of their CPU, up to 31 at a time, before they go onto an LRU list; the batch holds a
reference to each. Whoever has just touched memory and wonders why it does not move has met this one.]],
    ask = [[
Empty the batches of all CPUs:
  m:drain_lru()]],
    check = function()
      return first().ref == 1 and first().lru ~= nil, "Now the page is on a list, and has one reference."
    end,
    hints = { "m:drain_lru()" },
    answer = "m:drain_lru()",
    wrong = { "m:drain()", "m:lru()" },
  },
  {
    text = [[
A pin says: a device will read or write this page, leave it where it is. There is no room for another counter in
struct page, so a pin of a single page is a number of references at once (GUP_PIN_COUNTING_BIAS).]],
    ask = [[
Pin the first page:
  p = vm:pin{ length = "4K" }
How many references is one pin?]],
    check = function(value)
      if value == 1024 or value == 1025 and first().ref == 1025 then guessed = value end
      if guessed == 1025 then
        return false, nil, "That is the page's count now. One of them is the mapping's."
      end
      if guessed and #m:pins() == 0 then return false, nil, "Right. Now pin the page, and see it in vm:page(0).ref." end
      if not guessed and type(value) == "number" then return false, nil, "no, not " .. value end
      return guessed == 1024
    end,
    hints = { "Compare vm:page(0).ref before and after; undo() goes back.", "vm:page(0).ref - 1" },
    answer = 'p = vm:pin{ length = "4K" }\nreturn vm:page(0).ref - 1',
    also = { 'p = vm:pin{ length = "4K" } return 1024' },
    wrong = { "1", "1024", 'p = vm:pin{ length = "4K" }' },
  },
  {
    text = [[
The count of a page with one pin and one mapping is 1025. Anything from 1024 on counts as "may be pinned": a
page that is mapped by 1024 processes looks pinned, and is not.]],
    ask = "A second pin of the same page comes: what will its ref be?",
    expect = 2049,
    hints = { "Two pins and one mapping." },
    wrong = { "1026", "2048" },
  },
  {
    ask = 'Could the pinned page be moved? Type the rule that m:why gives for that, a text such as "P1.1".',
    expect = function()
      local fork = m:fork()
      if #fork:pins() == 0 then fork:guest("vm0"):pin{ length = "4K" } end
      return fork:why(fork:guest("vm0"):page(0)).rule
    end,
    hints = { "m:why(vm:page(0)) has it in brackets behind \"cannot move\".", "m:why(vm:page(0)).rule" },
    answer = "m:why(vm:page(0)).rule",
    wrong = { '"P1.1"', "m:why(vm:page(0)).pin_rule" },
    done = [[
try_to_migrate_one clears the entry, sees that this anonymous page may be pinned, and puts the entry back: it never
stays unmapped, so it is never copied.]],
  },
  {
    text = [[
A pin is not the only thing in the way. Any reference that migration does not expect stops it: a scanner, a
debugger, direct I/O that is under way.]],
    ask = [[
Give the pins back, and let somebody else refer to the page:
  for _, p in ipairs(m:pins()) do p:unpin() end
  t = m:temp_ref(vm:page(0), "a scanner")]],
    check = function()
      if #m:pins() > 0 then return false end
      local why = m:why(first())
      return #m:temp_refs() > 0 and not why.movable and why.rule == "P4.6", [[
When the kernel tries to move it now, it unmaps it, finds one reference too many (folio_migrate_mapping), and maps it
again.]]
    end,
    hints = { "m:pins() must be empty, and m:temp_refs() must not." },
    answer = 'for _, p in ipairs(m:pins()) do p:unpin() end\nt = m:temp_ref(vm:page(0), "a scanner")',
    wrong = { 't = m:temp_ref(vm:page(0), "a scanner")', "for _, p in ipairs(m:pins()) do p:unpin() end" },
  },
  {
    ask = "Make the page movable again.",
    check = function() return m:why(first()).movable == true, "One mapping, one reference: it may go anywhere." end,
    hints = { "t:release()" },
    answer = "t:release()",
    also = { "m:temp_refs()[1]:release()" },
    wrong = { "m:drain_lru()", "vm:read(0, 4096)" },
  },
}

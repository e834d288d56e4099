-- L4 · one page in the way
-- Somebody looks at one page of 64 while a device pins all of them. What does the pin return, and what has
-- happened to the other 63?
-- Rules: P3.42, P3.50, P4.6, P4.7, P6.1.
local function left()
  local count = 0
  for page = 0, 63 do
    if vm:page(page * 4096).zone.name == "Movable" then count = count + 1 end
  end
  return count
end
local moved_already = "The pages have left ZONE_MOVABLE already: again() puts them back."
return {
  setup = function()
    m = machine{ ram = "1G", movablecore = "512M", thp = "never" }
    -- The topmost memory block has holes and never goes offline: vm is to lie below it.
    local filler = m:guest{ name = "filler", ram = "160M" }
    filler:populate()
    vm = m:guest{ name = "vm0", ram = "256K" }
    vm:populate()
    filler:exit()
    m:drain_lru()
    -- Which page is held differs with the seed.
    held = math.random(1, 62) * 4096
  end,
  {
    text = [[
Half of m is ZONE_MOVABLE: memory that must stay movable, so that it can be unplugged. The 64 pages of vm lie
there. A scanner is about to look at one of them: the one at offset `held`.]],
    ask = [[
Let it take a reference:
  t = m:temp_ref(vm:page(held), "a scanner")]],
    check = function()
      if left() == 0 then return false, nil, moved_already end
      local right, others = false, false
      for _, ref in ipairs(m:temp_refs()) do
        if ref.page.pfn == vm:page(held).pfn then right = true else others = true end
      end
      return right and not others, "One reference too many, on one page of 64.",
        others and "Another page is held: release that reference." or nil
    end,
    hints = { "held is a number: an offset into the guest's memory." },
    answer = 't = m:temp_ref(vm:page(held), "a scanner")',
    wrong = { 't = m:temp_ref(vm:page(0), "a scanner")' },
  },
  {
    text = [[
A long-term pin may not stay in ZONE_MOVABLE either: all 64 pages have to move, and one of them cannot. The kernel
could say that it is busy (EBUSY), that one should try again (EAGAIN), or that there is no memory (ENOMEM).]],
    ask = [[
Predict the errno of
  p, err = vm:pin{ longterm = true }
as a text, before you run it.]],
    expect = "ENOMEM",
    hints = { 'Try it on a fork: m:fork():guest("vm0"):pin{ longterm = true }' },
    wrong = { '"EBUSY"', '"EAGAIN"' },
    done = "It says ENOMEM, with hundreds of MiB free. Many have searched for the memory that was missing.",
  },
  {
    text = [[
The kernel moves all pages of the range in one go, and looks at the end whether any are left.]],
    ask = "How many of the 64 pages will still be in ZONE_MOVABLE after the pin has failed?",
    expect = 1,
    hints = { "Only one cannot move.", "Count on a fork." },
    wrong = { "64", "0" },
  },
  {
    ask = [[
Do it:
  p, err = vm:pin{ longterm = true }]],
    check = function()
      if left() == 0 then return false, nil, moved_already end
      return err.errno == "ENOMEM" and left() == 1, "63 pages have moved for nothing. err.stuck names those that did not."
    end,
    hints = { "p, err = vm:pin{ longterm = true }" },
    answer = "p, err = vm:pin{ longterm = true }",
    wrong = { "p, err = vm:pin{}", 'p, err = vm:pin{ length = "4K", longterm = true }' },
  },
  {
    text = [[
migrate_pages tried the page again and again before it gave up: three times with all others, seven more times
alone. For a reference that passes within some microseconds that is enough; this one stays.]],
    ask = "Which page was it? Type its pfn.",
    expect = function() return vm:page(held).pfn end,
    hints = { "err.stuck[1]", "vm:page(held).pfn" },
    answer = "vm:page(held).pfn",
    wrong = { "0", "vm:page(0).pfn" },
  },
  {
    ask = "Let the scanner go, and pin again. How many pages has the second pin moved?",
    check = function(value)
      if #m:temp_refs() > 0 or not p or left() > 0 then return false end
      if type(value) ~= "number" then return false end
      return p.migrated == 1 and value == 1, "One: the others had moved before.", "no, not " .. value
    end,
    hints = { "t:release()", "p = vm:pin{ longterm = true }", "p.migrated" },
    answer = "t:release()\np = vm:pin{ longterm = true }\nreturn p.migrated",
    wrong = { "1", "t:release() return 1", "t:release() p = vm:pin{ longterm = true } return 64" },
  },
  {
    text = [[
The 64 pages of vm were in memory block 5. Nothing of vm is in ZONE_MOVABLE now, so the pin is in nobody's way. Memory
is unplugged in blocks of 128 MiB, and a block goes offline only when every page of it can go.]],
    ask = [[
Take memory block 5 offline while the pin is there:
  m:offline(5)]],
    check = function()
      local pinned = false
      for _, pin in ipairs(m:pins()) do pinned = pinned or pin.longterm and pin.pages == 64 end
      for _, block in ipairs(m:memory_blocks()) do
        if block.block == 5 then
          return block.state == "offline" and left() == 0 and pinned, [[
Before 5.13 a long-term pin left its pages in ZONE_MOVABLE: block 5 could not have gone offline as long as the pin
lasted.]]
        end
      end
      return false
    end,
    hints = { "m:memory_blocks() shows them all." },
    answer = "m:offline(5)",
    wrong = { "m:offline(6)", "p:unpin() m:offline(5)" },
  },
}

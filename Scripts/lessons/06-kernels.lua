-- L6 · kernels side by side
-- The same pin, on the kernels of ten years. Which change of the kernel changed what happens?
-- Rules: P0.8, P3.42, P3.43, P3.50.
return {
  setup = function()
    m = machine{ ram = "1G", cma = "640M", thp = "never" }
    vm = m:guest{ name = "vm0", ram = "256K" }
    vm:populate()
    m:drain_lru()
    t = m:temp_ref(vm:page(0), "a scanner")
    function attempt(fork) return fork:guest("vm0"):pin{ longterm = true } end
  end,
  {
    text = [[
vm0 has 64 pages in CMA, and a scanner has a reference to the first. compare forks m once for each kernel, calls a
function with the fork, and returns a table of what happened. attempt is such a function: it pins vm0 for long.
kernels() lists the names.]],
    ask = [[
Compare the kernel before the first fix, one with it, and ours:
  c = compare({ "4.2", "5.10", "6.12" }, attempt, { start = m })]],
    check = function()
      return #c == 3 and c:row("4.2") and c:row("5.10") and c:row("6.12") and true,
        "Type c: a row for each kernel, and a * at what differs from the last row, 6.12."
    end,
    hints = { "Copy the line; attempt is there already." },
    answer = 'c = compare({ "4.2", "5.10", "6.12" }, attempt, { start = m })',
    also = { 'c = compare({ "6.12", "5.10", "4.2" }, attempt, { start = m })' },
    wrong = { 'c = compare({ "6.12" }, attempt, { start = m })', "attempt(m)" },
  },
  {
    ask = "How many pages does 5.10 leave pinned in CMA?",
    expect = 1,
    hints = { "c is the table; pinned_cma is the column.", 'c:row("5.10").pinned_cma' },
    answer = 'c:row("5.10").pinned_cma',
    wrong = { "0", "64" },
    done = "5.10 moved 63, could not move the one, and pinned it where it was: success.",
  },
  {
    ask = "And what does 6.12 say? Type the errno, as a text.",
    expect = "ENOMEM",
    hints = { 'c:row("6.12").errno' },
    answer = 'c:row("6.12").errno',
    wrong = { '"EBUSY"' },
  },
  {
    text = [[
Between the two, somebody decided that a failed migration is an error. Ask every kernel, in a narrow table:
  compare("all", attempt, { start = m }):only{ "errno", "pinned_cma" }]],
    ask = "Which is the first kernel in that list, of those that were released, that returns ENOMEM? Type its name as a text.",
    expect = "5.12.5",
    miss = function(value)
      return value == "5.13" and "5.13 is the first of Linus' tree; a stable kernel had it before." or nil
    end,
    hints = { "It is one of 2021.", "Look in the column errno from the top." },
    answer = '"5.12.5"',
    wrong = { '"5.10"', '"6.12"', '"5.13"' },
  },
  {
    text = [[
A kernel is a list of named switches: m:kernel().lt_on_migrate_fail. kernel{ base = …, … } makes one of your own,
from another with some switches changed: what a patch would do, without the patch.]],
    ask = [[
Make 5.10 with that one change:
  k = kernel{ base = "5.10", lt_on_migrate_fail = "error" }]],
    check = function()
      return k.name == "5.10+lt_on_migrate_fail=error", "A kernel that never was: " .. k.name
    end,
    hints = { "Copy the line; press Tab inside kernel{ to see all switches." },
    answer = 'k = kernel{ base = "5.10", lt_on_migrate_fail = "error" }',
    wrong = {
      'k = kernel{ base = "5.10" }', 'k = kernel{ base = "6.12", lt_on_migrate_fail = "error" }',
      'k = kernel{ base = "5.10", lt_on_migrate_fail = "error", vfio_batch = 512 }',
    },
  },
  {
    ask = [[
Compare the two:
  c = compare({ "5.10", k }, attempt, { start = m })
How many pages are pinned in CMA with k?]],
    check = function(value)
      if type(value) ~= "number" or #c ~= 2 or not c:row(k.name) then return false end
      return value == (c:row(k.name).pinned_cma or 0), "That one switch decides whether a device gets its memory or the next cma_alloc does.",
        "no, not " .. value
    end,
    hints = { "c[2].pinned_cma; columns that are 0 everywhere are not printed." },
    answer = 'c = compare({ "5.10", k }, attempt, { start = m })\nreturn c[2].pinned_cma or 0',
    wrong = { "0", 'c = compare({ "5.10", k }, attempt, { start = m }) return 1' },
  },
}

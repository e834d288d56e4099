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
vm0 has 64 pages in CMA, and a scanner has a reference to the first. compare(kernels, f, { start = m }) forks m
once for each kernel, calls f with the fork, and prints a table of what happened. attempt is such an f: it pins vm0
for long. kernels() lists the names.]],
    ask = [[
Compare the kernel before the first fix, one with it, and ours:
  c = compare({ "4.2", "5.10", "6.12" }, attempt, { start = m })]],
    check = function()
      return #c == 3 and c:row("4.2") and c:row("5.10") and c:row("6.12") and true,
        "Columns with a * differ from the line above. print(c) shows the table again."
    end,
    hints = { "Copy the line; attempt is there already." },
    answer = 'c = compare({ "4.2", "5.10", "6.12" }, attempt, { start = m })',
    wrong = { 'c = compare({ "6.12" }, attempt, { start = m })', "attempt(m)" },
  },
  {
    ask = "How many pages does 5.10 leave pinned in CMA?",
    expect = 1,
    hints = { 'c:row("5.10").pinned_cma' },
    answer = 'c:row("5.10").pinned_cma',
    wrong = { "0", "64" },
    done = "5.10 moved 63, could not move the one, and pinned it where it was: success.",
  },
  {
    ask = "And what does 6.12 say? Type the errno.",
    expect = "ENOMEM",
    hints = { 'c:row("6.12").errno' },
    answer = 'c:row("6.12").errno',
    wrong = { '"EBUSY"' },
  },
  {
    text = [[
Between the two, somebody decided that a failed migration is an error. compare("all", attempt, { start = m }) asks
every kernel; c:only{ "errno", "pinned_cma" } makes the table narrow.]],
    ask = "Which is the first kernel in that list, of those that were released, that returns ENOMEM? Type its name.",
    expect = "5.12.5",
    hints = { 'compare("all", attempt, { start = m }):only{ "errno", "pinned_cma" }', "It is one of 2021." },
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
      local switches = k
      return switches.lt_on_migrate_fail == "error" and switches.lt_check == kernel{ base = "5.10" }.lt_check
        and k.name:sub(1, 4) == "5.10", "A kernel that never was: " .. k.name
    end,
    hints = { "Copy the line; press Tab inside kernel{ to see all switches." },
    answer = 'k = kernel{ base = "5.10", lt_on_migrate_fail = "error" }',
    wrong = { 'k = kernel{ base = "5.10" }', 'k = kernel{ base = "6.12", lt_on_migrate_fail = "error" }' },
  },
  {
    ask = "Compare 5.10 with k. How many pages are pinned in CMA with k?",
    expect = 0,
    hints = { 'compare({ "5.10", k }, attempt, { start = m })' },
    answer = 'c = compare({ "5.10", k }, attempt, { start = m })\nreturn c[2].pinned_cma or 0',
    wrong = { "1", "64" },
    done = "That one switch decides whether a device gets its memory or the next cma_alloc does.",
  },
}

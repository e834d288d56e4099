-- L5 · a race, by hand and by search
-- Two processes share a page in CMA, and both pin it for long at the same time. Can a pin succeed while its page
-- stays in CMA?
-- Rules: P1.30, P3.43, P3.50, P10, I1.
local function stands_at(task, step) return tostring(task):find("next " .. step .. " ", 1, true) ~= nil end
return {
  setup = function()
    function boot()
      m = machine{ ram = "64M", cma = "32M", cpus = 2 }
      vm = m:guest{ name = "vm", ram = "4K", backing = "memfd" }
      vm:populate()
      twin = vm:fork("twin")
      twin:populate()
    end
    boot()
    function pin(who) return function() return who:pin{ longterm = true } end end
  end,
  {
    text = [[
vm and twin are two processes that share one page, and it lies in CMA: m:why(vm:page(0)). A long-term pin takes a
reference, sees that the page may not stay, takes it off its LRU list ("isolates" it), lets go of it, moves it, and
begins anew.

step(f) makes a task of a function, which stands still until you let it go: task:next() does one atomic step,
task:to("g6") goes on until step g6 is next, task:run() to the end.]],
    ask = [[
Make two tasks:
  a = step(pin(vm))
  b = step(pin(twin))]],
    check = function() return stands_at(a, "g0") and stands_at(b, "g0"), "They have not begun. print(a) shows what a task does next." end,
    hints = { "pin(vm) is a function that pins the memory of vm." },
    answer = "a = step(pin(vm))\nb = step(pin(twin))",
    wrong = { "a = step(pin(vm))", "pin(vm)" },
  },
  {
    ask = [[
Bring both to the moment where they test and clear the page's LRU flag:
  a:to("g6")
  b:to("g6")]],
    check = function() return stands_at(a, "g6") and stands_at(b, "g6"), "Both have pinned it, both have found it in CMA." end,
    hints = { "Both tasks, one after the other." },
    answer = 'a:to("g6")\nb:to("g6")',
    wrong = { 'a:to("g6")', 'a:to("g6") b:to("g2")' },
  },
  {
    text = [[
This is the moment that the thread of December 2020 is about: "They will both race list_add_tail". Let a take its
step, then b.]],
    ask = [[
Let each do its step:
  a:next()
  b:next()
How many of the two have isolated the page?]],
    expect = 1,
    hints = { "The flag is tested and cleared in one step.", "m:why(vm:page(0)).reason" },
    answer = "a:next()\nb:next()\nreturn 1",
    wrong = { "0", "2" },
  },
  {
    text = [[
So the list is safe. What becomes of the loser? Run a to its end, then b, and look at what they return.]],
    ask = "Run both. Which errno does a, that isolated the page, end with?",
    expect = "ENOMEM",
    hints = { "a:run()  b:run()", "A pin of the other still stands on the page while a tries to move it." },
    answer = 'a:run()\nb:run()\nreturn "ENOMEM"',
    wrong = { '"EBUSY"', '"EAGAIN"' },
    done = "The winner of the race lost: ten attempts to move the page, and b's pin was on it each time.",
  },
  {
    text = [[
One order shows what can happen, not what cannot. explore tries every order of the steps of several functions, on
forks, and looks at the machine after each.]],
    ask = [[
Begin anew, and search:
  boot()
  e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }
How many broken invariants are there in e.broken?]],
    expect = 0,
    hints = { "#e.broken is their number; e alone prints what was found." },
    answer = "boot()\ne = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }\nreturn #e.broken",
    wrong = { "1", "2" },
    done = "In 6.12 no order of steps leaves a pinned page in CMA.",
  },
  {
    text = [[
The kernel of that thread, 5.10, was different: whoever could isolate nothing took its pages as they were.]],
    ask = [[
Search once more, on a machine of that time, and keep the result in e:
  m:kernel("5.10")]],
    check = function()
      return m:kernel().name == "5.10" and e.broken[1].text:sub(1, 3) == "I1:", "There it is: success, and the page in CMA, from where nobody will move it."
    end,
    hints = { 'm:kernel("5.10")  e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }' },
    answer = 'm:kernel("5.10")\ne = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }',
    wrong = { 'm:kernel("5.10")', "e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }" },
  },
  {
    text = [[
e.broken[1].schedule is the order of steps that does it, such as 1*5 2*50: five steps of task 1, fifty of task 2.
Whoever has the line has the bug.]],
    ask = [[
Replay it on m, and look where the page is:
  r = replay_schedule(e.broken[1].schedule, { machine = m, tasks = { pin(vm), pin(twin) } })]],
    check = function()
      return r and #m:pins() > 0 and vm:resident().cma == 1, "The race is a line that anybody can run again."
    end,
    hints = { "vm:resident().cma", "Copy the line; machine = m says where." },
    answer = "r = replay_schedule(e.broken[1].schedule, { machine = m, tasks = { pin(vm), pin(twin) } })",
    wrong = { "r = e.broken[1].schedule", "vm:pin{ longterm = true }" },
  },
}

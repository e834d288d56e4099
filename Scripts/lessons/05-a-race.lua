-- L5 · a race, by hand and by search
-- Two processes share a page in CMA, and both pin it for long at the same time. Can a pin succeed while its page
-- stays in CMA?
-- Rules: P1.30, P3.43, P3.50, P10, I1.
local function stands_at(task, step) return tostring(task):find("next " .. step .. " ", 1, true) ~= nil end
local function stands(task) return tostring(task):find(", next ", 1, true) ~= nil end
local gone = "a or b has gone further than that: again() puts both back."
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
task:to("g6") goes on until step g6 is next, task:run() to the end. print(task) shows where it stands.]],
    ask = [[
Make two tasks:
  a = step(pin(vm))
  b = step(pin(twin))]],
    check = function() return stands_at(a, "g0") and stands_at(b, "g0"), "They have not begun." end,
    hints = { "pin(vm) is a function that pins the memory of vm." },
    answer = "a = step(pin(vm))\nb = step(pin(twin))",
    wrong = { "a = step(pin(vm))", "pin(vm)" },
  },
  {
    ask = [[
Bring both to the moment where they test and clear the page's LRU flag:
  a:to("g6")
  b:to("g6")]],
    check = function()
      local past = a.steps > 20 or b.steps > 20 or a.done or b.done
      return stands_at(a, "g6") and stands_at(b, "g6"), "Both have pinned it, both have found it in CMA.", past and gone
    end,
    hints = { "Both tasks, one after the other." },
    answer = 'a:to("g6")\nb:to("g6")',
    wrong = { 'a:to("g6")', 'a:to("g6") b:to("g2")', "a:run() b:run()" },
  },
  {
    text = [[
This is the moment that the thread of December 2020 is about: "They will both race list_add_tail". Let a take its
step, then b; the order matters for what comes after.]],
    ask = [[
First a, then b:
  a:next()
  b:next()
How many of the two have isolated the page?]],
    check = function(value)
      if a.done or b.done then return false, nil, gone end
      if stands_at(a, "g6") and not stands_at(b, "g6") then return false, nil, "b was first: again(), and a:next() before b:next()." end
      if stands_at(a, "g6") or stands_at(b, "g6") or type(value) ~= "number" then return false end
      return value == 1, "One: the flag is tested and cleared in one step, and the other found it clear.", "no, not " .. value
    end,
    hints = { "The flag is tested and cleared in one step.", "m:why(vm:page(0)).reason" },
    answer = "a:next()\nb:next()\nreturn 1",
    wrong = { "1", "a:next() b:next() return 2", "b:next() a:next() return 0" },
  },
  {
    text = [[
So the list is safe. What becomes of the loser? Run a to its end while b stands where it is, and then b.]],
    ask = [[
Run them, a first:
  a:run()
  b:run()
Which errno does a, that isolated the page, end with? Type it as a text.]],
    check = function(value)
      if a.done and tostring(a):find("1 page", 1, true) then
        return false, nil, "b ran before a was at its end, and let go of the page in each round: a's migration went through. again(), then a:run() first."
      end
      if not (a.done and b.done) then return false end
      if type(value) ~= "string" then return false end
      return value == "ENOMEM", [[
The winner of the race lost: ten attempts to move the page, and b, which stood still, had its pin on it each time.
Had b run, too, it would have let go.]], "no, not " .. value
    end,
    hints = { "a:run() shows it.", "print(a)" },
    answer = 'a:run()\nb:run()\nreturn "ENOMEM"',
    also = { 'a:run() b:run() return a.results[1]:match("%u+")' },
    wrong = { '"ENOMEM"', 'a:run() b:run() return "EBUSY"', 'b:run() a:run() return "ENOMEM"' },
  },
  {
    text = [[
One order shows what can happen, not what cannot. explore tries the orders of the steps of several functions, here
all with at most two preemptions (switches away from a function that could go on), and looks at the machine after each
step. m stays as it is.]],
    ask = [[
Begin anew, and search:
  boot()
  e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }
How many broken invariants are there in e.broken?]],
    check = function(value)
      if not e or type(value) ~= "number" then return false end
      if #e.broken > 0 then return false end
      return value == 0, "In 6.12 none of these orders leaves a pinned page in CMA.", "no, not " .. value
    end,
    hints = { "#e.broken is their number; e alone prints what was found." },
    answer = "boot()\ne = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }\nreturn #e.broken",
    wrong = { "0", "boot() e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 } return 1" },
  },
  {
    text = [[
The kernel of that thread, 5.10, was different: whoever could isolate nothing took its pages as they were.]],
    ask = [[
Search once more, on a machine of that time, and keep the result in e:
  m:kernel("5.10")
  e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 2 }]],
    check = function()
      return m:kernel().name == "5.10" and e.broken[1].text:sub(1, 3) == "I1:", [[
There it is: success, and the page in CMA, from where nobody can move it while the pins last.]]
    end,
    hints = { "Both lines, in that order." },
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
      return r and #m:pins() == 2 and vm:resident().cma == 1, "Two pins, and vm:resident().cma is 1: a race that anybody can run again."
    end,
    hints = { "Copy the line; machine = m says where." },
    answer = "r = replay_schedule(e.broken[1].schedule, { machine = m, tasks = { pin(vm), pin(twin) } })",
    wrong = { "r = e.broken[1].schedule", "vm:pin{ longterm = true }" },
  },
}

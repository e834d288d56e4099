-- S1.7 · two pins isolate the same page
-- Two processes share a page in CMA, and both pin it for long at the same time. Can both put it on
-- their list ("is this list_add racy?")? What may come out?
-- Thread: linux-mm, December 2020, "[PATCH 6/6] mm/gup: migrate pinned pages out of movable zone".
-- Jason Gunthorpe, 3 December (#6): "They will both race list_add_tail and other list ops. That is not
-- OK", and what came of it (#11 to #15).
-- Rules: P1.30, P3.43, P3.50, P3.51, P10 R1, I1, I4.

local function booted(kernel, holder)
  local m = machine{ ram = "64M", cma = "32M", cpus = 2 }
  local vm = m:guest{ name = "vm", ram = "4K", backing = "memfd" }
  vm:populate()
  local twin = vm:fork("twin")
  twin:populate()
  expect(kernel .. ": the page lies in", vm:page(0).pageblock.type, "CMA")
  m:kernel(kernel)
  if holder then m:temp_ref(vm:page(0), "a third party") end
  return m, { function() vm:pin{ longterm = true } end, function() twin:pin{ longterm = true } end }
end

local function explored(kernel, options)
  local m, tasks = booted(kernel, options and options.holder)
  for _, name in ipairs(options and options.without or {}) do m:protection(name, false) end
  local e = explore{ machine = m, tasks = tasks, preemptions = 2 }
  local texts = {}
  for i, state in ipairs(e.end_states) do texts[i] = state.text end
  table.sort(texts)
  return e, table.concat(texts, "; ")
end

-- 6.12: the loser goes round until the page is back, or meets the winner's pin and fails.
local e, ends = explored("6.12")
print(e)
expect("6.12 ends in", ends, "1 page | 1 page; 1 page | ENOMEM; ENOMEM | 1 page")
expect("6.12 breaks", #e.broken, 0)
expect("every order was looked at", e.complete, true)

-- Both fail only when somebody else holds the page as well.
e, ends = explored("6.12", { holder = true })
print(e)
expect("with a third reference 6.12 ends in", ends, "ENOMEM | ENOMEM")
expect("with a third reference 6.12 breaks", #e.broken, 0)

-- 5.10 takes what nobody could isolate as it is: success, and the page in CMA.
e, ends = explored("5.10")
print(e)
expect("5.10 ends in", ends, "1 page | 1 page; 1 page | 1 page · 2 pinned in CMA or ZONE_MOVABLE")
expect("5.10 breaks", e.broken[1].text:sub(1, 2), "I1")

-- The list itself is safe in every kernel, because the LRU flag is tested and cleared in one step …
for _, preset in ipairs(kernels()) do
  local kernel = preset.name
  e, ends = explored(kernel)
  print(kernel, ends)
  local linked = 0
  for _, broken in ipairs(e.broken) do
    if broken.text:sub(1, 3) == "I4:" then linked = linked + 1 end
  end
  -- In 6.1.0 to 6.1.12 the one that could not isolate it puts it on its list (S1.22).
  expect(kernel .. " links the page twice", linked > 0, kernel == "6.1.0")
end

-- … and without that step it is not.
e = explored("6.12", { without = { "test_and_clear_lru" } })
print(e.broken[1].text, e.broken[1].schedule)
expect("without test-and-clear", e.broken[1].text:sub(1, 3), "I4:")

import LuaBridge
import Testing

/// Going on once only from a state that several orders lead to loses nothing: on small cases the
/// reduced search finds what the unreduced one finds.
@Suite struct ReductionTests {
  static let guests = """
    m = machine{ ram = "64M", cma = "32M", cpus = 3 }
    vm = m:guest{ name = "vm", ram = "16K", backing = "memfd" }
    vm:populate()
    twin = vm:fork("twin")
    twin:populate()
    page = vm:page(0)
    function pin() vm:pin{ length = "4K", longterm = true } end
    function fast() vm:pin{ length = "4K", longterm = true, fast = true } end
    function other() twin:pin{ length = "4K", longterm = true } end
    function hold() local r = m:temp_ref(page) if r then r:release() end end
    function isolate() local i = m:isolate(page) if i then i:put_back() end end
    """

  /// Setup, tasks, preemptions.
  static let cases = [
    ["two pins", "", "pin, other", "2"],
    ["a fast pin and one that is slow", "", "fast, other", "2"],
    ["a pin and an isolation", "", "pin, isolate", "2"],
    ["a pin, a reference and an isolation", "", "pin, hold, isolate", "1"],
    ["a pin and the end of its process", "", "pin, function() vm:exit() end", "2"],
    ["a pin and munmap", "", "pin, function() vm:munmap() end", "2"],
    ["a pin and fork", "", "fast, function() vm:fork(\"child\") end", "1"],
    [
      "a pin and cma_alloc", "m:cma_alloc(1):release()",
      "pin, function() m:cma_alloc(64) end", "1",
    ],
    [
      "two cma_allocs", "", "function() m:cma_alloc(16) end, function() m:cma_alloc(16) end", "1",
    ],
    [
      "a pin of 5.10 and one more", "m:kernel(\"5.10\")", "pin, other", "2",
    ],
    [
      "without the protection of the flag", "m:protection(\"test_and_clear_lru\", false)",
      "pin, other", "1",
    ],
    [
      "a pin and drop_caches", "m:file{ size = \"8K\" }:read()",
      "pin, function() m:drop_caches() end", "1",
    ],
    [
      "a pin of the file and a pin", "", "function() vm:memfd_pin{ length = \"4K\" } end, other",
      "1",
    ],
    [
      "two maps of a device", "d = vm:vfio()",
      "function() d:map{ length = \"4K\" } end, other", "1",
    ],
    ["pressure and a pin", "", "function() m:pressure(\"8K\") end, pin", "1"],
    [
      "two allocations", "", "function() m:alloc_pages(0) end, function() m:alloc_pages(1) end",
      "2",
    ],
    [
      "two migrations", "",
      "function() vm:migrate(0, \"4K\") end, function() twin:migrate(0, \"4K\") end", "1",
    ],
  ]

  @Test(arguments: cases) func losesNothing(_ race: [String]) {
    let session = Session()
    let failure = session.lua.run(
      Self.guests + """

        \(race[1])
        before = m:fork()
        local function search(reduce)
          local e = explore{ machine = m, tasks = { \(race[2]) }, preemptions = \(race[3]),
            reduce = reduce }
          local ends = {}
          for _, state in ipairs(e.end_states) do ends[#ends + 1] = state.text end
          for _, broken in ipairs(e.broken) do ends[#ends + 1] = broken.text:match("^[^:]*") end
          table.sort(ends)
          assert(e.complete)
          assert((m:same(before)), "the machine is left as it was")
          return table.concat(ends, "; "), e.covered, e.memory_states, e.schedules
        end
        local ends, covered, states, run = search(true)
        local all, every, allStates, allRun = search(false)
        assert(ends == all, ends .. " instead of " .. all)
        assert(covered == every, covered .. " orders instead of " .. every)
        assert(states == allStates, states .. " states instead of " .. allStates)
        assert(run <= allRun and allRun == every and every > 1, every .. " orders")
        """
    ).failure
    #expect(failure == nil, "\(race[0]): \(failure?.message ?? "")")
  }
}

import LuaBridge
import MemoryModel
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

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

  /// Programs of two or three tasks, one or two calls each, drawn from all that a task can do.
  @Test(arguments: DrawnProgram.seeds) func losesNothingOfDrawnPrograms(_ seed: UInt64) {
    let session = Session()
    let program = DrawnProgram(seed: seed)
    let failure = session.lua.run(
      DrawnProgram.setup + """

        before = m:fork()
        local function search(reduce)
          local e = explore{ machine = m, tasks = { \(program.tasks) },
            preemptions = \(program.preemptions), reduce = reduce, schedules = 1000 }
          local ends = {}
          for _, state in ipairs(e.end_states) do ends[#ends + 1] = state.text end
          for _, broken in ipairs(e.broken) do
            assert(not broken.text:find("^I4") and not broken.text:find("AI.", 1, true), broken.text)
            ends[#ends + 1] = broken.text:match("^[^:]*")
          end
          table.sort(ends)
          local same, what = m:same(before)
          assert(same, what)
          return e.complete, table.concat(ends, "; "), e.covered, e.memory_states
        end
        local complete, all, every, allStates = search(false)
        if not complete then return end
        local _, ends, covered, states = search(true)
        assert(ends == all, ends .. " instead of " .. all)
        assert(covered == every, covered .. " orders instead of " .. every)
        assert(states == allStates, states .. " states instead of " .. allStates)
        """
    ).failure
    #expect(failure == nil, "seed \(seed): \(program.tasks): \(failure?.message ?? "")")
  }
}

/// A small program, the same for the same seed.
struct DrawnProgram {
  static let setup = """
    m = machine{ ram = "64M", cma = "32M", cpus = 3, swap = "1M" }
    vm = m:guest{ name = "vm", ram = "16K", backing = "memfd" }
    vm:populate()
    twin = vm:fork("twin")
    twin:populate()
    an = m:guest{ name = "an", ram = "16K", thp = "never" }
    an:populate()
    x = vm:page(0) y = an:page(0)
    held = m:alloc_pages(0)
    buffer = m:cma_alloc(4)
    f = m:file{ name = "f", size = "8K" } f:read()
    d = vm:vfio() mp = d:map{ from = "8K", length = "4K" }
    mo = an:rdma{ odp = true }:map{}
    p = vm:pin{ from = "12K", length = "4K" }
    t = m:temp_ref(vm:page("12K"))
    i = m:isolate(an:page("12K"))
    """

  static let calls = [
    "vm:pin{ length = '4K', longterm = true }", "an:pin{ length = '4K', fast = true }",
    "twin:pin{ length = '4K', longterm = true, fast = true }",
    "an:pin{ length = '8K', longterm = true }", "vm:memfd_pin{ length = '4K' }",
    "vm:migrate(0, '4K')", "an:move_pages{ node = 0, length = '4K' }", "an:munmap(0, '4K')",
    "an:mmap{ length = '4K', populate = true }", "an:mprotect('r', 0, '4K')",
    "an:madvise('dontneed', 0, '4K')", "an:madvise('populate_write', 0, '4K')",
    "an:mlock(0, '4K')", "an:fork()", "an:exit()", "twin:exit()", "an:write(0, '4K')",
    "vm:read(0, '4K')", "m:alloc_pages(0)", "held:free()", "m:drain()", "m:fold()", "m:tick()",
    "m:cma_alloc(8)", "buffer:release()", "m:drop_caches(1)", "f:read()", "f:write()", "f:sync()",
    "f:unlink()", "d:map{ from = '4K', length = '4K', iova = '1M' }", "mp:unmap()", "d:close()",
    "mo:access{ length = '4K' }", "vm:rdma():map{ length = '4K' }", "p:unpin()", "t:release()",
    "i:put_back()", "m:temp_ref(x)", "m:isolate(y)", "m:drain_lru()", "m:pressure('8K')",
    "m:compact()", "m:reclaim{ bytes = '8K' }", "m:hugepages{ count = 1 }",
    "m:sysctl('min_free_kbytes', 1024)",
  ]

  static var seeds: [UInt64] {
    if let own = unsafe getenv("PINLAB_SEED"), let seed = UInt64(unsafe String(cString: own)) {
      return [seed]
    }
    return Array(1...40)
  }

  let tasks: String
  let preemptions: Int

  init(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let count = Int.random(in: 2...3, using: &random)
    tasks = (0..<count).map { _ in
      let calls = (0..<Int.random(in: 1...(count == 2 ? 2 : 1), using: &random)).map { _ in
        Self.calls[Int.random(in: Self.calls.indices, using: &random)]
      }
      return "function() \(calls.joined(separator: " ")) end"
    }.joined(separator: ", ")
    preemptions = count == 2 ? Int.random(in: 1...2, using: &random) : 1
  }
}

import LuaBridge
import MemoryLua
import Testing

/// Seeded random calls of everything that is declared, mostly with arguments of the wrong kind:
/// nothing that a script passes may end the process, or leave a machine unsound.
@Suite struct RandomCallTests {
  static let values = [
    "nil", "true", "false", "0", "1", "2", "3", "9", "10", "63", "64", "-1", "0x1000", "0x3fff",
    "0x100000", "1 << 20", "1 << 32", "1 << 53", "math.maxinteger", "math.mininteger", "0.5",
    "2.0", "1e300", "1/0", "-1/0", "0/0", "''", "'x'", "'0'", "'16M'", "'64M'", "'1P'", "'-1'",
    "'50%'", "'99999999999999999999%'", "'-9223372036854775808%'", "'DMA'", "'DMA32'", "'Normal'",
    "'Movable'", "'Unmovable'", "'CMA'", "'always'", "'never'", "'GFP_KERNEL'", "'GFP_ATOMIC'",
    "'GFP_HIGHUSER_MOVABLE'", "'__GFP_MOVABLE|__GFP_RECLAIMABLE'", "'min_free_kbytes'",
    "'lowmem_reserve_ratio'", "'watermark_scale_factor'", "'percpu_pagelist_high_fraction'",
    "'6.12'", "'ppc64'", "'x86_64'", "'a\\0b'", "'\\xff\\xfe'", "('x'):rep(100000)", "{}",
    "{ 1, 2 }", "{ '16M', '16M' }", "{ '16M', -1 }", "{ { 10, 20 }, { 20, 10 } }",
    "{ { size = '4M' } }", "{ { size = '4M', base = 0x1000 } }", "{ ram = 1 }", "cycle",
    "setmetatable({}, { __index = error })", "print", "error", "coroutine.create(print)", "m", "n",
    "p", "q", "z", "b", "d", "a", "u", "m.alloc_pages", "held[1]",
    "vm", "pn", "fo", "0x7f0000000000", "0x7f0000100000", "'4K'", "'64K'", "'1M'", "'2M'", "'anon'",
    "'memfd'", "'hugetlb'", "'device'", "'shuffled'", "'dontneed'", "'rw'", "'r'", "'vm0'",
  ]

  /// Statements that run before: a small machine, another, and one of each kind of object.
  static let prelude = """
    cycle = {} cycle[1] = cycle cycle.ram = cycle
    m = m or machine{ nodes = { "32M", "32M" }, cpus = 3, cma = "8M" }
    n = n or machine{ ram = "16M" }
    p, q = m:alloc_pages(1) or p or m:page(0), n:alloc_pages(0) or q or n:page(0)
    z, b, d = m:zones()[1], m:pageblock(0), m:node(1)
    if m.free < 2048 then m = machine{ nodes = { "32M", "32M" }, cpus = 3, cma = "8M" } p = m:page(0) end
    vm = m:guest{ ram = "4M", backing = ({ "anon", "memfd", "file" })[m.operation % 3 + 1] }
    pop = vm:touch(0, "1M")
    if not vm:page(0) then
      m = machine{ nodes = { "32M", "32M" }, cpus = 3, cma = "8M" }
      vm = m:guest{ ram = "4M" }
      pop = vm:touch(0, "1M")
    end
    pn = vm:pin{ from = "64K", length = "64K" }
    m:drain_lru()
    fo, tr, iso = m:folio(vm:page(0)), m:temp_ref(vm:page("4K")), m:isolate(vm:page("8K"))
    ex, lr, li = m:why(vm:page(0)), m:lru(), vm:vmas()
    dv = vm:vfio()
    mp = dv:map{ length = "64K" }
    kn, cp = kernel("6.12"), compare({ "6.12" }, function(m) end)
    df = m:diff(m:fork())
    ta, xp = step(function() end), explore{ machine = m, tasks = { function() end } }
    a, u = m:cma(), m:cma_alloc(3) or u
    held = {}
    """

  /// What the prelude calls an object of each type.
  static let objects = [
    "machine": "m", "node": "d", "zone": "z", "pageblock": "b", "page": "p", "cma_area": "a",
    "cma_buffer": "u", "guest": "vm", "population": "pop", "pin": "pn", "folio": "fo",
    "temp_ref": "tr", "isolation": "iso", "explanation": "ex", "lru": "lr", "listing": "li",
    "device": "dv", "mapping": "mp",
    "task": "ta", "difference": "df", "kernel": "kn", "comparison": "cp",
    "exploration": "xp",
  ]

  private func draw(_ random: inout Random) -> String {
    Self.values[random.below(Self.values.count)]
  }

  private func arguments(_ function: LuaFunction, _ random: inout Random) -> String {
    if function.style == .named && random.below(8) != 0 {
      var fields: [String] = []
      for _ in 0..<random.below(4) where !function.parameters.isEmpty {
        let parameter = function.parameters[random.below(function.parameters.count)]
        fields.append("\(parameter.name) = \(draw(&random))")
      }
      if random.below(20) == 0 { fields.append("nonsense = 1") }
      return "{ \(fields.joined(separator: ", ")) }"
    }
    let count = random.below(function.parameters.count + 2)
    return "(" + (0..<count).map { _ in draw(&random) }.joined(separator: ", ") + ")"
  }

  private func statement(_ library: LuaLibrary, _ random: inout Random) -> String {
    if random.below(10) == 0, let function = library.functions.randomElement(using: &random) {
      return "local x = \(function.name)\(arguments(function, &random))"
    }
    let type = library.types[random.below(library.types.count)]
    let receiver = random.below(12) == 0 ? "(\(draw(&random)))" : Self.objects[type.name] ?? "(nil)"
    switch random.below(type.name == "guest" ? 12 : 5) {
    case 0 where !type.properties.isEmpty:
      return "return \(receiver).\(type.properties[random.below(type.properties.count)].name)"
    case 1 where !type.properties.isEmpty:
      let property = type.properties[random.below(type.properties.count)]
      return "\(receiver).\(property.name) = \(draw(&random))"
    default:
      guard !type.methods.isEmpty else { return "return tostring(\(receiver))" }
      let method = type.methods[random.below(type.methods.count)]
      let dot = random.below(12) == 0 ? "." : ":"
      return "return \(receiver)\(dot)\(method.name)\(arguments(method, &random))"
    }
  }

  @Test(arguments: 1...6 as ClosedRange<UInt64>) func nothingBreaks(_ seed: UInt64) {
    let library = MemoryLibrary.library(MemoryContext())
    let session = Session(
      seed: seed, limits: LuaLimits(memory: 256 << 20, time: .milliseconds(2000)))
    var random = Random(state: seed)
    var worked = 0
    for step in 0..<1500 {
      if step % 100 == 0 {
        let failure = session.lua.run(Self.prelude).failure
        #expect(failure == nil, "seed \(seed), step \(step)")
      }
      let source = statement(library, &random)
      let outcome = session.lua.run(source, chunkName: "=fuzz")
      if outcome.failure == nil { worked += 1 }
      if let failure = outcome.failure {
        #expect(!failure.message.isEmpty, "seed \(seed), step \(step): \(source)")
      }
      if step % 25 == 24 {
        let sound = session.shown("m:check() and n:check()")
        #expect(sound == "true", "seed \(seed), step \(step), after \(source)")
      }
    }
    #expect(worked > 100 && worked < 1400, "\(worked) of 1500 statements ran")
  }
}

/// SplitMix64: the same numbers on every machine.
struct Random: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }
}

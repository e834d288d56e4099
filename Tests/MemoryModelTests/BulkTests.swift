import ModelTesting
import Testing

@testable import MemoryModel

/// Runs of pages against single calls: two machines that start equal must stay equal to the bit.
@Suite struct BulkTests {
  typealias Shape = RandomRunTests.Shape

  @Test("allocateRuns and freeRuns leave what single calls leave", arguments: Shape.allCases)
  func sameAsSingleCalls(shape: Shape) throws {
    for seed in Seeds.list(1...2) {
      var pair = try BulkPair(try RandomRunTests.machine(shape), seed: seed)
      let broken = try pair.run(steps: Seeds.steps(120))
      #expect(broken == nil, "\(shape.rawValue), seed \(seed)")
      #expect(pair.refusals > 0 || Seeds.steps(120) < 120, "\(shape.rawValue), seed \(seed)")
    }
  }

  @Test("The same with large batches and thresholds, and with CMA areas that take turns")
  func largeMachines() throws {
    for (cpus, cma) in [(1, 0), (2, 150_000), (1, 300_000)] {
      var configuration = MachineConfiguration()
      try configuration.layOut(bytesPerNode: [6 << 30])
      configuration.cpuNodes = Array(repeating: 0, count: cpus)
      if cma > 0 { configuration.cmaAreas = [.init(name: "reserved", pages: cma)] }
      for seed in Seeds.list(1...1) {
        var pair = try BulkPair(try Machine.boot(configuration), seed: seed, longest: 200_000)
        let broken = try pair.run(steps: Seeds.steps(50))
        #expect(broken == nil, "\(cpus) CPUs, \(cma) CMA pages, seed \(seed)")
      }
    }
  }

  @Test("A5.7: fresh memory comes in runs as long as the zone has it in one piece")
  func freshMemory() throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [8 << 30])
    var machine = try Machine.boot(configuration)
    var runs: [PFNRun] = []
    let refusal = machine.allocateRuns(count: 1 << 20, gfp: .highUserMovable, into: &runs)
    #expect(refusal == nil)
    #expect(runs.reduce(0) { $0 + $1.count } == 1 << 20)
    #expect(runs.count < 10)
    #expect(machine.check() == nil)
    try machine.freeRuns(runs)
    #expect(machine.check() == nil)
  }

  @Test("What is not an allocated page is refused where a single call refuses it")
  func misuse() throws {
    var machine = try RandomRunTests.machine(.plain)
    var runs: [PFNRun] = []
    _ = machine.allocateRuns(count: 100, gfp: .highUserMovable, into: &runs)
    let longest = runs.max { $0.count < $1.count }!
    let hole = longest[longest.count / 2]
    try machine.freePages(hole, order: 0)
    var single = try machine.fork()
    let bulkError = #expect(throws: MemoryError.self) { try machine.freeRuns(runs) }
    let singleError = #expect(throws: MemoryError.self) {
      for run in runs {
        for index in 0..<run.count { try single.freePages(run[index], order: 0) }
      }
    }
    #expect(bulkError?.message == singleError?.message)
    #expect(difference(machine, single) == nil)
  }

  @Test("A run of events reads as single ones do, also where the ring has lost its beginning")
  func traceRuns() throws {
    for seed in Seeds.list(1...6) {
      var random = SplitMix64(seed: seed)
      var ring = try TraceRing()
      var naive: [UInt32] = []
      for step in 0..<300 {
        let start = UInt32(random.below(1 << 20))
        let count = random.below(10) == 0 ? random.below(100_000) : random.below(20)
        if random.below(3) == 0 {
          ring.append(TraceEvent(.pageFree, PFN(start), order: 0))
          naive.append(start)
        } else {
          let descends = random.below(2) == 0
          let start = start + (1 << 20)
          ring.append(
            TraceEvent(.pageFree, PFN(start), order: 0), run: count, descending: descends)
          naive += (0..<UInt32(count)).map { descends ? start - $0 : start + $0 }
        }
        guard step % 7 == 0 else { continue }
        #expect(ring.total == naive.count, "seed \(seed), step \(step)")
        let from = max(0, naive.count - random.below(90_000))
        let expected = naive[max(from, naive.count - TraceRing.capacity, 0)...]
        #expect(ring.events(from: from).map(\.pfn) == Array(expected), "seed \(seed), step \(step)")
      }
    }
  }
}

/// Two machines under the same random operations, one with runs, one with single calls.
private struct BulkPair: ~Copyable {
  private var bulk: Machine
  private var single: Machine
  private var random: SplitMix64
  private let seed: UInt64
  private let longest: Int
  /// Single pages that are held, in runs.
  private var held: [PFNRun] = []
  private var blocks: [(pfn: PFN, order: Int)] = []
  private var traced = 0
  var refusals = 0

  init(_ machine: consuming Machine, seed: UInt64, longest: Int = 3000) throws {
    single = try machine.fork()
    single.drainsRuns = false
    bulk = machine
    random = SplitMix64(seed: seed)
    self.seed = seed
    self.longest = longest
  }

  private static let requests: [GFPFlags] = [
    .kernel, .plainMovable, .highUserMovable, .highUserMovable, .highUserMovable,
    .plainReclaimable, .atomic, [.kernel, .dma32], [.kernel, .thisNode], [.kernel, .memalloc],
  ]

  mutating func run(steps: Int) throws -> String? {
    for step in 0..<steps {
      let fills = step / 40 % 2 == 0
      let (name, broken) = try self.step(fills: fills)
      if let broken = broken ?? difference() {
        return "seed \(seed), step \(step), \(name): \(broken)"
      }
    }
    return bulk.check()
  }

  /// Everything, by bytes; in words only when there is a difference.
  private mutating func difference() -> String? {
    let isSame =
      bulk.frames.isEqual(to: single.frames) && bulk.zoneTable.isEqual(to: single.zoneTable)
      && bulk.perCPU.isEqual(to: single.perCPU) && bulk.lruBatches.isEqual(to: single.lruBatches)
      && bulk.events.isEqual(to: single.events) && bulk.numaItems.isEqual(to: single.numaItems)
      && bulk.zoneItems.isEqual(to: single.zoneItems)
      && bulk.nodeItems.isEqual(to: single.nodeItems)
      && bulk.kswapdWakeups == single.kswapdWakeups && bulk.totalReserve == single.totalReserve
      && bulk.failAllocation == single.failAllocation && bulk.currentCPU == single.currentCPU
    if !isSame {
      return ModelTesting.difference(bulk, single) ?? "bytes that no list or counter shows"
    }
    if bulk.trace.total != single.trace.total {
      return "\(bulk.trace.total) events instead of \(single.trace.total)"
    }
    let events = bulk.trace.events(from: traced)
    let others = single.trace.events(from: traced)
    traced = bulk.trace.total
    for index in events.indices
    where (
      events[index].kind, events[index].pfn, events[index].argument0, events[index].argument1
    )
      != (others[index].kind, others[index].pfn, others[index].argument0, others[index].argument1)
      || events[index].order != others[index].order || events[index].failed != others[index].failed
    {
      return "event \(index): \(events[index]) instead of \(others[index])"
    }
    return nil
  }

  private mutating func step(fills: Bool) throws -> (String, String?) {
    switch random.below(100) {
    case 0..<70:
      if random.below(100) < (fills ? 75 : 30) { return allocate() }
      return ("free", try free())
    case 70..<78:
      let order = 1 + random.below(bulk.geometry.maxOrder)
      let gfp = Self.requests[random.below(Self.requests.count)]
      let one = bulk.allocatePages(order: order, gfp: gfp)
      let other = single.allocatePages(order: order, gfp: gfp)
      if let pfn = one.pfn { blocks.append((pfn, order)) }
      return ("allocate order \(order)", one == other ? nil : "\(one) instead of \(other)")
    case 78..<84:
      guard !blocks.isEmpty else { return ("nothing", nil) }
      let block = blocks.remove(at: random.below(blocks.count))
      try bulk.freePages(block.pfn, order: block.order)
      try single.freePages(block.pfn, order: block.order)
      return ("free order \(block.order)", nil)
    case 84..<90:
      let cpu = random.below(bulk.cpuCount)
      bulk.run(onCPU: cpu)
      single.run(onCPU: cpu)
      return ("run(onCPU: \(cpu))", nil)
    case 90..<92:
      bulk.drainAllPages()
      single.drainAllPages()
      return ("drainAllPages", nil)
    case 92..<95:
      let cpu = random.below(bulk.cpuCount)
      bulk.runStatisticsWorker(cpu: cpu)
      single.runStatisticsWorker(cpu: cpu)
      return ("runStatisticsWorker", nil)
    case 95..<97:
      bulk.failAllocation = 1 + random.below(200)
      single.failAllocation = bulk.failAllocation
      return ("failAllocation", nil)
    case 97..<99:
      let choices: [(Sysctl, [String])] = [
        (.minFreeKbytes, ["128", "1024", "4096"]), (.watermarkScaleFactor, ["10", "1", "200"]),
        (.percpuPagelistHighFraction, ["0", "8", "64"]),
        (.lowmemReserveRatio, ["256 256 32 0 0", "1 1 1", "0"]),
      ]
      let (setting, values) = choices[random.below(choices.count)]
      let value = values[random.below(values.count)]
      try bulk.write(setting, value)
      try single.write(setting, value)
      return ("\(setting.rawValue) = \(value)", nil)
    default: return retype()
    }
  }

  /// Changes the type of a pageblock under pages that are held or on per-CPU lists.
  private mutating func retype() -> (String, String?) {
    guard let run = held.randomElement(using: &random) else { return ("nothing", nil) }
    let pfn = run.first
    // A pageblock without free blocks can change its type without moving any.
    let pageblock = pfn.roundedDown(toOrder: bulk.geometry.pageblockOrder).index
    for frame in pageblock..<pageblock + bulk.geometry.pageblockPages
    where bulk.frames.head(PFN(frame)).kind == .free { return ("nothing", nil) }
    guard bulk.block(containing: PFN(pageblock)).map({ $0.state.kind != .free }) ?? true,
      bulk.frames.migrateType(pfn).isMergeable, !bulk.isMobilityGroupingDisabled,
      bulk.frames.zone(of: pfn).map({ bulk.zone($0).index }) != .movable
    else { return ("nothing", nil) }
    let type: MigrateType = [.unmovable, .reclaimable, .movable][random.below(3)]
    bulk.frames.setMigrateType(pfn, type)
    single.frames.setMigrateType(pfn, type)
    return ("pageblock of \(pfn) becomes \(type)", nil)
  }

  private mutating func length() -> Int {
    switch random.below(8) {
    case 0..<3: 1 + random.below(8)
    case 3..<6: 1 + random.below(300)
    default: 1 + random.below(longest)
    }
  }

  private mutating func allocate() -> (String, String?) {
    let count = length()
    let gfp = Self.requests[random.below(Self.requests.count)]
    let pins = random.below(10) == 0
    let node = random.below(4) == 0 ? random.below(bulk.nodeCount) : nil
    var runs: [PFNRun] = []
    let refusal = bulk.allocateRuns(
      count: count, gfp: gfp, node: node, inPinScope: pins, into: &runs)
    var expected: [Int] = []
    var expectedRefusal: Refusal?
    while expected.count < count, expectedRefusal == nil {
      switch single.allocatePages(order: 0, gfp: gfp, node: node, inPinScope: pins) {
      case .page(let pfn): expected.append(pfn.index)
      case .refused(let refusal): expectedRefusal = refusal
      }
    }
    let name = "\(count) pages, \(gfp.description)"
    held += runs
    if refusal != nil { refusals += 1 }
    if refusal != expectedRefusal { return (name, "refused differently") }
    if runs.flatMap({ run in (0..<run.count).map { run[$0].index } }) != expected {
      return (name, "other pages")
    }
    if zip(runs, runs.dropFirst()).contains(where: { $0.joined(with: $1) != nil }) {
      return (name, "runs that could be one")
    }
    // Some of them wait on their way to the LRU.
    for pfn in expected.prefix(random.below(40)) {
      bulk.addToLRU(PFN(pfn))
      single.addToLRU(PFN(pfn))
    }
    return (name, nil)
  }

  private mutating func free() throws -> String? {
    var runs: [PFNRun] = []
    for _ in 0..<1 + random.below(6) where !held.isEmpty {
      var run = held.remove(at: random.below(held.count))
      if run.count > 1, random.below(2) == 0 {
        // A part of it.
        let cut = 1 + random.below(run.count - 1)
        held.append(run.dropFirst(cut))
        run = run.prefix(cut)
      }
      switch random.below(8) {
      case 0: runs += (0..<run.count).map { PFNRun(run[$0], count: 1) }
      case 1: runs.append(PFNRun(run.last, count: run.count, descending: !run.isDescending))
      default: runs.append(run)
      }
    }
    try bulk.freeRuns(runs)
    for run in runs {
      for index in 0..<run.count { try single.freePages(run[index], order: 0) }
    }
    return nil
  }
}

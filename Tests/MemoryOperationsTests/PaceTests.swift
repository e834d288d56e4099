import ModelTesting
import Testing

@testable import MemoryModel
@testable import MemoryOperations

/// Whole tables and batches at once against one atomic step after the other: two machines that start
/// equal must stay equal to the bit.
@Suite struct PaceTests {
  enum Shape: String, CaseIterable, Sendable {
    case plain, movableZone, cma, cmaHalf, smp, numa, numaMovable, noCMAConfig, roomy, older
  }

  static func machine(_ shape: Shape) throws -> Machine {
    var configuration = MachineConfiguration()
    let mib = 1 << 20
    switch shape {
    case .plain: try configuration.layOut(bytesPerNode: [48 * mib])
    case .movableZone:
      try configuration.layOut(bytesPerNode: [64 * mib])
      configuration.movablecore = .pages(32 * mib >> 12)
    case .cma:
      try configuration.layOut(bytesPerNode: [56 * mib])
      configuration.cmaAreas = [.init(name: "reserved", pages: 4096)]
    case .cmaHalf:
      configuration.kernel = .v6_12_0
      try configuration.layOut(bytesPerNode: [48 * mib])
      configuration.cmaAreas = [.init(name: "one", pages: 3584), .init(name: "two", pages: 1536)]
    case .smp:
      try configuration.layOut(bytesPerNode: [64 * mib])
      configuration.cpuNodes = [0, 0, 0, 0]
      configuration.movablecore = .pages(24 * mib >> 12)
      configuration.cmaAreas = [.init(name: "reserved", pages: 2048)]
    case .numa:
      try configuration.layOut(bytesPerNode: [32 * mib, 32 * mib])
      configuration.cpuNodes = [0, 1, 1]
    case .numaMovable:
      try configuration.layOut(bytesPerNode: [48 * mib, 48 * mib])
      configuration.cpuNodes = [0, 1]
      configuration.kernelcore = .percent(50)
    case .noCMAConfig:
      configuration.hasCMA = false
      try configuration.layOut(bytesPerNode: [48 * mib])
    case .roomy:
      try configuration.layOut(bytesPerNode: [512 * mib])
      configuration.cpuNodes = [0, 0]
      configuration.movablecore = .pages(128 * mib >> 12)
    case .older:
      configuration.kernel = .v6_9
      try configuration.layOut(bytesPerNode: [48 * mib])
      configuration.cmaAreas = [.init(name: "reserved", pages: 4096)]
    }
    return try Machine.boot(configuration)
  }

  @Test("Slices leave what single steps leave", arguments: Shape.allCases)
  func slicesAreSteps(shape: Shape) throws {
    var moved = 0
    for seed in Seeds.list(1...4) {
      var pair = try PacePair(try Self.machine(shape), seed: seed)
      let broken = try pair.run(steps: Seeds.steps(100))
      #expect(broken == nil, "\(shape.rawValue), seed \(seed)")
      moved += pair.slice.event(.migrateSuccess)
    }
    let moves: [Shape] = [.movableZone, .cma, .cmaHalf, .smp, .numaMovable, .roomy]
    #expect(moved > 0 || !moves.contains(shape) || Seeds.steps(100) < 60, "\(shape.rawValue)")
  }

  @Test("Interrupted after any slice, nothing is lost", arguments: Shape.allCases)
  func interrupts(shape: Shape) throws {
    for seed in Seeds.list(1...4) {
      var random = SplitMix64(seed: seed)
      var machine = try Self.machine(shape)
      guard let space = machine.createSpace(name: "p") else { continue }
      let pages = 2000 + random.below(3000)
      let start = try machine.mapArea(
        space, pages: pages,
        random.below(2) == 0 ? [.read, .write, .noHugePage] : [.read, .write],
        .anonymous
      ).get()
      for round in 0..<6 {
        var populate = PopulateOperation(space: space, pages: start..<start + pages, access: .write)
        Self.run(&populate, &machine, slices: random.below(3))
        var pin = Pin(
          PinRequest(
            space: space, startPage: start, pages: pages, flags: [.write, .longTerm],
            entryPoint: random.below(2) == 0 ? .fast : .locked))
        Self.run(&pin, &machine, slices: random.below(40))
        let broken = machine.check() ?? machine.checkMemory()
        #expect(broken == nil, "\(shape.rawValue), seed \(seed), round \(round)")
        for record in machine.pins {
          var costs = OperationCosts()
          _ = machine.unpin(
            record.words, [.pin], limit: .max >> 1, batched: true, dirty: false, &costs)
          machine.removePin(record.id)
        }
        var unmap = UnmapOperation(
          space: space, pages: start + random.below(pages)..<start + pages)
        Self.run(&unmap, &machine, slices: random.below(4))
        _ = machine.unmap(space, start..<start + pages)
        let left = machine.check() ?? machine.checkMemory()
        #expect(left == nil, "\(shape.rawValue), seed \(seed), round \(round)")
        #expect(machine.total(.anonMapped) == 0, "\(shape.rawValue), seed \(seed)")
        _ = machine.mapArea(space, start: start, pages: pages, [.read, .write], .anonymous)
      }
    }
  }

  @Test("A pin that is interrupted at any step, also of a migration, holds and isolates nothing")
  func interruptsMigration() throws {
    for (shape, seed) in [(Shape.movableZone, 1), (.numaMovable, 2), (.smp, 3), (.roomy, 4)] {
      var random = SplitMix64(seed: UInt64(seed))
      var migrations = 0
      for round in 0..<12 {
        var machine = try Self.machine(shape)
        machine.settings.transparentHugePages = round % 3 == 0
        let created = machine.createSpace(name: "p")
        let space = try #require(created)
        let pages = 1100
        let start = try machine.mapArea(space, pages: pages, [.read, .write], .anonymous).get()
        _ = machine.faultRange(space, start..<start + pages, .write)
        var pin = Pin(
          PinRequest(
            space: space, startPage: start, pages: pages, flags: [.write, .longTerm],
            entryPoint: .locked))
        let steps = random.below(16000)
        for _ in 0..<steps where pin.advance(&machine, .step) != .running { break }
        if pin.nextStep(machine).id.hasPrefix("m") { migrations += 1 }
        pin.interrupt(&machine)
        let place = "\(shape.rawValue), round \(round), \(steps) steps"
        let broken = machine.check() ?? machine.checkMemory()
        #expect(broken == nil, "\(place)")
        #expect(machine.total(.isolatedAnon) == 0, "\(place)")
        if pin.outcome?.refusal?.errno == .EINTR { #expect(machine.pins.isEmpty, "\(place)") }
        for page in start..<start + pages {
          let (entry, _, _) = machine.entry(space, page: page)
          #expect(!entry.isMigration, "\(place), page \(page - start)")
        }
        // The same pin succeeds then.
        var again = Pin(pin.request)
        #expect(again.run(&machine)?.pages == pages, "\(place)")
      }
      #expect(migrations > 0, "\(shape.rawValue)")
    }
  }

  @Test("A pin of several pieces that is interrupted while it collects or unpins gives all back")
  func interruptsPieces() throws {
    let pages = 2 * Machine.isolatedTogether + 3000
    var phases: Set<String> = []
    for seed in Seeds.list(1...6) {
      var random = SplitMix64(seed: seed)
      var machine = try Self.machine(.roomy)
      let created = machine.createSpace(name: "p")
      let space = try #require(created)
      let start = try machine.mapArea(
        space, pages: pages, [.read, .write, .noHugePage], .anonymous
      ).get()
      _ = machine.faultRange(space, start..<start + pages, .write)
      var before = try machine.fork()
      before.drainAllLRU()
      var pin = Pin(
        PinRequest(
          space: space, startPage: start, pages: pages, flags: [.write, .longTerm],
          entryPoint: .locked))
      while pin.nextStep(machine).id != "g4" { _ = pin.advance(&machine, .slice) }
      let steps = random.below(4 * pages)
      var taken = 0
      while taken < steps, ["g4", "g6", "g8"].contains(pin.nextStep(machine).id) {
        _ = pin.advance(&machine, .step)
        taken += 1
      }
      phases.insert(pin.nextStep(machine).id)
      pin.interrupt(&machine)
      let place = "seed \(seed), \(taken) steps"
      let broken = machine.check() ?? machine.checkMemory()
      #expect(broken == nil, "\(place)")
      #expect(machine.total(.isolatedAnon) == 0 && machine.pins.isEmpty, "\(place)")
      machine.drainAllLRU()
      for list in LRUList.allCases {
        #expect(machine.lruCount(node: 0, list) == before.lruCount(node: 0, list), "\(place)")
      }
      for page in start..<start + pages {
        #expect(machine.frame(space, page: page) == before.frame(space, page: page), "\(place)")
      }
    }
    #expect(phases.count > 1 || Seeds.list(1...6).count == 1, "\(phases)")
  }

  @Test("munmap of areas and files over many GiB leaves the same in slices and in steps")
  func sparseUnmap() throws {
    for seed in Seeds.list(1...3) {
      var random = SplitMix64(seed: seed)
      var machine = try Self.machine(.roomy)
      let created = machine.createSpace(name: "p")
      let space = try #require(created)
      let pages = 40 << 18 + random.below(1 << 18)
      let file = try machine.createFile(.shmem, name: "memfd", pages: pages).get()
      let areas = [
        try machine.mapArea(space, pages: pages, [.read, .write], .anonymous).get(),
        try machine.mapArea(
          space, pages: pages, [.read, .write, .shared], .file(file, offset: 0)
        ).get(),
      ]
      machine.dropUser(file)
      for area in areas {
        for _ in 0..<30 {
          let first = area + random.below(pages - 40)
          _ = machine.faultRange(space, first..<first + 1 + random.below(40), .write)
        }
      }
      let range =
        random.below(2) == 0
        ? nil : areas[0] + random.below(pages)..<areas[1] + pages - random.below(1 << 20)
      var other = try machine.fork()
      var slices = UnmapOperation(space: space, pages: range)
      while slices.advance(&machine, .slice) == .running {}
      var steps = UnmapOperation(space: space, pages: range)
      while steps.advance(&other, .step) == .running {}
      let broken = difference(machine, other) ?? machine.check() ?? machine.checkMemory()
      #expect(broken == nil, "seed \(seed), \(String(describing: range))")
    }
  }

  /// Runs an operation for some slices and interrupts it then, if it still runs.
  static func run<Work: MemoryModel.Operation>(
    _ work: inout Work, _ machine: inout Machine, slices: Int
  ) {
    for _ in 0..<slices where work.advance(&machine, .slice) != .running { return }
    work.interrupt(&machine)
  }
}

/// Two machines under the same random operations, one in slices, one step by step.
struct PacePair: ~Copyable {
  var slice: Machine
  var step: Machine
  var random: SplitMix64
  /// How many of a hundred operations take contiguous memory, give it back, or offline it.
  let contiguous: Int
  /// What is out of CMA areas and of the buddy.
  var buffers: [Buffer] = []
  private let seed: UInt64
  private var spaces: [Int] = []
  private var traced = 0
  private var comparisons = 0

  init(_ machine: consuming Machine, seed: UInt64, contiguous: Int = 0) throws {
    step = try machine.fork()
    slice = machine
    random = SplitMix64(seed: seed)
    self.seed = seed
    self.contiguous = contiguous
  }

  mutating func run(steps: Int) throws -> String? {
    for number in 0..<steps {
      let (name, broken) = try act()
      if let broken = broken ?? difference() {
        return "seed \(seed), step \(number), \(name): \(broken)"
      }
    }
    return slice.check() ?? slice.checkMemory()
  }

  /// Runs an operation on both.
  private mutating func run<Work: MemoryModel.Operation>(
    _ work: Work, isSame: (Work.Outcome?, Work.Outcome?) -> Bool
  ) -> String? {
    var one = work
    var other = work
    while one.advance(&slice, .slice) == .running {}
    while other.advance(&step, .step) == .running {}
    return isSame(one.outcome, other.outcome)
      ? nil : "\(String(describing: one.outcome)) instead of \(String(describing: other.outcome))"
  }

  private mutating func act() throws -> (String, String?) {
    if random.below(100) < contiguous { return try actContiguous() }
    guard let space = spaces.randomElement(using: &random), random.below(100) > 2 else {
      let one = slice.createSpace(name: "p")
      let other = step.createSpace(name: "p")
      if let one { spaces.append(one) }
      return ("createSpace", one == other ? nil : "\(String(describing: one))")
    }
    switch random.below(100) {
    case 0..<16: return try map(space)
    case 16..<46:
      guard let pages = range(space) else { return ("nothing", nil) }
      let access: FaultAccess = random.below(6) == 0 ? .read : .write
      let name = "populate \(pages) of \(space), \(access)"
      return (
        name,
        run(
          PopulateOperation(
            space: space, pages: pages, access: access, inPinScope: random.below(5) == 0,
            writes: access == .write && random.below(2) == 0, drains: random.below(2) == 0)
        ) { Self.text($0) == Self.text($1) }
      )
    case 46..<64:
      guard let pages = range(space) else { return ("nothing", nil) }
      let entryPoint = PinEntryPoint.allCases[random.below(PinEntryPoint.allCases.count)]
      let flags: GUPFlags = random.below(4) == 0 ? [.longTerm] : [.write, .longTerm]
      let request = PinRequest(
        space: space, startPage: pages.lowerBound, pages: pages.count, flags: flags,
        entryPoint: entryPoint)
      return (
        "pin \(request)",
        run(Pin(request)) {
          $0?.pages == $1?.pages && $0?.refusal == $1?.refusal && $0?.stuck == $1?.stuck
        }
      )
    case 64..<72: return unpin()
    case 72..<82:
      guard let pages = range(space) else { return ("nothing", nil) }
      return (
        "unmap \(pages) of \(space)",
        run(UnmapOperation(space: space, pages: pages)) { _, _ in true }
      )
    case 82..<84:
      spaces.removeAll { $0 == space }
      return ("exit \(space)", run(UnmapOperation(space: space, pages: nil)) { _, _ in true })
    case 84..<87:
      let broken = run(ForkOperation(parent: space, name: "child")) { one, other in
        Self.text(one) == Self.text(other)
      }
      if slice.spaces.last?.isAlive == true, !spaces.contains(slice.spaces.count - 1) {
        spaces.append(slice.spaces.count - 1)
      }
      return ("fork \(space)", broken)
    case 87..<93:
      let cpu = random.below(slice.cpuCount)
      slice.run(onCPU: cpu)
      step.run(onCPU: cpu)
      return ("run(onCPU: \(cpu))", nil)
    case 93..<95:
      slice.drainAllPages()
      step.drainAllPages()
      return ("drainAllPages", nil)
    case 95..<97:
      let cpu = random.below(slice.cpuCount)
      slice.drainLRU(cpu: cpu)
      step.drainLRU(cpu: cpu)
      return ("drainLRU", nil)
    default:
      slice.failAllocation = 1 + random.below(1500)
      step.failAllocation = slice.failAllocation
      return ("failAllocation", nil)
    }
  }

  private static func text<Value>(_ result: Result<Value, Refusal>?) -> String {
    switch result {
    case .success(let value): "\(value)"
    case .failure(let refusal): refusal.message
    case nil: "unfinished"
    }
  }

  /// A part of an area, and sometimes more.
  private mutating func range(_ space: Int) -> Range<Int>? {
    guard let area = slice.spaces[space].areas.randomElement(using: &random) else { return nil }
    if random.below(3) == 0 { return area.start..<area.end }
    let first = area.start + random.below(area.pages)
    return first..<min(area.end + random.below(20), first + 1 + random.below(area.pages))
  }

  private mutating func map(_ space: Int) throws -> (String, String?) {
    let pages = 1 + random.below(random.below(3) == 0 ? 4000 : 1200)
    var flags: MemoryArea.Flags = [.read, .write]
    if random.below(4) > 0 { flags.insert(.noHugePage) }
    if random.below(5) == 0 { flags.insert(.locked) }
    if random.below(4) > 0 {
      let one = slice.mapArea(space, pages: pages, flags, .anonymous)
      let other = step.mapArea(space, pages: pages, flags, .anonymous)
      return ("map \(pages)", Self.text(one) == Self.text(other) ? nil : "addresses")
    }
    let name = "memfd \(slice.files.count)"
    let file = try slice.createFile(.shmem, name: name, pages: pages).get()
    _ = try step.createFile(.shmem, name: name, pages: pages).get()
    if random.below(5) > 0 { flags.insert(.shared) }
    let one = slice.mapArea(space, pages: pages, flags, .file(file, offset: 0))
    let other = step.mapArea(space, pages: pages, flags, .file(file, offset: 0))
    slice.dropUser(file)
    step.dropUser(file)
    return ("map \(name), \(pages)", Self.text(one) == Self.text(other) ? nil : "addresses")
  }

  private mutating func unpin() -> (String, String?) {
    guard !slice.pins.isEmpty else { return ("nothing", nil) }
    let record = slice.pins[random.below(slice.pins.count)]
    let other = step.pins.first { $0.id == record.id }
    guard let other else { return ("unpin", "pin \(record.id) is missing") }
    var costs = OperationCosts()
    let flags: GUPFlags = record.isGet ? [] : [.pin]
    _ = slice.unpin(record.words, flags, limit: .max >> 1, batched: true, dirty: false, &costs)
    slice.removePin(record.id)
    _ = step.unpin(other.words, flags, limit: .max >> 1, batched: true, dirty: false, &costs)
    step.removePin(record.id)
    return ("unpin \(record.id)", nil)
  }

  /// Everything, by bytes; events since the last comparison.
  private mutating func difference() -> String? {
    if !slice.frames.isEqual(to: step.frames) {
      for frame in 0..<slice.frames.count
      where slice.frames.head(PFN(frame)) != step.frames.head(PFN(frame)) {
        return "frame \(frame): \(slice.frames.head(PFN(frame))), \(step.frames.head(PFN(frame)))"
      }
      return "links of frames"
    }
    if !slice.zoneTable.isEqual(to: step.zoneTable) { return "zones" }
    if !slice.perCPU.isEqual(to: step.perCPU) { return "per-CPU pages" }
    if !slice.lruBatches.isEqual(to: step.lruBatches) { return "LRU batches" }
    if !slice.lruLists.isEqual(to: step.lruLists) { return "LRU lists" }
    for event in 0..<slice.events.count where slice.events[event] != step.events[event] {
      return "\(VMStatNames.events[event]): \(slice.events[event]), \(step.events[event])"
    }
    if !slice.numaItems.isEqual(to: step.numaItems) { return "NUMA counters" }
    if !slice.nodeItems.isEqual(to: step.nodeItems) { return "node counters" }
    if !slice.zoneItems.isEqual(to: step.zoneItems) { return "zone counters" }
    if !slice.folios.frames.isEqual(to: step.folios.frames) {
      for frame in 0..<slice.frames.count
      where slice.folios.frames[frame] != step.folios.frames[frame] {
        return "record \(frame): \(slice.folios.frames[frame]), \(step.folios.frames[frame])"
      }
    }
    if !slice.folios.large.isEqual(to: step.folios.large) { return "large folios" }
    if slice.pageTables.used != step.pageTables.used { return "number of page tables" }
    let entries = slice.pageTables.used * PageTables.entriesPerTable
    if !slice.pageTables.entries.isEqual(to: step.pageTables.entries, prefix: entries) {
      return "page tables"
    }
    if !slice.pageTables.frames.isEqual(to: step.pageTables.frames) { return "table frames" }
    if !slice.pageTables.deposits.isEqual(to: step.pageTables.deposits) { return "deposits" }
    // The arena is large and mostly untouched.
    comparisons += 1
    if comparisons % 10 == 0, !slice.pageCache.entries.isEqual(to: step.pageCache.entries) {
      return "page caches"
    }
    if slice.spaces != step.spaces { return "address spaces" }
    if slice.files != step.files { return "files" }
    if slice.regions != step.regions { return "regions" }
    if slice.deferredSplits != step.deferredSplits { return "deferred splits" }
    if slice.failAllocation != step.failAllocation { return "injected failure" }
    if slice.cmaAreas != step.cmaAreas || !slice.cmaBitmap.isEqual(to: step.cmaBitmap) {
      return "CMA areas"
    }
    if slice.offlineMemory != step.offlineMemory { return "memory blocks" }
    if slice.log.lines != step.log.lines { return "kernel log" }
    if slice.operationsInProgress != step.operationsInProgress { return "operations under way" }
    if slice.lruDisableCount != step.lruDisableCount { return "LRU batching" }
    if slice.kswapdWakeups != step.kswapdWakeups { return "kswapd wakeups" }
    for (one, other) in zip(slice.pins, step.pins) {
      var runs: [PFN] = []
      slice.forEachRun(one.words) { first, pages in runs += (0..<pages).map { first + $0 } }
      var others: [PFN] = []
      step.forEachRun(other.words) { first, pages in others += (0..<pages).map { first + $0 } }
      if runs != others { return "pages of pin \(one.id)" }
    }
    if slice.trace.total != step.trace.total {
      return "\(slice.trace.total) events instead of \(step.trace.total)"
    }
    let events = slice.trace.events(from: traced)
    let others = step.trace.events(from: traced)
    traced = slice.trace.total
    for (index, (one, other)) in zip(events, others).enumerated()
    where one.kind != other.kind || one.pfn != other.pfn || one.order != other.order
      || one.argument0 != other.argument0 || one.argument1 != other.argument1
      || one.failed != other.failed
    {
      return "event \(index): \(one) instead of \(other)"
    }
    return nil
  }
}

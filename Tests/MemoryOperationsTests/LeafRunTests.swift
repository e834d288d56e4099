import ModelTesting
import Testing

@testable import MemoryModel
@testable import MemoryOperations

/// Huge pages by the table and four at a time against one after the other: two machines that start
/// equal must stay equal to the bit.
@Suite struct LeafRunTests {
  enum Shape: String, CaseIterable, Sendable { case plain, movableZone, cma, scarce }

  /// Blocks of 1 MiB that are free one by one: no huge page fits between them.
  private static func fragment(_ machine: inout Machine, blocks: Int) throws {
    var taken: [PFN] = []
    for _ in 0..<blocks {
      let pfn = machine.allocatePages(order: 8, gfp: .highUserMovable).pfn
      taken.append(try #require(pfn))
    }
    for pfn in taken.sorted() where pfn.index >> 8 & 1 == 0 {
      try machine.freePages(pfn, order: 8)
    }
  }

  private static func machine(_ shape: Shape) throws -> Machine {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [640 << 20])
    switch shape {
    case .plain, .scarce: break
    case .movableZone: configuration.movablecore = .pages(256 << 8)
    case .cma: configuration.cmaAreas = [.init(name: "reserved", pages: 96 << 8)]
    }
    var machine = try Machine.boot(configuration)
    if shape == .scarce { try fragment(&machine, blocks: 420) }
    machine.settings.transparentHugePages = true
    return machine
  }

  @Test("Tables of huge pages at once leave what single steps leave", arguments: Shape.allCases)
  func runsAreSteps(shape: Shape) throws {
    var leaves = 0
    var fallbacks = 0
    for seed in Seeds.list(1...3) {
      var pair = try LeafPair(try Self.machine(shape), seed: seed)
      for step in 0..<Seeds.steps(14) {
        let name = pair.act()
        let broken =
          difference(pair.slice, pair.step) ?? pair.slice.check() ?? pair.slice.checkMemory()
        #expect(broken == nil, "\(shape.rawValue), seed \(seed), step \(step), \(name)")
        if broken != nil { break }
      }
      leaves += pair.longestRun
      fallbacks += pair.slice.event(.thpFaultFallback)
    }
    #expect(leaves >= 8, "\(shape.rawValue)")
    #expect(fallbacks > 0 || shape != .scarce)
  }

  @Test("A count that is used up, another owner or a split leaf ends a run where single pins end")
  func obstacles() throws {
    for flags in [GUPFlags.write, [.write, .longTerm]] {
      for position in [0, 3, 5, 12, 19] {
        for obstacle in 0..<3 {
          var machine = try Self.machine(.plain)
          let created = machine.createSpace(name: "p")
          let space = try #require(created)
          let start = try machine.mapArea(space, pages: 20 << 9, [.read, .write], .anonymous).get()
          _ = machine.faultRange(space, start..<start + 20 << 9, .write)
          let page = start + position << 9
          let shown = machine.frame(space, page: page)
          let head = try #require(shown)
          switch obstacle {
          case 0: machine.addReferences(Folio(head, order: 9), Int(Int32.max) - 300)
          case 1: machine.splitLeaf(space, page: page)
          default: _ = machine.unmap(space, page + 7..<page + 8)
          }
          var other = try machine.fork()
          let request = PinRequest(
            space: space, startPage: start, pages: 20 << 9, flags: flags, entryPoint: .fast)
          var slices = Pin(request)
          while slices.advance(&machine, .slice) == .running {}
          var steps = Pin(request)
          while steps.advance(&other, .step) == .running {}
          let place = "\(flags), leaf \(position), obstacle \(obstacle)"
          #expect(slices.outcome == steps.outcome, "\(place)")
          #expect(difference(machine, other) == nil, "\(place)")
          #expect((slices.outcome?.pages ?? 0) < 20 << 9 || obstacle == 1, "\(place)")
        }
      }
    }
  }
}

/// Two machines with one process each, one in slices, one step by step.
private struct LeafPair: ~Copyable {
  var slice: Machine
  var step: Machine
  var longestRun = 0
  private var random: SplitMix64
  private let space: Int
  private let start: Int
  private static let pages = 360 << 8

  init(_ machine: consuming Machine, seed: UInt64) throws {
    guard let space = machine.createSpace(name: "p") else { throw CancellationError() }
    let start = try machine.mapArea(
      space, pages: Self.pages, [.read, .write], .anonymous
    ).get()
    let other = try machine.fork()
    self.space = space
    self.start = start
    random = SplitMix64(seed: seed)
    step = other
    slice = machine
  }

  /// A part of the area, often whole huge pages.
  private mutating func range() -> Range<Int> {
    let whole = random.below(3) > 0
    let first = random.below(Self.pages - 512)
    let length = 1 + random.below(random.below(3) == 0 ? 2000 : Self.pages)
    let lower = whole ? first & ~511 : first
    let upper = min(Self.pages, lower + (whole ? (length | 511) + 1 : length))
    return start + lower..<start + upper
  }

  private mutating func run<Work: MemoryModel.Operation>(_ work: Work) -> (Work, Work) {
    var (first, second) = (work, work)
    while first.advance(&slice, .slice) == .running {}
    while second.advance(&step, .step) == .running {}
    return (first, second)
  }

  mutating func act() -> String {
    switch random.below(6) {
    case 0, 1:
      let range = range()
      _ = run(PopulateOperation(space: space, pages: range, access: .write))
      noteRuns()
      return "populate \(range)"
    case 2, 3:
      let range = range()
      var flags: GUPFlags = random.below(3) == 0 ? [] : .write
      if random.below(2) == 0 { flags.insert(.longTerm) }
      let entryPoint: PinEntryPoint = random.below(2) == 0 ? .fast : .locked
      let (first, second) = run(
        Pin(
          PinRequest(
            space: space, startPage: range.lowerBound, pages: range.count, flags: flags,
            entryPoint: entryPoint)))
      #expect(first.outcome == second.outcome)
      return "pin \(range) \(flags) \(entryPoint.rawValue)"
    case 4:
      guard let record = slice.pins.randomElement(using: &random) else { return "nothing" }
      var costs = OperationCosts()
      _ = slice.unpin(record.words, [.pin], limit: .max >> 1, batched: true, dirty: false, &costs)
      slice.removePin(record.id)
      // A word at a time, so that nothing is a run.
      var position = record.words.lowerBound
      while position < record.words.upperBound {
        let next = step.pinnedRun(at: position).next
        position = step.unpin(
          position..<next, [.pin], limit: 2, batched: true, dirty: false, &costs)
      }
      step.removePin(record.id)
      return "unpin \(record.id)"
    default:
      let range = range()
      _ = run(UnmapOperation(space: space, pages: range))
      for gap in [slice.mapAgain(space, range), step.mapAgain(space, range)] {
        #expect(gap == range.lowerBound)
      }
      return "unmap \(range)"
    }
  }

  private mutating func noteRuns() {
    var run = 0
    var last = -2
    for page in stride(from: (start + 511) & ~511, to: start + Self.pages, by: 512) {
      let (entry, _, level) = slice.entry(space, page: page)
      let block = entry.isPresent && level == .pmd ? entry.pfn.index >> 9 : -2
      run = block >= 0 && abs(block - last) == 1 ? run + 1 : 0
      last = block
      longestRun = max(longestRun, run)
    }
  }
}

extension Machine {
  fileprivate mutating func mapAgain(_ space: Int, _ range: Range<Int>) -> Int? {
    try? mapArea(space, start: range.lowerBound, pages: range.count, [.read, .write], .anonymous)
      .get()
  }
}

// Invariant: between two steps the machine is one that another task may see: pageblocks are isolated
// or not, never half; pages are on a list or somebody's.

/// One call of `alloc_contig_range()` (rules A6.21, P5.10 to P5.14, and c3 to c11 of P10.4).
///
/// ```
/// isolateFirst ─► isolateLast ─► isolateMiddle… ─► drainPages ─► migrate (c5 to c8)
///       │               │              │                             │
///       └───────────────┴──────────────┴───────┐   giveBack ◄─ take ◄─ test
///                                              ▼       │                │
///                                           restore… ◄─┴────────────────┘
/// ```
/// Migration failures that leave pages behind do not end it: the test decides.
public struct ContiguousAllocation: ExplorableOperation {
  public struct Outcome: Sendable, Hashable {
    /// Why not; nil is success.
    public var refusal: Refusal?
    /// The first page in use that the test found.
    public var busy: PFN?
    /// Pages that moved out of the range, also when the call failed (rule P5.14).
    public var migratedPages = 0
    /// Clean pages of files that were freed instead.
    public var reclaimedPages = 0
  }

  public enum Phase: Sendable, Hashable {
    case isolateFirst
    case isolateLast
    /// The pageblock at this frame comes next.
    case isolateMiddle(Int)
    case drainPages
    case migrate
    case test
    case take
    case giveBack
    /// The pageblock at this frame comes next.
    case restore(Int)
    case finished
  }

  public let range: PFNRange
  public let mode: IsolationMode
  /// A fatal signal: the migration stage ends with EINTR at its next step.
  public var hasFatalSignal = false
  public private(set) var phase = Phase.isolateFirst
  public private(set) var outcome: Outcome?
  /// What to mark the pages with, see ``FrameState/owner``.
  private let owner: UInt8
  private let noWarn: Bool
  private var migration: ContiguousMigration?
  /// What the taken blocks cover: the range, and whatever else was part of its free blocks.
  private var outer: PFNRange
  private var result = Outcome()

  /// Steps of one slice: some milliseconds.
  static let sliceSteps = 512

  /// - Precondition: `machine.checkContiguous(range)` does not throw.
  init(_ range: PFNRange, _ mode: IsolationMode, owner: UInt8, noWarn: Bool = false) {
    self.range = range
    self.mode = mode
    self.owner = owner
    self.noWarn = noWarn
    outer = range
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    for _ in 0..<(pace == .step ? 1 : Self.sliceSteps) {
      if phase == .finished { return .finished }
      let isMigrating = phase == .migrate
      if let wait = step(&machine, pace) { return .waiting(wait) }
      // A slice of a migration is one already.
      if isMigrating && pace == .slice { break }
    }
    return phase == .finished ? .finished : .running
  }

  private mutating func step(_ machine: inout Machine, _ pace: Pace) -> Wait? {
    let blocks = machine.pageblocks(of: range)
    let size = machine.geometry.pageblockPages
    switch phase {
    case .isolateFirst:
      machine.operationsInProgress += 1
      go(to: .isolateLast, unless: machine.isolateFirst(blocks, mode), blocks)
    case .isolateLast:
      go(
        to: .isolateMiddle(blocks.start + size), unless: machine.isolateLast(blocks, mode), blocks)
      skipMiddle(blocks, size)
    case .isolateMiddle(let at):
      go(
        to: .isolateMiddle(at + size), unless: machine.isolateMiddle(at, of: range, mode), blocks)
      skipMiddle(blocks, size)
    case .drainPages:
      machine.askForPages(in: range)
      machine.drainAllPages(zone: machine.frames.zone(of: PFN(range.start)))
      migration = ContiguousMigration(range, mode.restoredType, gfp)
      phase = .migrate
    case .migrate: return migrate(&machine, pace, blocks)
    case .test:
      let start = machine.largeFreeBlock(covering: PFN(range.start)).index
      outer = PFNRange(start, range.end)
      result.busy = machine.firstNotIsolated(in: outer)
      result.refusal = result.busy.map {
        Refusal(.EBUSY, "\($0) is in use and could not be moved", rule: "A6.12")
      }
      if result.busy != nil { machine.logBusyRange(outer) }
      phase = result.busy == nil ? .take : .restore(blocks.start)
    case .take:
      if let end = machine.takeFreeBlocks(of: outer, owner: owner) {
        outer.end = end
        phase = .giveBack
      } else {
        result.refusal = Refusal(
          .EBUSY, "pages of \(PFN(range.start)) and behind it were taken after the test",
          rule: "A6.21")
        phase = .restore(blocks.start)
      }
    case .giveBack:
      machine.freePagesOneByOne(PFNRange(outer.start, range.start))
      machine.freePagesOneByOne(PFNRange(range.end, outer.end))
      phase = .restore(blocks.start)
    case .restore(let at):
      machine.unsetIsolate(PFN(at), mode.restoredType)
      phase = at + size < blocks.end ? .restore(at + size) : .finished
      if phase == .finished {
        machine.operationsInProgress -= 1
        outcome = result
      }
    case .finished: break
    }
    return nil
  }

  /// c5 to c8, one step or slice.
  private mutating func migrate(
    _ machine: inout Machine, _ pace: Pace, _ blocks: PFNRange
  ) -> Wait? {
    guard var work = migration else { return nil }
    migration = nil
    let wait = work.advance(&machine, pace, hasFatalSignal: hasFatalSignal)
    guard work.isDone else {
      migration = work
      return wait
    }
    result.migratedPages = work.migratedPages
    result.reclaimedPages = work.reclaimedPages
    // EBUSY is forgotten: the page may be free by the time of the test.
    result.refusal = work.refusal?.errno == .EBUSY ? nil : work.refusal
    phase = result.refusal == nil ? .test : .restore(blocks.start)
    return nil
  }

  /// What a page that has to move asks for (rule P4.8).
  ///
  /// Kernel: `__alloc_contig_verify_gfp_mask()`, of GFP_KERNEL.
  private var gfp: GFPFlags {
    noWarn ? [.user, .movable, .retryMayFail, .noWarn] : [.user, .movable, .retryMayFail]
  }

  private mutating func go(to next: Phase, unless refusal: Refusal?, _ blocks: PFNRange) {
    result.refusal = refusal
    // Also after a failure the kernel gives back every isolated pageblock of the range, among them
    // those of whoever was in the way.
    phase = refusal == nil ? next : .restore(blocks.start)
  }

  private mutating func skipMiddle(_ blocks: PFNRange, _ size: Int) {
    if case .isolateMiddle(let at) = phase, at >= blocks.end - size { phase = .drainPages }
  }

  /// Ends it as a fatal signal would.
  ///
  /// Behind the migration no signal is looked at any more; the pages that it gets all the same are
  /// freed, as the exit of their owner would.
  public mutating func interrupt(_ machine: inout Machine) {
    if phase == .finished { return }
    if phase == .isolateFirst {
      phase = .finished
      outcome = Outcome(refusal: Self.interrupted)
      return
    }
    hasFatalSignal = true
    while phase != .finished { _ = step(&machine, .slice) }
    if outcome?.refusal == nil {
      machine.freePagesOneByOne(range)
      outcome?.refusal = Self.interrupted
    }
  }

  static let interrupted = Refusal(.EINTR, "a fatal signal came", rule: "P5.11")

  public func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .isolateFirst:
      return Step(
        "c3", "isolate_single_pageblock", "isolate the first pageblock of \(PFN(range.start))")
    case .isolateLast:
      return Step(
        "c3", "isolate_single_pageblock", "isolate the pageblock that the range ends in")
    case .isolateMiddle(let at):
      return Step("c3", "set_migratetype_isolate", "isolate the pageblock at \(PFN(at))")
    case .drainPages:
      return Step("c4", "drain_all_pages", "send the per-CPU pages of the zone to the buddy")
    case .migrate:
      return migration?.nextStep(machine) ?? Step("c5", "lru_cache_disable", "begin to migrate")
    case .test:
      return Step("c9", "test_pages_isolated", "test that all \(range.count) pages are free")
    case .take:
      return Step("c10", "isolate_freepages_range", "take the free blocks of the range")
    case .giveBack:
      return Step("c10", "free_contig_range", "give back what the blocks had outside of the range")
    case .restore(let at):
      return Step(
        "c11", "unset_migratetype_isolate",
        "make the pageblock at \(PFN(at)) \(mode.restoredType.name) again")
    case .finished: return Step("c11", "alloc_contig_range", "return")
    }
  }
}

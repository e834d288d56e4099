// Invariant: while the call is under way the zone's per-CPU lists are empty and hold nothing that is
// freed, LRU batching is disabled, and the block's free pages are on Isolate lists.

public import MemoryModel

/// Taking one memory block offline (rules P6.1 to P6.8, P10.5).
///
/// ```
/// disable ─► isolate… ─► signal? ─► scan ─► isolateAll… ─► migrate ─► putBack
///                           ▲         │                                  │
///                           ├─────────┼──────────────────────────────────┘
///                           └── test ◄┘ nothing left ─► remove
/// ```
/// A page that cannot move makes the call go round for ever: only a signal ends it (P6.3).
public struct MemoryOffline: ExplorableOperation {
  public struct Outcome: Sendable, Hashable {
    /// Why not; nil is success.
    public var refusal: Refusal?
    /// How often pages were looked for.
    public var rounds = 0
    public var migratedPages = 0
    /// The folios that did not move in the last round that had any, by their first frames.
    public var stuck: [PFN] = []
    /// The first page in use that the last test found.
    public var busy: PFN?
  }

  public enum Phase: Sendable, Hashable {
    /// o1: per-CPU lists and LRU batches off.
    case disable
    /// o2, one step a pageblock.
    case isolateFirst, isolateLast
    case isolateMiddle(Int)
    /// o3.
    case signal
    /// o4.
    case scan
    /// o5: the pageblock at this frame comes next.
    case isolateAll(Int)
    /// o6.
    case migrate
    /// o7.
    case putBack
    /// o8.
    case test
    /// o9.
    case remove
    /// After a failure: the pageblock at this frame comes next.
    case restore(Int)
    case enable
    case finished
  }

  public let range: PFNRange
  /// Any signal, not only a fatal one, ends the call with EINTR.
  public var hasSignal = false
  public private(set) var phase = Phase.disable
  public private(set) var outcome: Outcome?
  private let zone: Int
  private var result = Outcome()
  /// The frame from which the next page is looked for.
  private var position: Int
  private var list: [PFN] = []
  private var failed: [PFN] = []
  private var migration: Migration?
  private var migrationResult = 0
  /// Warnings printed; the kernel prints ten in five seconds, and a call is taken to last that long.
  private var warnings = 0

  static let warningLimit = 10
  static let sliceSteps = 512

  init(_ range: PFNRange, zone: Int) {
    self.range = range
    self.zone = zone
    position = range.start
  }

  /// How often pages were looked for.
  public var rounds: Int { result.rounds }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    for _ in 0..<(pace == .step ? 1 : Self.sliceSteps) {
      if phase == .finished { return .finished }
      let before = phase
      step(&machine, pace)
      // A slice of a migration is one already; a round is left between two slices, so that a loop
      // without an end stops somewhere.
      if pace == .slice, before == .migrate || phase == .signal { break }
    }
    return phase == .finished ? .finished : .running
  }

  private mutating func step(_ machine: inout Machine, _ pace: Pace) {
    let mode = IsolationMode.memoryOffline
    let size = machine.geometry.pageblockPages
    switch phase {
    case .disable:
      machine.operationsInProgress += 1
      machine.disablePerCPULists(zone)
      machine.disableLRUBatches()
      phase = .isolateFirst
    case .isolateFirst:
      result.refusal = machine.isolateFirst(range, mode)
      phase = result.refusal == nil ? .isolateLast : .enable
    case .isolateLast:
      result.refusal = machine.isolateLast(range, mode)
      go(toMiddle: range.start + size, size)
    case .isolateMiddle(let at):
      result.refusal = machine.isolateMiddle(at, of: range, mode)
      go(toMiddle: at + size, size)
    case .signal:
      if result.rounds == 0 { machine.askForPages(in: range) }
      result.rounds += 1
      phase = .scan
      if hasSignal {
        result.refusal = interrupted
        phase = .restore(range.start)
      }
    case .scan:
      if let found = machine.firstMovable(in: PFNRange(position, range.end)) {
        position = found.index
        list = []
        failed = []
        phase = .isolateAll(position)
      } else {
        phase = .test
      }
    case .isolateAll(let at): isolateAll(&machine, at, size)
    case .migrate: migrate(&machine, pace)
    case .putBack:
      for head in list where mayWarn() {
        machine.logMigrationFailure(head, result: migrationResult)
      }
      machine.putBackMovable(list)
      result.stuck = list
      list = []
      phase = .signal
    case .test: test(&machine)
    case .remove:
      // A failing alloc_contig_range() gives back what others have isolated; the kernel, which does not
      // look again, would remove pages in use and stop there.
      if machine.firstInUse(in: range) != nil {
        phase = .signal
        return
      }
      machine.enableLRUBatches()
      machine.removeOffline(range, from: zone)
      finish(&machine)
    case .restore(let at):
      machine.unsetIsolate(PFN(at), mode.restoredType)
      phase = at + size < range.end ? .restore(at + size) : .enable
    case .enable:
      machine.enableLRUBatches()
      machine.enablePerCPULists(zone)
      finish(&machine)
    case .finished: break
    }
  }

  private var interrupted: Refusal {
    func pages(_ count: Int) -> String { "\(count) page\(count == 1 ? "" : "s")" }
    var text = "a signal ended the attempt after \(result.rounds - 1) round"
    text += (result.rounds == 2 ? ", " : "s, ") + pages(result.migratedPages) + " moved"
    if migrationResult == -Errno.ENOMEM.rawValue {
      text += "; for more there is no memory elsewhere"
    }
    return Refusal(.EINTR, text, rule: "P6.2")
  }

  private mutating func go(toMiddle at: Int, _ size: Int) {
    if result.refusal != nil {
      // The pageblocks isolated so far are given back already.
      phase = .enable
    } else {
      phase = at < range.end - size ? .isolateMiddle(at) : .signal
    }
  }

  /// o5, one pageblock a step: what is found goes to one list.
  private mutating func isolateAll(_ machine: inout Machine, _ at: Int, _ size: Int) {
    let end = min((at | (size - 1)) + 1, range.end)
    let reached = machine.isolateAll(in: PFNRange(at, end), &list, failed: &failed)
    for pfn in failed where mayWarn() { machine.logIsolationFailure(pfn) }
    failed = []
    if reached < range.end {
      phase = .isolateAll(max(reached, end))
    } else if list.isEmpty {
      phase = .signal
    } else {
      // All of a memory block is one node's; others are tried first (P4.8).
      migration = Migration(
        list,
        MigrationTarget(
          gfp: [.user, .movable, .retryMayFail], node: machine.zone(zone).node,
          reason: .memoryHotplug, leavesNode: machine.nodeCount > 1), .sync)
      phase = .migrate
    }
  }

  private mutating func migrate(_ machine: inout Machine, _ pace: Pace) {
    guard var work = migration else { return }
    migration = nil
    _ = work.advance(&machine, pace)
    guard let outcome = work.outcome else {
      migration = work
      return
    }
    list = work.remaining
    result.migratedPages += outcome.counts.succeeded
    migrationResult = outcome.result
    phase = list.isEmpty ? .signal : .putBack
  }

  /// o8: nothing is left that can move.
  private mutating func test(_ machine: inout Machine) {
    if let refusal = machine.dissolveFreeHugePages(in: range) {
      result.refusal = refusal
      phase = .restore(range.start)
      return
    }
    result.busy = machine.firstNotIsolated(in: range)
    position = range.start
    phase = result.busy == nil ? .remove : .signal
  }

  private mutating func mayWarn() -> Bool {
    warnings += 1
    return warnings <= Self.warningLimit
  }

  private mutating func finish(_ machine: inout Machine) {
    machine.operationsInProgress -= 1
    if result.refusal == nil { result.stuck = [] }
    outcome = result
    phase = .finished
  }

  /// Runs to the end; a signal comes after so many rounds without one.
  ///
  /// - Returns: Why not; nil is success.
  public mutating func run(_ machine: inout Machine, rounds limit: Int) -> Refusal? {
    while phase != .finished {
      if rounds >= limit { hasSignal = true }
      _ = advance(&machine, .slice)
    }
    return outcome?.refusal
  }

  /// Ends it as a signal would; one that comes too late lets it succeed.
  public mutating func interrupt(_ machine: inout Machine) {
    if phase == .disable {
      result.refusal = interrupted
      outcome = result
      phase = .finished
      return
    }
    hasSignal = true
    while phase != .finished { step(&machine, .slice) }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .disable:
      return Step(
        "o1", "zone_pcp_disable", "switch per-CPU lists and LRU batching off and drain both")
    case .isolateFirst, .isolateLast:
      return Step("o2", "isolate_single_pageblock", "isolate an end of the memory block")
    case .isolateMiddle(let at):
      return Step("o2", "set_migratetype_isolate", "isolate the pageblock at \(PFN(at))")
    case .signal: return Step("o3", "offline_pages", "is a signal pending?")
    case .scan:
      return Step(
        "o4", "scan_movable_pages", "find a page that can move, from \(PFN(position)) on")
    case .isolateAll(let at):
      return Step(
        "o5", "do_migrate_range", "take all folios off the LRU, from \(PFN(at)) on")
    case .migrate:
      return migration?.nextStep(machine) ?? Step("o6", "migrate_pages", "migrate")
    case .putBack:
      return Step(
        "o7", "putback_movable_pages", "put the \(list.count) folios back that did not move")
    case .test:
      return Step(
        "o8", "test_pages_isolated", "dissolve free huge pages, test that all pages are free")
    case .remove: return Step("o9", "__offline_isolated_pages", "remove the pages")
    case .restore(let at):
      return Step(
        "o9", "unset_migratetype_isolate", "make the pageblock at \(PFN(at)) Movable again")
    case .enable, .finished:
      return Step("o9", "zone_pcp_enable", "switch per-CPU lists and LRU batching on")
    }
  }
}

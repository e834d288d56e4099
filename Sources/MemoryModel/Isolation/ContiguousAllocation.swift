// Invariant: between two steps the machine is one that another task may see: pageblocks are isolated
// or not, never half; pages are on a list or somebody's.

/// One call of `alloc_contig_range()`, one atomic step at a time (rules A6.21, P5.10, and c3 to c11 of
/// P10.4).
///
/// ```
/// isolateFirst ─► isolateLast ─► isolateMiddle… ─► drainPages ─► drainBatches ─► migrate
///       │               │              │                                            │
///       └───────────────┴──────────────┴───────┐      giveBack ◄─ take ◄─ test ◄────┘
///                                              ▼          │                │
///                                           restore… ◄────┴────────────────┘
/// ```
/// It is a plain value: a copy of it and a fork of the machine go on from the same point.
public struct ContiguousAllocation: Sendable {
  public enum Progress: Sendable, Equatable {
    case running
    /// Done; nil is success.
    case finished(Refusal?)
  }

  public enum Phase: Sendable, Equatable {
    case isolateFirst
    case isolateLast
    /// The pageblock at this frame comes next.
    case isolateMiddle(Int)
    case drainPages
    case drainBatches
    case migrate
    case enableBatches
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
  /// The page that was found in use, once the test has found one.
  public private(set) var busy: PFN?
  /// What to mark the pages with, see ``FrameState/owner``.
  private let owner: UInt8
  /// What the taken blocks cover: the range, and whatever else was part of its free blocks.
  private var outer: PFNRange
  private var refusal: Refusal?

  /// - Precondition: `machine.checkContiguous(range)` does not throw.
  init(_ range: PFNRange, _ mode: IsolationMode, owner: UInt8) {
    self.range = range
    self.mode = mode
    self.owner = owner
    outer = range
  }

  /// Does one atomic step.
  public mutating func advance(_ machine: inout Machine) -> Progress {
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
      machine.drainAllPages(zone: machine.frames.zone(of: PFN(range.start)))
      phase = .drainBatches
    case .drainBatches:
      machine.drainAllLRU()
      phase = .migrate
    case .migrate:
      guard let refusal = migrate(&machine) else { break }
      // EBUSY is forgotten: the page may be free by the time of the test.
      if refusal.errno != .EBUSY { self.refusal = refusal }
      phase = .enableBatches
    case .enableBatches:
      phase = refusal == nil ? .test : .restore(blocks.start)
    case .test:
      let start = machine.largeFreeBlock(covering: PFN(range.start)).index
      outer = PFNRange(start, range.end)
      busy = machine.firstNotIsolated(in: outer)
      refusal = busy.map {
        Refusal(.EBUSY, "\($0) is in use and could not be moved", rule: "A6.12")
      }
      phase = busy == nil ? .take : .restore(blocks.start)
    case .take:
      outer.end = machine.takeFreeBlocks(of: outer, owner: owner)
      phase = .giveBack
    case .giveBack:
      machine.freePagesOneByOne(PFNRange(outer.start, range.start))
      machine.freePagesOneByOne(PFNRange(range.end, outer.end))
      phase = .restore(blocks.start)
    case .restore(let at):
      machine.unsetIsolate(PFN(at), mode.restoredType)
      phase = at + size < blocks.end ? .restore(at + size) : .finished
      if phase == .finished {
        machine.operationsInProgress -= 1
        return .finished(refusal)
      }
    case .finished: return .finished(refusal)
    }
    return .running
  }

  /// Runs to the end.
  ///
  /// - Returns: Why not; nil is success.
  public mutating func run(_ machine: inout Machine) -> Refusal? {
    while true {
      if case .finished(let refusal) = advance(&machine) { return refusal }
    }
  }

  /// Ends the migration stage; only the file of that stage calls it.
  mutating func finishMigrating() { phase = .enableBatches }

  private mutating func go(to next: Phase, unless refusal: Refusal?, _ blocks: PFNRange) {
    self.refusal = refusal
    // Also after a failure the kernel gives back every isolated pageblock of the range, among them
    // those of whoever was in the way.
    phase = refusal == nil ? next : .restore(blocks.start)
  }

  private mutating func skipMiddle(_ blocks: PFNRange, _ size: Int) {
    if case .isolateMiddle(let at) = phase, at >= blocks.end - size { phase = .drainPages }
  }
}

extension Machine {
  /// A call of `alloc_contig_range()` that has not begun.
  ///
  /// - Throws: `.misuse` when the range is empty or leaves its zone.
  public func contiguousAllocation(
    of range: PFNRange, _ mode: IsolationMode = .contiguousPages
  ) throws(MemoryError) -> ContiguousAllocation {
    try checkContiguous(range)
    return ContiguousAllocation(range, mode, owner: UInt8(ascii: "K"))
  }

  /// Allocates exactly the pages of a range, each on its own (rule A6.21).
  ///
  /// Kernel: `alloc_contig_range()`, mm/page_alloc.c.
  ///
  /// - Returns: Why not; nil is success.
  public mutating func allocateContiguous(
    _ range: PFNRange, _ mode: IsolationMode = .contiguousPages
  ) throws(MemoryError) -> Refusal? {
    var allocation = try contiguousAllocation(of: range, mode)
    return allocation.run(&self)
  }

  /// Frees pages of ``allocateContiguous(_:_:)``, ascending, one by one (rule A6.24).
  ///
  /// Kernel: `free_contig_range()`.
  ///
  /// - Throws: `.misuse` naming the first frame that is not a page in use of its own; nothing is
  ///   freed then.
  public mutating func freeContiguous(_ range: PFNRange) throws(MemoryError) {
    try checkContiguous(range)
    for pfn in range.start..<range.end {
      let state = frames.head(PFN(pfn))
      guard state.kind == .allocated, state.order == 0, state.owner != FrameState.cmaOwner else {
        throw MemoryError(
          .misuse,
          "\(PFN(pfn)) is not a page of a contiguous range; free the range as it was allocated")
      }
    }
    freePagesOneByOne(range)
  }

  func checkContiguous(_ range: PFNRange) throws(MemoryError) {
    guard !range.isEmpty, range.start >= 0, range.end <= frames.count,
      let zone = frames.zone(of: PFN(range.start)), zoneTable[zone].range.start <= range.start,
      zoneTable[zone].range.end >= range.end
    else {
      throw MemoryError(
        .misuse,
        "frames 0x\(hex(max(0, range.start))) to 0x\(hex(max(0, range.end))) are not a range inside "
          + "one zone; give a start and an end between the zone's")
    }
  }
}

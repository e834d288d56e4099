// Invariant: while a call is under way its bits are set from c1 on, and cleared again in the same step
// that ends it without pages.

/// One call of `cma_alloc()` (rules A6.30, P5.1 to P5.5, P10.4).
///
/// ```
/// reserve (c1) ─► lock (c2) ─► allocate (c3 to c11) ─► unlock (c12) ─► settle
///    ▲                                                                  │
///    └───────────────── EBUSY: the next candidate ◄─────────────────────┘
/// ```
public struct CMAAllocation: ExplorableOperation {
  public struct Outcome: Sendable, Hashable {
    public var result: AllocationResult
    /// Candidates tried.
    public var attempts = 0
    /// The frames of the last candidate, when there was one.
    public var last: PFNRange?
    /// The first page in use that the last test found.
    public var busy: PFN?
    /// Pages that moved out of candidates, also out of those that failed (rule P5.14).
    public var migratedPages = 0
    public var reclaimedPages = 0

    public var pfn: PFN? { result.pfn }
  }

  private enum Phase: Sendable { case reserve, lock, allocate, unlock, settle, finished }

  /// Index into ``Machine/cmaAreas``.
  public let area: Int
  public let pages: Int
  /// The first page's frame number is a multiple of two to this.
  public let alignment: Int
  /// `__GFP_NOWARN`: failure is not logged.
  public let noWarn: Bool
  /// A script asks: the machine remembers the buffer.
  public let isScripts: Bool
  /// A fatal signal: the migration stage, when it is reached, ends the call with EINTR.
  public var hasFatalSignal = false
  public private(set) var outcome: Outcome?
  /// The number of the buffer that a script was given.
  public private(set) var buffer: Int?
  private var phase = Phase.reserve
  /// The range of the current candidate, while it is being emptied.
  public private(set) var allocation: ContiguousAllocation?
  private var progress = Outcome(result: .refused(ContiguousAllocation.interrupted))
  /// The bit from which the next search starts.
  private var start = 0
  /// The current candidate's first bit.
  private var bit = 0
  /// The last try's first frame.
  private var pfn = TraceEvent.noFrame
  private var refusal: Refusal?

  package init(
    area: Int, pages: Int, alignment: Int, noWarn: Bool, isScripts: Bool = false
  ) {
    self.area = area
    self.pages = pages
    self.alignment = alignment
    self.noWarn = noWarn
    self.isScripts = isScripts
  }

  /// Candidates tried so far, the current one included.
  public var attempts: Int { progress.attempts }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    switch phase {
    case .reserve: reserve(&machine)
    case .lock:
      if machine.isCMAMutexHeld { return .waiting(.cmaMutex) }
      machine.isCMAMutexHeld = true
      allocation = ContiguousAllocation(
        PFNRange(pfn.index, pfn.index + pages), .cmaAllocation, owner: FrameState.cmaOwner,
        noWarn: noWarn)
      phase = .allocate
    case .allocate:
      guard var work = allocation else { break }
      allocation = nil
      work.hasFatalSignal = hasFatalSignal
      let state = work.advance(&machine, pace)
      guard let end = work.outcome else {
        allocation = work
        return state
      }
      refusal = end.refusal
      progress.busy = end.busy
      progress.migratedPages += end.migratedPages
      progress.reclaimedPages += end.reclaimedPages
      phase = .unlock
    case .unlock:
      machine.isCMAMutexHeld = false
      phase = .settle
    case .settle: settle(&machine)
    case .finished: break
    }
    return phase == .finished ? .finished : .running
  }

  /// c1: finds a candidate and sets its bits (P5.1, P5.2).
  private mutating func reserve(_ machine: inout Machine) {
    let area = machine.cmaAreas[area]
    if attempts == 0 {
      machine.operationsInProgress += 1
      machine.traceCMAStart(area: self.area, pages: pages, alignment: alignment)
      if pages == 0 || area.bits(forPages: pages) > area.bits {
        // Neither counted nor finished (P5.3).
        return end(
          .refused(
            Refusal(
              .ENOMEM,
              "\(pages) pages are asked for, and area '\(area.name)' has \(area.pages) in all",
              rule: "P5.3")), &machine)
      }
    }
    guard
      let bit = machine.reserveCMA(
        area: self.area, pages: pages, alignment: alignment, from: start)
    else {
      if refusal == nil {
        refusal = Refusal(
          .ENOMEM, "area '\(area.name)' has no \(pages) neighbouring pages that nobody has",
          rule: "P5.3")
      }
      return finish(&machine)
    }
    self.bit = bit
    pfn = PFN(area.base + bit << area.orderPerBit)
    progress.attempts += 1
    progress.last = PFNRange(pfn.index, pfn.index + pages)
    phase = .lock
  }

  /// After c12: done, another candidate, or the end (P5.2).
  private mutating func settle(_ machine: inout Machine) {
    guard let refusal else { return finish(&machine) }
    machine.unreserveCMA(area: area, bit: bit, pages: pages)
    guard refusal.errno == .EBUSY else { return finish(&machine) }
    machine.traceCMARetry(area: area, pfn, pages: pages, alignment: alignment)
    start = bit + machine.cmaAreas[area].mask(alignment) + 1
    phase = .reserve
  }

  /// Log, event and counters (P5.3 to P5.5).
  private mutating func finish(_ machine: inout Machine) {
    machine.finishCMA(
      area: area, pfn, pages: pages, alignment: alignment, noWarn: noWarn, refusal)
    if isScripts, refusal == nil {
      buffer = machine.addCMABuffer(area: area, pfn, pages: pages)
    }
    end(refusal.map { .refused($0) } ?? .page(pfn), &machine)
  }

  private mutating func end(_ result: AllocationResult, _ machine: inout Machine) {
    machine.operationsInProgress -= 1
    progress.result = result
    outcome = progress
    phase = .finished
  }

  /// Ends it as a fatal signal would.
  ///
  /// The kernel waits for `cma_mutex` whatever comes; here a call that waits gives its bits back.
  public mutating func interrupt(_ machine: inout Machine) {
    let hasPages = refusal == nil
    hasFatalSignal = true
    refusal = ContiguousAllocation.interrupted
    switch phase {
    case .reserve where attempts == 0:
      progress.result = .refused(ContiguousAllocation.interrupted)
      outcome = progress
      phase = .finished
    case .reserve: finish(&machine)
    case .lock:
      machine.unreserveCMA(area: area, bit: bit, pages: pages)
      finish(&machine)
    case .allocate, .unlock, .settle:
      if var work = allocation {
        work.interrupt(&machine)
        progress.busy = work.outcome?.busy
        progress.migratedPages += work.outcome?.migratedPages ?? 0
        progress.reclaimedPages += work.outcome?.reclaimedPages ?? 0
      } else if hasPages {
        machine.freePagesOneByOne(PFNRange(pfn.index, pfn.index + pages))
      }
      allocation = nil
      if phase != .settle { machine.isCMAMutexHeld = false }
      machine.unreserveCMA(area: area, bit: bit, pages: pages)
      finish(&machine)
    case .finished: break
    }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    let name = "'\(machine.cmaAreas[area].name)'"
    switch phase {
    case .reserve:
      return Step(
        "c1", "__cma_alloc", "look for \(pages) clear bits in area \(name) and set them")
    case .lock: return Step("c2", "mutex_lock", "take cma_mutex")
    case .allocate:
      return allocation?.nextStep(machine)
        ?? Step("c3", "alloc_contig_range", "isolate the pageblocks at \(pfn)")
    case .unlock: return Step("c12", "mutex_unlock", "release cma_mutex")
    case .settle:
      return Step(
        "c12", "__cma_alloc",
        refusal == nil ? "return \(pfn)" : "clear the bits of \(pfn), look further")
    case .finished: return Step("c12", "cma_alloc", "return")
    }
  }
}

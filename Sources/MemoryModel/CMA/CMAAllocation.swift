// Invariant: while a call is under way its bits are set from c1 on, and cleared again in the same step
// that ends it without pages.

/// One call of `cma_alloc()`, one atomic step at a time (rules A6.30, P5.1 to P5.5, P10.4).
///
/// ```
/// reserve (c1) ─► lock (c2) ─► allocate (c3 to c11) ─► unlock (c12) ─► settle
///    ▲                                                                  │
///    └───────────────── EBUSY: the next candidate ◄─────────────────────┘
/// ```
public struct CMAAllocation: Sendable {
  public enum Progress: Sendable, Equatable {
    case running
    /// Another call holds `cma_mutex`; nothing was done.
    case waiting
    case finished(AllocationResult)
  }

  public enum Phase: Sendable {
    case reserve
    case lock
    case allocate(ContiguousAllocation)
    case unlock
    case settle
    case finished
  }

  /// Index into ``Machine/cmaAreas``.
  public let area: Int
  public let pages: Int
  /// The first page's frame number is a multiple of two to this.
  public let alignment: Int
  /// `__GFP_NOWARN`: failure is not logged.
  public let noWarn: Bool
  /// A fatal signal: the migration stage, when it is reached, ends the call with EINTR.
  public var hasFatalSignal = false
  public private(set) var phase = Phase.reserve
  /// Candidates tried so far, the current one included.
  public private(set) var attempts = 0
  /// The bit from which the next search starts.
  private var start = 0
  /// The current candidate's first bit.
  private var bit = 0
  /// The last try's first frame.
  private var pfn = TraceEvent.noFrame
  private var refusal: Refusal?
  private var result: AllocationResult?

  init(area: Int, pages: Int, alignment: Int, noWarn: Bool) {
    self.area = area
    self.pages = pages
    self.alignment = alignment
    self.noWarn = noWarn
  }

  /// Does one atomic step.
  public mutating func advance(_ machine: inout Machine) -> Progress {
    switch phase {
    case .reserve: return reserve(&machine)
    case .lock:
      if machine.isCMAMutexHeld { return .waiting }
      machine.isCMAMutexHeld = true
      phase = .allocate(
        ContiguousAllocation(
          PFNRange(pfn.index, pfn.index + pages), .cmaAllocation, owner: FrameState.cmaOwner))
    case .allocate(var allocation):
      allocation.hasFatalSignal = hasFatalSignal
      if case .finished(let refusal) = allocation.advance(&machine) {
        self.refusal = refusal
        phase = .unlock
      } else {
        phase = .allocate(allocation)
      }
    case .unlock:
      machine.isCMAMutexHeld = false
      phase = .settle
    case .settle: return settle(&machine)
    case .finished: return .finished(result!)
    }
    return .running
  }

  /// Runs to the end.
  ///
  /// - Precondition: No other call holds `cma_mutex`.
  public mutating func run(_ machine: inout Machine) -> AllocationResult {
    while true {
      switch advance(&machine) {
      case .running: continue
      case .waiting: preconditionFailure("another cma_alloc is under way")
      case .finished(let result): return result
      }
    }
  }

  /// c1: finds a candidate and sets its bits, so that parallel calls choose elsewhere (P5.1, P5.2).
  private mutating func reserve(_ machine: inout Machine) -> Progress {
    let area = machine.cmaAreas[area]
    if attempts == 0 {
      machine.operationsInProgress += 1
      machine.trace.append(
        TraceEvent(
          .cmaAllocStart, PFN(0), order: alignment, UInt32(pages), UInt32(self.area)))
      if pages == 0 || area.bits(forPages: pages) > area.bits {
        // Neither counted nor finished (P5.3).
        return end(
          .refused(
            Refusal(
              .ENOMEM, "\(pages) pages are not a size for area '\(area.name)' of \(area.pages)",
              rule: "P5.3")), &machine)
      }
    }
    let bits = area.bits(forPages: pages)
    let offset = (area.base & (1 << alignment - 1)) >> area.orderPerBit
    guard
      let bit = machine.cmaBitmap.firstRun(
        of: bits, from: start, mask: mask(area), offset: offset, area)
    else {
      if refusal == nil {
        refusal = Refusal(
          .ENOMEM, "area '\(area.name)' has no \(pages) neighbouring pages that nobody has",
          rule: "P5.3")
      }
      return finish(&machine)
    }
    machine.cmaBitmap.set(bit..<bit + bits, area)
    self.bit = bit
    pfn = PFN(area.base + bit << area.orderPerBit)
    attempts += 1
    phase = .lock
    return .running
  }

  private func mask(_ area: Machine.CMAArea) -> Int {
    alignment <= area.orderPerBit ? 0 : 1 << (alignment - area.orderPerBit) - 1
  }

  /// After c12: done, another candidate, or the end (P5.2).
  private mutating func settle(_ machine: inout Machine) -> Progress {
    guard let refusal else { return finish(&machine) }
    let area = machine.cmaAreas[area]
    machine.cmaBitmap.clear(bit..<bit + area.bits(forPages: pages), area)
    guard refusal.errno == .EBUSY else { return finish(&machine) }
    machine.trace.append(
      TraceEvent(.cmaAllocBusyRetry, pfn, order: alignment, UInt32(pages), UInt32(self.area)))
    start = bit + mask(area) + 1
    phase = .reserve
    return .running
  }

  /// Log, event and counters (P5.3 to P5.5).
  private mutating func finish(_ machine: inout Machine) -> Progress {
    if let refusal, !noWarn {
      machine.logCMAFailure(area: area, pages: pages, refusal.errno)
    }
    let errno = UInt32(refusal?.errno.rawValue ?? 0)
    machine.trace.append(
      TraceEvent(
        .cmaAllocFinish, pfn, order: alignment, UInt32(pages), UInt32(area) << 8 | errno,
        failed: refusal != nil))
    if let refusal {
      machine.count(.cmaAllocFail, 1)
      machine.cmaAreas[area].failedPages += pages
      return end(.refused(refusal), &machine)
    }
    machine.count(.cmaAllocSuccess, 1)
    machine.cmaAreas[area].allocatedPages += pages
    return end(.page(pfn), &machine)
  }

  private mutating func end(_ result: AllocationResult, _ machine: inout Machine) -> Progress {
    machine.operationsInProgress -= 1
    self.result = result
    phase = .finished
    return .finished(result)
  }
}

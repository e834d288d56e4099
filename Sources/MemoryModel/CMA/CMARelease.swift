// Invariant: the bits stay set until the last page is free, so nobody is given a part meanwhile.

/// One call of `cma_release()`: pages are freed one by one, ascending (rule P5.6).
public struct CMARelease: ExplorableOperation {
  /// Pages freed; 0 when somebody else has released them before its first step.
  public private(set) var outcome: Int?
  public var summary: CallSummary? {
    outcome.map {
      $0 > 0
        ? CallSummary("ok", key: 0)
        : CallSummary(Refusal(.EINVAL, "the pages were released already", rule: "P5.6"))
    }
  }
  public let area: Int
  public let pfn: PFN
  public let pages: Int
  /// Pages freed so far.
  public private(set) var freed = 0

  static let slicePages = 1 << 12

  /// - Precondition: `machine.checkCMARelease` does not throw.
  init(area: Int, _ pfn: PFN, pages: Int) {
    self.area = area
    self.pfn = pfn
    self.pages = pages
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    if freed == 0 {
      // Two who release the same pages are told apart here; the kernel would corrupt its lists.
      guard (try? machine.checkCMARelease(area: area, pfn, pages: pages)) != nil else {
        outcome = 0
        return .finished
      }
      machine.operationsInProgress += 1
    }
    if freed < pages {
      let count = min(pages - freed, pace == .step ? 1 : Self.slicePages)
      let first = pfn.index + freed
      machine.freePagesOneByOne(PFNRange(first, first + count))
      freed += count
      return .running
    }
    machine.finishCMARelease(area: area, pfn, pages: pages)
    machine.operationsInProgress -= 1
    outcome = pages
    return .finished
  }

  /// Freeing looks at no signal: it runs to its end.
  public mutating func interrupt(_ machine: inout Machine) {
    while outcome == nil { _ = advance(&machine, .slice) }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    freed < pages
      ? Step("c13", "free_contig_range", "free page \(freed + 1) of \(pages), \(pfn + freed)")
      : Step("c14", "cma_clear_bitmap", "clear the bits of \(pfn)")
  }
}

extension Machine {
  /// A call of `cma_release()` that has not begun.
  ///
  /// - Throws: `.misuse` when the pages are not the area's, or nobody has them.
  public func beginCMARelease(
    area: Int, _ pfn: PFN, pages: Int
  ) throws(MemoryError) -> CMARelease {
    try checkCMARelease(area: area, pfn, pages: pages)
    return CMARelease(area: area, pfn, pages: pages)
  }
}

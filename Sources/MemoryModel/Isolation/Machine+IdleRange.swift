// Ranges in which nothing has to move, taken in one step. The pool of huge pages grows so: its pages are
// made where memory is idle, and a page in use sends it to the next range.

extension Machine {
  /// Takes every page of a range if all are free (rule A6.21).
  ///
  /// Kernel: `alloc_contig_range()`, mm/page_alloc.c, but for the migration.
  ///
  /// - Precondition: The range lies in one zone.
  /// - Returns: Why not; nil is success.
  mutating func takeIdle(_ range: PFNRange, _ mode: IsolationMode, owner: UInt8) -> Refusal? {
    if let refusal = startIsolation(of: range, mode) {
      endIsolation(of: range, as: mode.restoredType)
      return refusal
    }
    drainAllPages(zone: frames.zone(of: PFN(range.start)))
    drainAllLRU()
    let start = largeFreeBlock(covering: PFN(range.start)).index
    var refusal: Refusal?
    if let busy = firstNotIsolated(in: PFNRange(start, range.end)) {
      refusal = Refusal(.EBUSY, "\(busy) is in use", rule: "A6.12")
    } else {
      let end = takeFreeBlocks(of: PFNRange(start, range.end), owner: owner)
      freePagesOneByOne(PFNRange(start, range.start))
      freePagesOneByOne(PFNRange(range.end, end))
    }
    endIsolation(of: range, as: mode.restoredType)
    return refusal
  }

  /// Takes pages of a CMA area at the first candidate where nothing has to move (rules P5.1 to P5.5).
  ///
  /// Kernel: `cma_alloc()`, mm/cma.c.
  mutating func takeIdleCMA(
    area: Int, pages: Int, alignment: Int, noWarn: Bool
  ) -> AllocationResult {
    var start = 0
    var pfn = TraceEvent.noFrame
    var refusal: Refusal?
    traceCMAStart(area: area, pages: pages, alignment: alignment)
    while let bit = reserveCMA(area: area, pages: pages, alignment: alignment, from: start) {
      pfn = PFN(cmaAreas[area].base + bit << cmaAreas[area].orderPerBit)
      refusal = takeIdle(
        PFNRange(pfn.index, pfn.index + pages), .cmaAllocation, owner: FrameState.cmaOwner)
      guard let why = refusal else {
        finishCMA(area: area, pfn, pages: pages, alignment: alignment, noWarn: noWarn, nil)
        return .page(pfn)
      }
      unreserveCMA(area: area, bit: bit, pages: pages)
      guard why.errno == .EBUSY else { break }
      traceCMARetry(area: area, pfn, pages: pages, alignment: alignment)
      start = bit + cmaAreas[area].mask(alignment) + 1
    }
    let why =
      refusal
      ?? Refusal(
        .ENOMEM, "area '\(cmaAreas[area].name)' has no \(pages) neighbouring pages left",
        rule: "P5.3")
    finishCMA(area: area, pfn, pages: pages, alignment: alignment, noWarn: noWarn, why)
    return .refused(why)
  }
}

// What a call of `cma_alloc()` reads and writes of its area: bits, counters, events, the log.

extension Machine {
  /// Sets the bits of the first candidate from bit `start` on, so that parallel calls choose elsewhere
  /// (rules P5.1, P5.2).
  ///
  /// - Returns: The candidate's first bit; nil when there is none.
  package mutating func reserveCMA(
    area index: Int, pages: Int, alignment: Int, from start: Int
  ) -> Int? {
    let area = cmaAreas[index]
    let bits = area.bits(forPages: pages)
    let offset = (area.base & (1 << alignment - 1)) >> area.orderPerBit
    guard
      let bit = cmaBitmap.firstRun(
        of: bits, from: start, mask: area.mask(alignment), offset: offset, area)
    else { return nil }
    cmaBitmap.set(bit..<bit + bits, area)
    return bit
  }

  /// Clears the bits of a candidate.
  ///
  /// Kernel: `cma_clear_bitmap()`.
  package mutating func unreserveCMA(area index: Int, bit: Int, pages: Int) {
    let area = cmaAreas[index]
    cmaBitmap.clear(bit..<bit + area.bits(forPages: pages), area)
  }

  /// Kernel: `trace_cma_alloc_start()`.
  package mutating func traceCMAStart(area: Int, pages: Int, alignment: Int) {
    trace.append(
      TraceEvent(.cmaAllocStart, PFN(0), order: alignment, UInt32(pages), UInt32(area)))
  }

  /// Kernel: `trace_cma_alloc_busy_retry()`.
  package mutating func traceCMARetry(area: Int, _ pfn: PFN, pages: Int, alignment: Int) {
    trace.append(
      TraceEvent(.cmaAllocBusyRetry, pfn, order: alignment, UInt32(pages), UInt32(area)))
  }

  /// Counts, reports and logs the end of a call (rules P5.3 to P5.5).
  package mutating func finishCMA(
    area: Int, _ pfn: PFN, pages: Int, alignment: Int, noWarn: Bool, _ refusal: Refusal?
  ) {
    if let refusal, !noWarn { logCMAFailure(area: area, pages: pages, refusal.errno) }
    let errno = UInt32(refusal?.errno.rawValue ?? 0)
    trace.append(
      TraceEvent(
        .cmaAllocFinish, pfn, order: alignment, UInt32(pages), UInt32(area) << 8 | errno,
        failed: refusal != nil))
    if refusal != nil {
      count(.cmaAllocFail, 1)
      cmaAreas[area].failedPages += pages
    } else {
      count(.cmaAllocSuccess, 1)
      cmaAreas[area].allocatedPages += pages
    }
  }
}

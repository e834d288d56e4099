// Invariant: everything here is off in every kernel that was released.

extension Machine {
  /// Whether movable requests may take pages of CMA areas (`ALLOC_CMA`).
  ///
  /// Where they may not, pages of such areas are freed past the per-CPU lists, which do not look at
  /// it (rule P9.24).
  var borrowsFromCMA: Bool { hasCMA && !kernel.disablesCMABorrowing }

  /// What the advice of the proposals does: it marks the areas, and moves nothing (rule P9.20).
  mutating func advisePlacement(
    _ space: Int, _ pages: Range<Int>, _ advice: MemoryAdvice
  ) -> Result<Void, Refusal> {
    guard kernel.hasMovableAdvice else {
      return .failure(
        Refusal(
          .EINVAL,
          "MADV_\(advice.rawValue.uppercased()) was proposed and never merged; "
            + "kernel{ madv_nomovable = true } knows it",
          rule: advice == .noMovable ? "P9.20" : "P9.22"))
    }
    return changeFlags(space, pages, insert: advice == .mightPin ? .mightPin : .noMovable)
  }

  /// Whether advice keeps the memory for a page of an area out of CMA and ZONE_MOVABLE.
  ///
  /// Which pages the hint is followed for is drawn from the page's address, so that it does not depend
  /// on the order of the faults.
  func isAdvisedScope(_ area: MemoryArea, page: Int) -> Bool {
    if area.flags.contains(.noMovable) { return true }
    guard area.flags.contains(.mightPin) else { return false }
    var draw = SplitMix64(seed: UInt64(truncatingIfNeeded: page))
    return Int(draw.next() % 100) < kernel.mightPinPercent
  }
}

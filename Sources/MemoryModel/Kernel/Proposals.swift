// Invariant: everything here is off in every kernel that was released; each is read at one place.

/// Patches that were proposed and never merged (rules P9.20 to P9.24).
public struct Proposals: Sendable, Equatable {
  /// Whether madvise() knows MADV_NOMOVABLE and MADV_PINNABLE: the faults of the area run in the pin
  /// scope (rules P9.20, P9.22).
  public var hasMovableAdvice = false
  /// Whether madvise() knows MADV_MIGHT_PIN, and for how many of a hundred pages the kernel follows the
  /// hint (rule P9.22).
  public var mightPinPercent: Int?
  /// A kernel parameter: nobody borrows from CMA, so its pages stay free until `cma_alloc()` wants them
  /// (rule P9.24).
  public var disablesCMABorrowing = false

  public init() {}
}

extension Machine {
  /// Whether movable requests may take pages of CMA areas (`ALLOC_CMA`).
  ///
  /// Where they may not, pages of such areas are freed past the per-CPU lists, which do not look at
  /// it (rule P9.24).
  var borrowsFromCMA: Bool { hasCMA && !kernel.proposals.disablesCMABorrowing }

  /// What the advice of the proposals does: it marks the areas, and moves nothing (rule P9.20).
  mutating func advisePlacement(
    _ space: Int, _ pages: Range<Int>, _ advice: MemoryAdvice
  ) -> Result<Void, Refusal> {
    let isKnown =
      advice == .mightPin
      ? kernel.proposals.mightPinPercent != nil : kernel.proposals.hasMovableAdvice
    guard isKnown else {
      return .failure(
        Refusal(
          .EINVAL,
          "MADV_\(advice.rawValue.uppercased()) was proposed and never merged; machine{ proposals = "
            + "{ \(advice == .mightPin ? "might_pin = 100" : "nomovable = true") } } has it",
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
    guard area.flags.contains(.mightPin), let percent = kernel.proposals.mightPinPercent else {
      return false
    }
    var draw = SplitMix64(seed: UInt64(truncatingIfNeeded: page))
    return Int(draw.next() % 100) < percent
  }
}

// Invariant: ranges are ascending, not empty, and neither overlap nor touch.

/// A set of huge pages of a file, by index.
///
/// Kernel: the regions of `struct resv_map`, mm/hugetlb.c.
struct HugeRegions: Sendable, Equatable, Codable {
  private(set) var ranges: [Range<Int>] = []

  func contains(_ index: Int) -> Bool { count(in: index..<index + 1) > 0 }

  /// How many pages of `range` are in the set.
  ///
  /// Kernel: `region_count()`.
  func count(in range: Range<Int>) -> Int {
    ranges.reduce(0) { $0 + $1.clamped(to: range).count }
  }

  /// Kernel: `region_add()`.
  ///
  /// - Returns: How many pages are new.
  @discardableResult
  mutating func add(_ range: Range<Int>) -> Int {
    if range.isEmpty { return 0 }
    let added = range.count - count(in: range)
    var whole = range
    var kept: [Range<Int>] = []
    var position = 0
    for old in ranges {
      if old.upperBound < whole.lowerBound {
        position += 1
        kept.append(old)
      } else if old.lowerBound > whole.upperBound {
        kept.append(old)
      } else {
        whole =
          min(old.lowerBound, whole.lowerBound)..<max(old.upperBound, whole.upperBound)
      }
    }
    kept.insert(whole, at: position)
    ranges = kept
    return added
  }

  /// Kernel: `region_del()`.
  ///
  /// - Returns: How many pages were in the set.
  @discardableResult
  mutating func remove(_ range: Range<Int>) -> Int {
    let removed = count(in: range)
    if removed == 0 { return 0 }
    ranges = ranges.flatMap { old in
      [
        old.lowerBound..<max(old.lowerBound, min(old.upperBound, range.lowerBound)),
        min(old.upperBound, max(old.lowerBound, range.upperBound))..<old.upperBound,
      ].filter { !$0.isEmpty }
    }
    return removed
  }
}

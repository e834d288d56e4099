/// A half-open range of page frames, `start ..< end`.
public struct PFNRange: Hashable, Sendable, BitwiseCopyable, Codable {
  public var start: Int
  public var end: Int

  public init(_ start: Int, _ end: Int) {
    self.start = start
    self.end = max(start, end)
  }

  public var count: Int { end - start }
  public var isEmpty: Bool { end == start }

  public func contains(_ pfn: PFN) -> Bool { pfn.index >= start && pfn.index < end }

  public func intersection(_ other: PFNRange) -> PFNRange {
    PFNRange(max(start, other.start), min(end, other.end))
  }
}

extension [PFNRange] {
  /// The ranges in ascending order, touching and overlapping ones joined, empty ones gone.
  public func normalized() -> [PFNRange] {
    var result: [PFNRange] = []
    for range in sorted(by: { $0.start < $1.start }) where !range.isEmpty {
      if let last = result.last, range.start <= last.end {
        result[result.count - 1].end = Swift.max(last.end, range.end)
      } else {
        result.append(range)
      }
    }
    return result
  }

  /// What is left of these ranges without the frames of `holes`; both in ascending order.
  public func subtracting(_ holes: [PFNRange]) -> [PFNRange] {
    var result: [PFNRange] = []
    for range in self {
      var start = range.start
      for hole in holes where hole.end > start && hole.start < range.end {
        if hole.start > start { result.append(PFNRange(start, hole.start)) }
        start = Swift.max(start, hole.end)
      }
      if start < range.end { result.append(PFNRange(start, range.end)) }
    }
    return result
  }

  /// The number of frames of all ranges that lie inside `range`.
  public func pages(in range: PFNRange) -> Int {
    reduce(0) { $0 + $1.intersection(range).count }
  }
}

public import MemoryModel

/// What is present of a range of a process, and where it lies.
public struct Residency: Sendable, Equatable {
  /// Pages of 4 KiB that are present, zero pages included.
  public var pages = 0
  /// Of them, pages in CMA pageblocks, in ZONE_MOVABLE, and in leaves of 2 MiB and more.
  public var cma = 0
  public var movableZone = 0
  public var large = 0
  /// Entries that show the zero page.
  public var zero = 0

  public init() {}

  public static func += (lhs: inout Self, rhs: Self) {
    lhs.pages += rhs.pages
    lhs.cma += rhs.cma
    lhs.movableZone += rhs.movableZone
    lhs.large += rhs.large
    lhs.zero += rhs.zero
  }
}

extension Machine {
  /// Counts what is present of a range, leaf by leaf.
  public func residency(_ space: Int, _ pages: Range<Int>) -> Residency {
    var sum = Residency()
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, _, level) = entry(space, page: page)
      let next = min((page | ((1 << level.order) - 1)) + 1, pages.upperBound)
      defer { page = next }
      guard entry.isPresent, !entry.flags.contains(.device) else { continue }
      let count = next - page
      sum.pages += count
      if level > .pte { sum.large += count }
      if entry.flags.contains(.special) {
        sum.zero += count
        continue
      }
      if frames.migrateType(entry.pfn) == .cma { sum.cma += count }
      if let zone = frames.zone(of: entry.pfn), zone % ZoneIndex.count == ZoneIndex.movable.rawValue
      {
        sum.movableZone += count
      }
    }
    return sum
  }
}

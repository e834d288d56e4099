internal import MemoryModel

/// What one cell of a map shows: some neighbouring pageblocks, added up.
struct MapCell {
  var memory = 0
  var reserved = 0
  var free = 0
  var perCPU = 0
  var used = 0
  var types = InlineArray<6, Int>(repeating: 0)
  var uses = InlineArray<9, Int>(repeating: 0)
  /// Whether a page in it is to be pointed at.
  var isBlocked = false

  mutating func add(_ block: PageblockSummary) {
    memory += block.memory
    reserved += block.reserved
    free += block.free
    perCPU += block.perCPU
    used += block.allocated + block.unaccounted
    // The type of a hole says nothing.
    if block.memory > 0 { types[Int(block.type.rawValue)] += 1 }
    for use in uses.indices { uses[use] += block.uses[use] }
  }

  mutating func add(_ other: MapCell) {
    memory += other.memory
    reserved += other.reserved
    free += other.free
    perCPU += other.perCPU
    used += other.used
    isBlocked = isBlocked || other.isBlocked
    for type in types.indices { types[type] += other.types[type] }
    for use in uses.indices { uses[use] += other.uses[use] }
  }

  enum Fill: Equatable {
    case hole
    case reserved
    case empty
    /// How full, 1 to 8 eighths: 1 is "hardly anything", 8 is "no free page".
    case eighths(Int)
  }

  var fill: Fill {
    if memory == 0 { return .hole }
    let usable = memory - reserved
    if usable == 0 { return .reserved }
    // Pages on a CPU's list count as free: the next request takes them.
    let taken = usable - free - perCPU
    if taken <= 0 { return .empty }
    if taken == usable { return .eighths(8) }
    return .eighths(min(7, max(1, (taken * 8 + usable / 2) / usable)))
  }

  /// The type of most pageblocks, and whether all agree; nil for a cell of holes.
  ///
  /// A single isolated pageblock counts as most: it is rare, and what one looks for.
  var type: (type: MigrateType, isMixed: Bool)? {
    let isolated = types[Int(MigrateType.isolate.rawValue)]
    if isolated > 0 {
      return (
        .isolate,
        types.indices.contains { types[$0] > 0 && $0 != Int(MigrateType.isolate.rawValue) }
      )
    }
    var best: MigrateType?
    var seen = 0
    for type in MigrateType.allCases where types[Int(type.rawValue)] > 0 {
      seen += 1
      if best == nil || types[Int(type.rawValue)] > types[Int(best!.rawValue)] { best = type }
    }
    return best.map { ($0, seen > 1) }
  }

  /// The use of most allocated pages; nil when nothing is allocated.
  var use: PageUse? {
    var best: PageUse?
    for use in PageUse.allCases where uses[use.rawValue] > 0 {
      if best == nil || uses[use.rawValue] > uses[best!.rawValue] { best = use }
    }
    return best
  }
}

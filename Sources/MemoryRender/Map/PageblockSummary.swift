// Invariant: memory + holes = pages of a pageblock, and free + perCPU + allocated + reserved +
// unaccounted = memory. `unaccounted` is memory that no list and no holder names: offline pages, or
// frames of a capture that could not be told apart.

public import MemoryModel

/// What the 2^pageblockOrder frames of one pageblock are, counted in pages.
public struct PageblockSummary: Equatable, Sendable {
  /// The first frame.
  public var start: PFN
  /// The zone's id, or nil outside of all zones.
  public var zone: Int?
  public var type: MigrateType
  public var memory = 0
  public var holes = 0
  public var reserved = 0
  /// On the buddy's lists.
  public var free = 0
  /// On a CPU's lists: handed out at once, but not merging.
  public var perCPU = 0
  public var allocated = 0
  /// Of the allocated ones: those on the LRU lists, so migration can take them.
  public var lru = 0
  /// Of the allocated ones: those that a driver can move.
  public var driverMovable = 0
  /// The order of the largest free block here, or nil when nothing is free.
  ///
  /// A block that is larger than the pageblock counts with its own order.
  public var largestFreeOrder: Int?
  /// Allocated pages by use, entry `PageUse.rawValue`.
  public var uses = InlineArray<9, Int>(repeating: 0)

  public var unaccounted: Int { max(0, memory - free - perCPU - allocated - reserved) }

  public func pages(_ use: PageUse) -> Int { uses[use.rawValue] }

  init(start: PFN, zone: Int?, type: MigrateType) {
    self.start = start
    self.zone = zone
    self.type = type
  }

  public static func == (lhs: Self, rhs: Self) -> Bool {
    guard lhs.start == rhs.start, lhs.zone == rhs.zone, lhs.type == rhs.type,
      lhs.memory == rhs.memory, lhs.holes == rhs.holes, lhs.reserved == rhs.reserved,
      lhs.free == rhs.free, lhs.perCPU == rhs.perCPU, lhs.allocated == rhs.allocated,
      lhs.lru == rhs.lru, lhs.driverMovable == rhs.driverMovable,
      lhs.largestFreeOrder == rhs.largestFreeOrder
    else { return false }
    return PageUse.allCases.allSatisfy { lhs.pages($0) == rhs.pages($0) }
  }

  mutating func add(_ state: FrameState, pages: Int) {
    switch state.kind {
    case .none: break
    case .free:
      free += pages
      largestFreeOrder = max(largestFreeOrder ?? 0, state.order)
    case .perCPU: perCPU += pages
    case .allocated, .hugePool:
      allocated += pages
      if state.isLRU { lru += pages }
      if state.isDriverMovable { driverMovable += pages }
      uses[PageUse(owner: state.owner).rawValue] += pages
    }
  }
}

/// Summarises pageblocks one after the other, ascending.
///
/// Only the pageblock tables are read unless the pageblock is split into smaller blocks: the frame
/// tables of a machine that nobody has used do not become resident by looking.
public struct PageblockReader {
  private let order: Int
  private let maxOrder: Int
  private let memory: [PFNRange]
  private let reserved: [PFNRange]
  /// Where in `memory` and `reserved` the next pageblock may begin.
  private var memoryAt = 0
  private var reservedAt = 0

  public init(_ machine: borrowing Machine) {
    order = machine.geometry.pageblockOrder
    maxOrder = machine.geometry.maxOrder
    memory = machine.memory
    reserved = Self.intersection(machine.memory, machine.reserved)
  }

  /// The frames in both lists, each ascending: what firmware reserves may be holes, too.
  private static func intersection(_ left: [PFNRange], _ right: [PFNRange]) -> [PFNRange] {
    var result: [PFNRange] = []
    var from = 0
    for range in left {
      while from < right.count && right[from].end <= range.start { from += 1 }
      var index = from
      while index < right.count && right[index].start < range.end {
        result.append(range.intersection(right[index]))
        index += 1
      }
    }
    return result
  }

  /// The pageblock that `pfn` lies in, whatever was asked before.
  ///
  /// - Precondition: `pfn` is below the machine's frame count.
  public static func summary(
    of pfn: PFN, _ machine: borrowing Machine
  ) -> PageblockSummary {
    var reader = PageblockReader(machine)
    return reader.next(pfn.index >> machine.geometry.pageblockOrder, machine)
  }

  /// - Precondition: `block` is larger than the one asked for before.
  public mutating func next(_ block: Int, _ machine: borrowing Machine) -> PageblockSummary {
    let start = PFN(block << order)
    let range = PFNRange(block << order, (block + 1) << order)
    var summary = PageblockSummary(
      start: start, zone: machine.frames.zone(of: start),
      type: machine.frames.migrateType(start))
    summary.memory = Self.pages(memory, &memoryAt, in: range)
    summary.holes = range.count - summary.memory
    summary.reserved = Self.pages(reserved, &reservedAt, in: range)
    if summary.reserved < summary.memory { addBlocks(&summary, range, machine) }
    // What was reserved at boot and given to the allocator later counts as what it is now.
    let known = summary.free + summary.perCPU + summary.allocated
    summary.reserved = min(summary.reserved, max(0, summary.memory - known))
    return summary
  }

  private func addBlocks(
    _ summary: inout PageblockSummary, _ range: PFNRange, _ machine: borrowing Machine
  ) {
    let start = PFN(range.start)
    var wider = order + 1
    while wider <= maxOrder {
      let first = start.roundedDown(toOrder: wider)
      if first != start {
        let state = machine.frames.head(first)
        if state.kind != .none && state.order >= wider {
          return summary.add(state, pages: range.count)
        }
      }
      wider += 1
    }
    var at = range.start
    while at < range.end {
      let state = machine.frames.head(PFN(at))
      guard state.kind != .none else {
        at += 1
        continue
      }
      let pages = 1 << state.order
      summary.add(state, pages: min(pages, range.end - at))
      at += pages
    }
  }

  /// The frames of `ranges` inside `range`; ranges that end before it are passed for good.
  private static func pages(_ ranges: [PFNRange], _ from: inout Int, in range: PFNRange) -> Int {
    while from < ranges.count && ranges[from].end <= range.start { from += 1 }
    var pages = 0
    var index = from
    while index < ranges.count && ranges[index].start < range.end {
      pages += ranges[index].intersection(range).count
      index += 1
    }
    return pages
  }
}

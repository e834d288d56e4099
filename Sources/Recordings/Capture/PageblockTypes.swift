// /proc/pagetypeinfo counts pageblocks of each type and does not say where they are. The places are
// inferred: free blocks of at least a pageblock are counted by type, CMA areas are contiguous, and
// unmovable pages lie mostly in Unmovable pageblocks. Without the counts, each pageblock gets the
// type of most of its pages.

internal import MemoryModel

/// What one pageblock shows of its type.
struct PageblockEvidence {
  var start: Int
  /// Pages that migration could take.
  var movable = 0
  /// Page tables, kernel pages, reserved ones.
  var unmovable = 0
  var slab = 0
  /// The free block of at least a pageblock that covers it, by its first frame and order.
  var free: (start: Int, order: Int)?
}

/// Decides on the types of the pageblocks of one zone.
struct PageblockTypes {
  private(set) var types: [MigrateType]
  private let evidence: [PageblockEvidence]

  /// - Parameter pageblocks: How many of each type; nil when that is not known.
  /// - Parameter free: Free blocks by type and order.
  /// - Parameter isMovable: ZONE_MOVABLE, where nothing is ever Unmovable or Reclaimable (AI.23).
  init(
    _ evidence: [PageblockEvidence], pageblocks: [MigrateType: Int]?,
    free: [MigrateType: [Int]], cmaPageblocks: Int, isMovable: Bool
  ) {
    self.evidence = evidence
    types = Array(repeating: .movable, count: evidence.count)
    guard var left = pageblocks else {
      for (index, block) in evidence.enumerated() where block.free == nil && !isMovable {
        if block.unmovable + block.slab > block.movable { types[index] = .unmovable }
      }
      placeCMA(cmaPageblocks)
      return
    }
    left[.movable] = nil
    if isMovable {
      left[.unmovable] = nil
      left[.reclaimable] = nil
    }
    var isSettled = placeCMA(left[.cma] ?? cmaPageblocks)
    left[.cma] = nil
    settleFreeBlocks(&left, free, &isSettled)
    settleByPages(&left, &isSettled)
    uniteFreeBlocks()
  }

  /// A CMA area is contiguous: the highest run of pageblocks with the fewest unmovable pages.
  @discardableResult
  private mutating func placeCMA(_ wanted: Int) -> [Bool] {
    var isSettled = Array(repeating: false, count: evidence.count)
    guard wanted > 0, wanted <= evidence.count else { return isSettled }
    func weight(_ index: Int) -> Int { evidence[index].unmovable + evidence[index].slab }
    var sum = (0..<wanted).reduce(0) { $0 + weight($1) }
    var best = (sum: sum, first: 0)
    for first in stride(from: 1, through: evidence.count - wanted, by: 1) {
      sum += weight(first + wanted - 1) - weight(first - 1)
      if sum <= best.sum { best = (sum, first) }
    }
    for index in best.first..<best.first + wanted {
      types[index] = .cma
      isSettled[index] = true
    }
    return isSettled
  }

  /// Of the free blocks that cover whole pageblocks, the lowest get the rarer types.
  private mutating func settleFreeBlocks(
    _ left: inout [MigrateType: Int], _ free: [MigrateType: [Int]], _ isSettled: inout [Bool]
  ) {
    var wanted = free
    for index in evidence.indices {
      guard !isSettled[index], let block = evidence[index].free else { continue }
      isSettled[index] = true
      guard block.start == evidence[index].start else {
        // The later pageblocks of a block follow its first.
        if index > 0 { types[index] = types[index - 1] }
        if types[index] != .movable, let count = left[types[index]] {
          left[types[index]] = max(0, count - 1)
        }
        continue
      }
      for type in MigrateType.allCases where type != .movable && type != .cma {
        guard let counts = wanted[type], block.order < counts.count, counts[block.order] > 0,
          (left[type] ?? 0) > 0
        else { continue }
        wanted[type]?[block.order] -= 1
        left[type]? -= 1
        types[index] = type
        break
      }
    }
  }

  /// The other pageblocks: those with the most unmovable pages are Unmovable or Reclaimable, and of
  /// these the ones with the largest share of slab are Reclaimable.
  private mutating func settleByPages(_ left: inout [MigrateType: Int], _ isSettled: inout [Bool]) {
    func weight(_ index: Int) -> Int { evidence[index].unmovable + evidence[index].slab }
    var rest = evidence.indices.filter { !isSettled[$0] }
    rest.sort { (-weight($0), evidence[$0].movable, $0) < (-weight($1), evidence[$1].movable, $1) }
    let unmovable = left[.unmovable] ?? 0
    let reclaimable = left[.reclaimable] ?? 0
    var chosen = Array(rest.prefix(unmovable + reclaimable))
    rest.removeFirst(chosen.count)
    chosen.sort {
      let one = evidence[$0]
      let other = evidence[$1]
      // Shares as cross products: no division, no rounding.
      let left = one.slab * max(1, weight($1))
      let right = other.slab * max(1, weight($0))
      return left != right ? left > right : $0 < $1
    }
    for (place, index) in chosen.enumerated() {
      types[index] = place < reclaimable ? .reclaimable : .unmovable
    }
    for type in [MigrateType.highAtomic, .isolate] {
      for _ in 0..<min(left[type] ?? 0, rest.count) { types[rest.removeLast()] = type }
    }
  }

  /// A free block lies on one list, so all of its pageblocks have one type.
  private mutating func uniteFreeBlocks() {
    for index in evidence.indices.dropFirst() {
      guard let block = evidence[index].free, block.start != evidence[index].start else { continue }
      types[index] = types[index - 1]
    }
  }
}

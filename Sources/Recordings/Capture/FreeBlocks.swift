// Invariant: blocks are aligned to their order, lie inside one range, and ascend. Two buddies of one
// order below a pageblock are never both free, because the kernel would have merged them, so the
// blocks of a set of free frames are determined.

internal import MemoryModel

/// Free blocks of one zone: the first frames by order, ascending.
struct FreeBlocks {
  private(set) var starts: [[Int]]

  var counts: [Int] { starts.map(\.count) }

  var pages: Int { starts.enumerated().reduce(0) { $0 + $1.element.count << $1.offset } }

  init(orderCount: Int) { starts = Array(repeating: [], count: orderCount) }

  mutating func add(_ start: Int, order: Int) { starts[order].append(start) }

  /// The blocks that the frames of class `.buddy` in `ranges` form.
  init(_ classes: PageClasses, _ ranges: [PFNRange], orderCount: Int) {
    self.init(orderCount: orderCount)
    for range in ranges {
      var at = range.start
      while at < range.end {
        guard classes[at] == .buddy else {
          at += 1
          continue
        }
        var end = at + 1
        while end < range.end && classes[end] == .buddy { end += 1 }
        Self.forEachBlock(PFNRange(at, end), maxOrder: orderCount - 1) { add($0, order: $1) }
        at = end
      }
    }
  }

  /// The largest aligned blocks that a range is made of, ascending.
  static func forEachBlock(_ range: PFNRange, maxOrder: Int, _ body: (Int, Int) -> Void) {
    var at = range.start
    while at < range.end {
      var order = at == 0 ? maxOrder : min(maxOrder, at.trailingZeroBitCount)
      while at + 1 << order > range.end { order -= 1 }
      body(at, order)
      at += 1 << order
    }
  }

  /// Invents places for `counts` free blocks, ascending, so that none could have merged.
  ///
  /// A block of order k takes the lower half of a free slot of order k + 1, whose upper half only
  /// serves smaller blocks. Where memory is so full of free blocks that no such slot is left, an
  /// exact one is taken.
  ///
  /// - Returns: The blocks, and how many found no place.
  static func invented(
    _ counts: [Int], in ranges: [PFNRange]
  ) -> (blocks: FreeBlocks, missing: Int) {
    let maxOrder = counts.count - 1
    var blocks = FreeBlocks(orderCount: counts.count)
    var slots = Array(repeating: [Int](), count: counts.count)
    for range in ranges {
      forEachBlock(range, maxOrder: maxOrder) { slots[$1].append($0) }
    }
    // Taken from the end, so that the lowest comes first.
    for order in slots.indices { slots[order].reverse() }
    var missing = 0
    for order in stride(from: maxOrder, through: 0, by: -1) {
      for _ in 0..<counts[order] {
        if order < maxOrder, let slot = takeSlot(&slots, order: order + 1) {
          blocks.add(slot, order: order)
          slots[order].append(slot + 1 << order)
        } else if let slot = takeSlot(&slots, order: order) {
          blocks.add(slot, order: order)
        } else {
          missing += 1
        }
      }
    }
    for order in blocks.starts.indices { blocks.starts[order].sort() }
    return (blocks, missing)
  }

  private static func takeSlot(_ slots: inout [[Int]], order: Int) -> Int? {
    guard let found = (order..<slots.count).first(where: { !slots[$0].isEmpty }) else { return nil }
    let start = slots[found].removeLast()
    for half in stride(from: found - 1, through: order, by: -1) {
      slots[half].append(start + 1 << half)
    }
    return start
  }
}

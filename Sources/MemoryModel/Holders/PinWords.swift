// Invariant: extents in use do not overlap; `free` holds the gaps, sorted by position and merged.

/// The pages of all pins, as 32-bit words (see ``PinRecord``): 4 bytes a page, 8 bytes a run.
public struct PinWords: ~Copyable {
  var words: Arena<UInt32>
  private var used = 0
  private var free: [Range<Int>] = []

  static let runBit: UInt32 = 0x8000_0000

  init(frameCount: Int) throws(MemoryError) {
    // Room for every frame to be pinned sixteen times over, in address space only.
    words = try Arena(count: max(frameCount * 16, 1 << 20))
  }

  mutating func assign(from other: borrowing PinWords, goesOn: () -> Bool) {
    words.assign(from: other.words, prefix: max(used, other.used), goesOn: goesOn)
    extent = other.extent
  }

  mutating func note(in journal: Journal?) { words.note(in: journal) }

  /// What is not in the table.
  struct Extent: Hashable, Sendable, Codable {
    var used: Int
    var free: [Range<Int>]
  }

  var extent: Extent {
    get { Extent(used: used, free: free) }
    set {
      used = newValue.used
      free = newValue.free
    }
  }

  /// Room for `count` words, or nil when the model has none.
  mutating func reserve(_ count: Int) -> Range<Int>? {
    if let gap = free.firstIndex(where: { $0.count >= count }) {
      let range = free[gap].lowerBound..<free[gap].lowerBound + count
      free[gap] = range.upperBound..<free[gap].upperBound
      if free[gap].isEmpty { free.remove(at: gap) }
      return range
    }
    guard used + count <= words.count else { return nil }
    defer { used += count }
    return used..<used + count
  }

  /// Gives back the words of `range`.
  mutating func release(_ range: Range<Int>) {
    if range.isEmpty { return }
    if range.upperBound == used {
      used = range.lowerBound
      if let last = free.last, last.upperBound == used {
        used = last.lowerBound
        free.removeLast()
      }
      return
    }
    let position = free.firstIndex { $0.lowerBound >= range.upperBound } ?? free.count
    free.insert(range, at: position)
    if position + 1 < free.count, free[position + 1].lowerBound == free[position].upperBound {
      free[position] = free[position].lowerBound..<free[position + 1].upperBound
      free.remove(at: position + 1)
    }
    if position > 0, free[position - 1].upperBound == free[position].lowerBound {
      free[position - 1] = free[position - 1].lowerBound..<free[position].upperBound
      free.remove(at: position)
    }
  }
}

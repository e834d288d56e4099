// Invariant (I10): a bit of an area is set while a call of `cma_alloc()` holds or is trying to get its
// pages. Areas start and end at multiples of 64 frames and do not overlap, so the bitmap of an area
// begins at word base / 64 of one table for all, and none reaches into another's.

/// The bitmaps of all CMA areas (rule P5.1).
package struct CMABitmap: ~Copyable {
  private var words: Arena<UInt64>

  /// - Parameter frames: Frames of the machine, a multiple of 64.
  init(frames: Int) throws(MemoryError) { words = try Arena(count: frames >> 6) }

  mutating func assign(from other: borrowing CMABitmap, goesOn: () -> Bool) {
    words.assign(from: other.words, goesOn: goesOn)
  }

  func readTables(_ reader: inout some TableReader) throws {
    try reader.read("CMA bitmaps", words, used: words.count)
  }

  mutating func writeTables(_ writer: inout some TableWriter) throws {
    try writer.write("CMA bitmaps", &words)
  }

  mutating func note(in journal: Journal?) { words.note(in: journal) }

  package func isEqual(to other: borrowing CMABitmap) -> Bool { words.isEqual(to: other.words) }

  mutating func set(_ bits: Range<Int>, _ area: Machine.CMAArea) {
    Self.forEachWord(bits) { words[area.base >> 6 + $0] |= $1 }
  }

  mutating func clear(_ bits: Range<Int>, _ area: Machine.CMAArea) {
    Self.forEachWord(bits) { words[area.base >> 6 + $0] &= ~$1 }
  }

  /// The first run of `count` clear bits from `start` on at which (index + offset) & mask is 0.
  ///
  /// A window is looked at from its end: all starts up to the last set bit in it are out at once.
  /// Kernel: `bitmap_find_next_zero_area_off()`.
  func firstRun(
    of count: Int, from start: Int, mask: Int, offset: Int, _ area: Machine.CMAArea
  ) -> Int? {
    var start = start
    while let clear = firstClear(from: start, area) {
      let index = (clear + offset + mask) & ~mask - offset
      guard index + count <= area.bits else { return nil }
      guard let obstacle = lastSet(in: index..<index + count, area) else { return index }
      start = obstacle + 1
    }
    return nil
  }

  /// The runs of clear bits, ascending.
  func clearRuns(_ area: Machine.CMAArea) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var at = 0
    while let first = firstClear(from: at, area) {
      let end = firstSet(from: first, area) ?? area.bits
      runs.append(first..<end)
      at = end
    }
    return runs
  }

  /// The runs of set bits, ascending.
  func setRuns(_ area: Machine.CMAArea) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var at = 0
    while let first = firstSet(from: at, area) {
      let end = firstClear(from: first, area) ?? area.bits
      runs.append(first..<end)
      at = end
    }
    return runs
  }

  private func firstClear(from start: Int, _ area: Machine.CMAArea) -> Int? {
    first(from: start, area, inverted: ~0)
  }

  private func firstSet(from start: Int, _ area: Machine.CMAArea) -> Int? {
    first(from: start, area, inverted: 0)
  }

  private func first(from start: Int, _ area: Machine.CMAArea, inverted: UInt64) -> Int? {
    if start >= area.bits { return nil }
    let base = area.base >> 6
    var word = start >> 6
    var value = (words[base + word] ^ inverted) & ~0 << UInt64(start & 63)
    let end = (area.bits + 63) >> 6
    while value == 0 {
      word += 1
      if word == end { return nil }
      value = words[base + word] ^ inverted
    }
    let bit = word << 6 + value.trailingZeroBitCount
    return bit < area.bits ? bit : nil
  }

  private func lastSet(in bits: Range<Int>, _ area: Machine.CMAArea) -> Int? {
    let base = area.base >> 6
    let first = bits.lowerBound >> 6
    var word = (bits.upperBound - 1) >> 6
    var value = words[base + word] & ~0 >> UInt64(63 - (bits.upperBound - 1) & 63)
    while true {
      if word == first { value &= ~0 << UInt64(bits.lowerBound & 63) }
      if value != 0 { return word << 6 + 63 - value.leadingZeroBitCount }
      if word == first { return nil }
      word -= 1
      value = words[base + word]
    }
  }

  private static func forEachWord(_ bits: Range<Int>, _ body: (Int, UInt64) -> Void) {
    var at = bits.lowerBound
    while at < bits.upperBound {
      let end = min(bits.upperBound, (at | 63) + 1)
      let ones: UInt64 = ~0 >> UInt64(64 - (end - at))
      body(at >> 6, ones << UInt64(at & 63))
      at = end
    }
  }
}

// The loops over huge pages. A run of a whole huge page is two words: its length with the top bit, and
// its first frame.

extension PinLoop {
  private static let wholeRun = PinWords.runBit | 512

  /// Pins folios of one owner, each a pageblock and shown whole by one leaf, as long as entries are
  /// exactly as wanted; two words each.
  ///
  /// - Returns: How many leaves.
  @inline(never)
  static func pinLeaves(
    _ entries: ArenaView<UInt64>, from slot: Int, count: Int, looked: UInt64, wanted: UInt64,
    _ classes: PinClasses, _ states: ArenaView<UInt32>, _ records: ArenaView<LargeFolioCounts>,
    _ owner: PinOwner, into words: ArenaView<UInt32>, at position: Int, isPin: Bool,
    accessed: UInt32
  ) -> Int {
    let whole = FrameState(.allocated, order: 9).rawValue
    let pins: UInt32 = isPin ? 512 : 0
    let part = entries.slice(slot, count)
    let out = words.slice(position, 2 &* count)
    // A frame inside of a huge page is no better than an entry that is different.
    let compared = looked | 511 << 32
    var done = 0
    while done < count {
      let raw = part[done]
      let pfn = Int(truncatingIfNeeded: raw >> 32)
      let block = pfn &>> 9
      if raw & compared != wanted || classes.refuses(pfn) { return done }
      let state = states[block]
      if state & 0xFF != whole { return done }
      let references = records[block].references
      if !owner.owns(records[block].mapping) || references > UInt32(Int32.max) - 512 { return done }
      records[block].references = references &+ 512
      records[block].pins &+= pins
      if state & accessed != accessed { states[block] = state | accessed }
      out[2 &* done] = wholeRun
      out[2 &* done &+ 1] = UInt32(truncatingIfNeeded: pfn)
      done &+= 1
    }
    return done
  }

  /// Passes over runs that are whole huge pages, each another one than that before, and not refused.
  ///
  /// - Parameter previous: The pageblock of the folio before the first one, or -1.
  /// - Returns: How many runs of two words.
  @inline(never)
  static func countAllowedLeaves(
    _ words: ArenaView<UInt32>, at position: Int, count: Int, _ classes: PinClasses,
    _ states: ArenaView<UInt32>, previous: Int
  ) -> Int {
    let whole = FrameState(.allocated, order: 9).rawValue
    let part = words.slice(position, 2 &* count)
    var previous = previous
    var done = 0
    while done < count, part[2 &* done] == wholeRun {
      let pfn = Int(part[2 &* done &+ 1])
      let block = pfn &>> 9
      if pfn & 511 != 0 || block == previous || classes.refuses(pfn)
        || states[block] & 0xFF != whole
      {
        break
      }
      previous = block
      done &+= 1
    }
    return done
  }

  /// Drops the references that runs of whole huge pages are, as long as others remain.
  ///
  /// - Returns: How many runs of two words.
  @inline(never)
  static func dropLeaves(
    _ records: ArenaView<LargeFolioCounts>, _ words: ArenaView<UInt32>, at position: Int,
    count: Int, _ states: ArenaView<UInt32>, isPin: Bool
  ) -> Int {
    let whole = FrameState(.allocated, order: 9).rawValue
    let pins: UInt32 = isPin ? 512 : 0
    let part = words.slice(position, 2 &* count)
    var done = 0
    while done < count, part[2 &* done] == wholeRun {
      let pfn = Int(part[2 &* done &+ 1])
      let block = pfn &>> 9
      if pfn & 511 != 0 || states[block] & 0xFF != whole { break }
      let references = records[block].references
      if references <= 512 || records[block].pins < pins { break }
      records[block].references = references &- 512
      records[block].pins &-= pins
      done &+= 1
    }
    return done
  }
}

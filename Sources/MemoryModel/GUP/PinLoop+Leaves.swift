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
    let part = entries.slice(slot, count)
    let out = words.slice(position, 2 &* count)
    // A pageblock is looked up in three tables, and one comparison says that it is in all of them.
    let limit = min(classes.types.count, states.count, records.count)
    let types = classes.types.slice(0, limit)
    let states = states.slice(0, limit)
    let records = records.slice(0, limit)
    let refused = classes.refused
    let whole = FrameState(.allocated, order: 9).rawValue
    // A frame inside of a huge page is no better than an entry that is different.
    let compared = looked | 511 << 32
    let added: UInt64 = isPin ? 512 | 512 << 32 : 512
    let (mapping, mask) = (UInt64(owner.mapping), UInt64(owner.mask))
    var done = 0
    while done < count {
      let raw = part[done]
      let block = Int(truncatingIfNeeded: raw >> 41)
      if block >= limit { return done }
      let state = states[block]
      // References and pins at once; references that are used up show in the top bit of their sum.
      let counts = records.pair(block, offset: LargeFolioCounts.countsOffset) &+ added
      let identity = records.pair(block, offset: LargeFolioCounts.identityOffset)
      // All that may be wrong with a leaf in one number: a branch for each took as long as the rest.
      let wrong =
        (raw & compared) ^ wanted
        | (identity ^ mapping) & mask
        | counts & 0x8000_0000
        | UInt64((state ^ whole) & 0xFF)
        | UInt64(refused &>> UInt16(types[block]) & 1)
      if wrong != 0 { return done }
      records.setPair(block, offset: LargeFolioCounts.countsOffset, counts)
      states[block] = state | accessed
      out.store(
        SIMD2<UInt32>(wholeRun, UInt32(truncatingIfNeeded: raw >> 32)), at: 2 &* done)
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
    let limit = min(classes.types.count, states.count)
    let types = classes.types.slice(0, limit)
    let states = states.slice(0, limit)
    let refused = classes.refused
    var previous = previous
    var done = 0
    while done < count {
      let run = part[2 &* done]
      let pfn = part[2 &* done &+ 1]
      let block = Int(truncatingIfNeeded: pfn >> 9)
      if block >= limit || block == previous { break }
      let wrong =
        run ^ wholeRun | pfn & 511 | (states[block] ^ whole) & 0xFF
        | UInt32(refused &>> UInt16(types[block]) & 1)
      if wrong != 0 { break }
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
    let limit = min(states.count, records.count)
    let states = states.slice(0, limit)
    let records = records.slice(0, limit)
    var done = 0
    while done < count {
      let pfn = part[2 &* done &+ 1]
      let block = Int(truncatingIfNeeded: pfn >> 9)
      if block >= limit { break }
      if part[2 &* done] ^ wholeRun | pfn & 511 | (states[block] ^ whole) & 0xFF != 0 { break }
      let references = records[block].references
      if references <= 512 || records[block].pins < pins { break }
      records[block].references = references &- 512
      records[block].pins &-= pins
      done &+= 1
    }
    return done
  }
}

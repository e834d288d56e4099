// The loops over huge pages. A run of a whole huge page is two words: its length with the top bit, and
// its first frame. Pageblocks that follow each other, up or down, go four at a time: 1.0 instead of 2.5 ns
// a leaf.

extension PinLoop {
  private static let wholeRun = PinWords.runBit | 512

  /// Which way pageblocks follow each other of which the first and the eighth are seven apart: 1, -1, or 0.
  ///
  /// Memory that was freed before comes the other way round.
  @inline(__always)
  private static func direction(_ first: UInt64, _ eighth: UInt64, shift: UInt64) -> Int {
    switch Int(truncatingIfNeeded: eighth &>> shift) &- Int(truncatingIfNeeded: first &>> shift) {
    case 7: 1
    case -7: -1
    default: 0
    }
  }

  /// The words of four huge pages from a pageblock on.
  @inline(__always)
  private static func runWords(_ block: Int, _ step: Int) -> SIMD8<UInt32> {
    let frames =
      SIMD4<UInt32>(0, 512, 1024, 1536) &* UInt32(truncatingIfNeeded: step)
      &+ UInt32(truncatingIfNeeded: block) << 9
    return SIMD8<UInt32>(
      wholeRun, frames[0], wholeRun, frames[1], wholeRun, frames[2], wholeRun, frames[3])
  }

  /// What the words of the next four have more.
  @inline(__always)
  private static func runStep(_ step: Int) -> SIMD8<UInt32> {
    SIMD8<UInt32>(0, 2048, 0, 2048, 0, 2048, 0, 2048) &* UInt32(truncatingIfNeeded: step)
  }

  /// Pins folios of one owner, each a pageblock and shown whole by one leaf, as long as they follow each
  /// other up or down and entries are exactly as wanted; two words each.
  ///
  /// - Returns: How many leaves; 0 when fewer than eight follow each other.
  @inline(never)
  static func pinLeafRun(
    _ entries: ArenaView<UInt64>, from slot: Int, count: Int, looked: UInt64, wanted: UInt64,
    _ classes: PinClasses, _ states: ArenaView<UInt32>, _ records: ArenaView<LargeFolioCounts>,
    _ owner: PinOwner, into words: ArenaView<UInt32>, at position: Int, isPin: Bool,
    accessed: UInt32
  ) -> Int {
    guard count >= shortestRun else { return 0 }
    let first = entries[slot]
    let step = direction(first, entries[slot &+ shortestRun &- 1], shift: 41)
    let block = Int(truncatingIfNeeded: first >> 41)
    let limit = min(classes.types.count, states.count, records.count)
    guard step != 0, block < limit else { return 0 }
    let type = classes.types[block]
    if classes.refused &>> UInt16(type) & 1 != 0 { return 0 }
    let room = min(count, step > 0 ? limit &- block : block &+ 1)
    let part = entries.slice(slot, room)
    let types = classes.types.slice(0, limit)
    let states = states.slice(0, limit)
    let records = records.slice(0, limit)
    let out = words.slice(position, 2 &* room)
    // Each entry shows the first frame of its pageblock.
    let compared = SIMD4<UInt64>(repeating: looked | 0xFFFF_FFFF_0000_0000)
    let next = UInt64(truncatingIfNeeded: step) &<< 41
    var expected =
      SIMD4<UInt64>(0, next, 2 &* next, 3 &* next)
      &+ (UInt64(truncatingIfNeeded: block) << 41 | wanted)
    let sameType = 0x0101_0101 &* UInt32(type)
    let whole = SIMD4<UInt32>(repeating: FrameState(.allocated, order: 9).rawValue & 0xFF)
    // Four records are six pairs of numbers: references and pins stand in the first of the first, in the
    // second of the second, and so on every three pairs; mapping and index in the others, and what no
    // pin looks at between them.
    let added: UInt64 = isPin ? 512 | 512 << 32 : 512
    let addedFirst = SIMD2<UInt64>(added, 0)
    let addedSecond = SIMD2<UInt64>(0, added)
    let overflow: UInt64 = 0x8000_0000
    let mask = UInt64(owner.mask)
    let mapping = UInt64(owner.mapping)
    let lookedFirst = SIMD2<UInt64>(overflow, 0)
    let lookedSecond = SIMD2<UInt64>(mask, overflow)
    let lookedThird = SIMD2<UInt64>(0, mask)
    let wantedSecond = SIMD2<UInt64>(mapping, 0)
    let wantedThird = SIMD2<UInt64>(0, mapping)
    var runs = runWords(block, step)
    // The lowest pageblock of the next four.
    var low = step > 0 ? block : block &- 3
    var done = 0
    while done &+ 4 <= room {
      let entry = (part.vector(done, as: SIMD4<UInt64>.self) ^ expected) & compared
      let state = states.vector(low, as: SIMD4<UInt32>.self)
      let a = records.vector(low, offset: 0, as: SIMD2<UInt64>.self) &+ addedFirst
      let b = records.vector(low, offset: 16, as: SIMD2<UInt64>.self) &+ addedSecond
      let c = records.vector(low, offset: 32, as: SIMD2<UInt64>.self)
      let d = records.vector(low, offset: 48, as: SIMD2<UInt64>.self) &+ addedFirst
      let e = records.vector(low, offset: 64, as: SIMD2<UInt64>.self) &+ addedSecond
      let f = records.vector(low, offset: 80, as: SIMD2<UInt64>.self)
      let shape = (state ^ whole) & 0xFF
      let wrong =
        entry.lowHalf | entry.highHalf | ((a | d) & lookedFirst)
        | (((b ^ wantedSecond) | (e ^ wantedSecond)) & lookedSecond)
        | (((c ^ wantedThird) | (f ^ wantedThird)) & lookedThird)
      let shapes = shape.lowHalf | shape.highHalf
      if wrong[0] | wrong[1] | UInt64(shapes[0] | shapes[1])
        | UInt64(types.vector(low, as: UInt32.self) ^ sameType) != 0
      {
        break
      }
      records.store(a, at: low)
      records.store(b, at: low, offset: 16)
      records.store(d, at: low, offset: 48)
      records.store(e, at: low, offset: 64)
      states.store(state | accessed, at: low)
      out.store(runs, at: 2 &* done)
      expected = expected &+ 4 &* next
      runs = runs &+ runStep(step)
      low = low &+ 4 &* step
      done &+= 4
    }
    return done
  }

  /// Pins folios of one owner, each a pageblock and shown whole by one leaf, as long as entries are
  /// exactly as wanted, up to the next run; two words each.
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
      // Looked for now and then, so that the search costs nothing where there is none.
      if done & 15 == 15, done &+ shortestRun <= count,
        direction(raw, part[done &+ shortestRun &- 1], shift: 41) != 0
      {
        return done
      }
      let block = Int(truncatingIfNeeded: raw >> 41)
      if block >= limit { return done }
      let state = states[block]
      // References and pins at once; references that are used up show in the top bit of their sum.
      let counts = records.vector(block, as: UInt64.self) &+ added
      let identity = records.vector(block, offset: 16, as: UInt64.self)
      // All that may be wrong with a leaf in one number: a branch for each took as long as the rest.
      let wrong =
        (raw & compared) ^ wanted
        | (identity ^ mapping) & mask
        | counts & 0x8000_0000
        | UInt64((state ^ whole) & 0xFF)
        | UInt64(refused &>> UInt16(types[block]) & 1)
      if wrong != 0 { return done }
      records.store(counts, at: block)
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
      if done & 15 == 0, count &- done >= shortestRun {
        let passed = countAllowedLeafRun(part, from: done, count: count, types, states, refused)
        if passed > 0 {
          done &+= passed
          previous = Int(truncatingIfNeeded: part[2 &* done &- 1] >> 9)
          continue
        }
      }
      let wrong =
        run ^ wholeRun | pfn & 511 | (states[block] ^ whole) & 0xFF
        | UInt32(refused &>> UInt16(types[block]) & 1)
      if wrong != 0 { break }
      previous = block
      done &+= 1
    }
    return done
  }

  /// The part of ``countAllowedLeaves(_:at:count:_:_:previous:)`` in which pageblocks follow each other,
  /// four at a time.
  @inline(__always)
  private static func countAllowedLeafRun(
    _ part: ArenaSlice<UInt32>, from first: Int, count: Int, _ types: ArenaSlice<UInt8>,
    _ states: ArenaSlice<UInt32>, _ refused: UInt16
  ) -> Int {
    let frame = UInt64(part[2 &* first &+ 1])
    let step = direction(frame, UInt64(part[2 &* (first &+ shortestRun) &- 1]), shift: 9)
    let block = Int(truncatingIfNeeded: frame >> 9)
    let limit = min(types.count, states.count)
    guard step != 0, block < limit else { return 0 }
    let type = types[block]
    if refused &>> UInt16(type) & 1 != 0 { return 0 }
    let room = min(count &- first, step > 0 ? limit &- block : block &+ 1)
    let sameType = 0x0101_0101 &* UInt32(type)
    let whole = SIMD4<UInt32>(repeating: FrameState(.allocated, order: 9).rawValue & 0xFF)
    var runs = runWords(block, step)
    var low = step > 0 ? block : block &- 3
    var done = 0
    while done &+ 4 <= room {
      let run = part.vector(2 &* (first &+ done), as: SIMD8<UInt32>.self) ^ runs
      let shape = (states.vector(low, as: SIMD4<UInt32>.self) ^ whole) & 0xFF
      let wrong = run.lowHalf | run.highHalf | shape
      let halves = wrong.lowHalf | wrong.highHalf
      if halves[0] | halves[1] | types.vector(low, as: UInt32.self) ^ sameType != 0 { break }
      runs = runs &+ runStep(step)
      low = low &+ 4 &* step
      done &+= 4
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

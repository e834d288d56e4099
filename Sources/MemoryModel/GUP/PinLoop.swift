// The loops in which a pin of hundreds of GiB spends its time. They work on views and numbers
// alone, and each does one thing: a loop that also tested, counted and wrote had so many
// instructions a page that the processor waited for one frame's record at a time (85 ns a page in
// random order; now several misses overlap).

enum PinLoop {
  /// How many neighbours make a run: fewer cost as much one by one.
  static let shortestRun = 8
  /// How many pages ahead a record is asked for where nothing else does: about what a wait for memory
  /// takes.
  static let ahead = 32

  /// The frames of entries from `slot` on, as long as each follows the one before and all are exactly
  /// as `wanted`, within one pageblock; empty when there are fewer than eight.
  ///
  /// - Parameter looked: The bits of an entry that are compared.
  @inline(never)
  static func run(
    _ entries: ArenaView<UInt64>, from slot: Int, count: Int, looked: UInt64, wanted: UInt64,
    _ classes: PinClasses
  ) -> PFNRange {
    guard count >= shortestRun else { return PFNRange(0, 0) }
    let first = entries[slot]
    let next: UInt64 = 1 << 32
    // Two loads tell most of the time that there is none.
    guard first & looked == wanted,
      (entries[slot &+ shortestRun &- 1] ^ (first &+ 7 &* next)) >> 32 == 0
    else { return PFNRange(0, 0) }
    let pfn = Int(truncatingIfNeeded: first >> 32)
    if classes.refuses(pfn) { return PFNRange(0, 0) }
    let part = entries.slice(slot, min(count, classes.room(pfn)))
    let mask = SIMD4<UInt64>(repeating: looked | 0xFFFF_FFFF_0000_0000)
    var low = SIMD4<UInt64>(0, next, 2 &* next, 3 &* next) &+ first
    var high = low &+ 4 &* next
    let step = SIMD4<UInt64>(repeating: 8 &* next)
    var done = 0
    while done &+ 8 <= part.count {
      let wrong =
        (part.vector(done, as: SIMD4<UInt64>.self) ^ low)
        | (part.vector(done &+ 4, as: SIMD4<UInt64>.self) ^ high)
      let bits = wrong & mask
      let halves = bits.lowHalf | bits.highHalf
      if halves[0] | halves[1] != 0 { break }
      low = low &+ step
      high = high &+ step
      done &+= 8
    }
    return PFNRange(pfn, pfn &+ done)
  }

  /// Adds references to order-0 folios of one owner whose frames follow each other, and writes the
  /// frames down.
  ///
  /// - Parameter accessed: ``FolioTable/referencedBit``, or 0.
  /// - Returns: How many; fewer than the run has at the first folio of another owner, or whose count
  ///   is used up.
  @inline(never)
  static func add(
    _ run: PFNRange, _ records: ArenaView<FrameCounts>, _ owner: PinOwner, _ bias: UInt32,
    accessed: UInt32, into words: ArenaView<UInt32>, at position: Int
  ) -> Int {
    let part = records.slice(run.start, run.count)
    let out = words.slice(position, run.count)
    // A record is references, mappings, mapping, index. Adding shows a count that is used up in the
    // top bit of the sum; what is left of the mapping says whose the folio is.
    let added = SIMD4<UInt32>(bias, 0, 0, 0)
    let marked = SIMD4<UInt32>(0, accessed, 0, 0)
    let looked = SIMD4<UInt32>(0x8000_0000, 0, owner.mask, 0)
    let wanted = SIMD4<UInt32>(0, 0, owner.mapping, 0)
    var pfns = SIMD4<UInt32>(0, 1, 2, 3) &+ UInt32(truncatingIfNeeded: run.start)
    var done = 0
    while done &+ 4 <= part.count {
      let a = part.vector(done, as: SIMD4<UInt32>.self) &+ added
      let b = part.vector(done &+ 1, as: SIMD4<UInt32>.self) &+ added
      let c = part.vector(done &+ 2, as: SIMD4<UInt32>.self) &+ added
      let d = part.vector(done &+ 3, as: SIMD4<UInt32>.self) &+ added
      let wrong = ((a ^ wanted) | (b ^ wanted) | (c ^ wanted) | (d ^ wanted)) & looked
      if wrong[0] | wrong[2] != 0 { break }
      part.store(a | marked, at: done)
      part.store(b | marked, at: done &+ 1)
      part.store(c | marked, at: done &+ 2)
      part.store(d | marked, at: done &+ 3)
      out.store(pfns, at: done)
      pfns = pfns &+ 4
      done &+= 4
    }
    while done < part.count {
      if !owner.owns(part[done].mapping) || part[done].references > UInt32(Int32.max) - bias {
        break
      }
      part[done].references &+= bias
      part[done].mappings |= accessed
      out[done] = UInt32(truncatingIfNeeded: run.start &+ done)
      done &+= 1
    }
    return done
  }

  /// Copies the frames of entries that are exactly as `wanted` into words, up to the next run, and asks
  /// for their records.
  ///
  /// Where frames lie in random order a record's cache line is what costs. The processor waits for as
  /// many of them at once as it has buffers when nothing depends on them yet; in one loop that also
  /// tests and writes it waited for a few (40 instead of 10 ns a page; 22 in two loops that do not ask).
  ///
  /// - Returns: How many; fewer than `count` at the first entry that is different.
  @inline(never)
  static func copyFrames(
    _ entries: ArenaView<UInt64>, from slot: Int, count: Int, looked: UInt64, wanted: UInt64,
    _ classes: PinClasses, _ records: ArenaView<FrameCounts>, into words: ArenaView<UInt32>,
    at position: Int
  ) -> Int {
    let part = entries.slice(slot, count)
    let out = words.slice(position, count)
    var done = 0
    while done < count {
      let raw = part[done]
      if raw & looked != wanted { return done }
      let pfn = Int(truncatingIfNeeded: raw >> 32)
      if classes.refuses(pfn) { return done }
      // Looked for now and then, so that the search costs nothing where there is none.
      if done & 15 == 15, done &+ shortestRun <= count,
        (part[done &+ shortestRun &- 1] ^ (raw &+ 7 << 32)) >> 32 == 0
      {
        return done
      }
      records.prefetch(pfn)
      out[done] = UInt32(truncatingIfNeeded: pfn)
      done &+= 1
    }
    return done
  }

  /// How many entries from `slot` on are exactly as wanted, in pageblocks that are not refused.
  @inline(never)
  static func countPlain(
    _ entries: ArenaView<UInt64>, from slot: Int, count: Int, looked: UInt64, wanted: UInt64,
    _ classes: PinClasses
  ) -> Int {
    let part = entries.slice(slot, count)
    var done = 0
    while done < count {
      let raw = part[done]
      if raw & looked != wanted || classes.refuses(Int(raw >> 32)) { return done }
      done &+= 1
    }
    return done
  }

  /// Adds references to order-0 folios of one owner.
  ///
  /// - Parameter accessed: ``FolioTable/referencedBit``, or 0.
  /// - Returns: How many; fewer than `count` at the first folio of another owner, or whose count is
  ///   used up.
  @inline(never)
  static func add(
    _ records: ArenaView<FrameCounts>, _ words: ArenaView<UInt32>, at position: Int, count: Int,
    _ owner: PinOwner, _ bias: UInt32, accessed: UInt32
  ) -> Int {
    let part = words.slice(position, count)
    // A record as two numbers: references and mappings, mapping and index. Adding shows a count that is
    // used up in the top bit of the sum.
    let added = UInt64(bias)
    let marked = UInt64(accessed) << 32
    let (wanted, mask) = (UInt64(owner.mapping), UInt64(owner.mask))
    var done = 0
    while done < count {
      let pfn = Int(part[done])
      let record = records.vector(pfn, as: SIMD2<UInt64>.self)
      let counts = record[0] &+ added
      if counts & 0x8000_0000 | (record[1] ^ wanted) & mask != 0 { return done }
      records.store(SIMD2<UInt64>(counts | marked, record[1]), at: pfn)
      done &+= 1
    }
    return done
  }

  /// Passes over order-0 folios whose pageblocks are not refused.
  ///
  /// - Returns: How many words; fewer than `count` at a run or at a refused pageblock.
  @inline(never)
  static func countAllowed(
    _ words: ArenaView<UInt32>, at position: Int, count: Int, _ classes: PinClasses
  ) -> Int {
    let part = words.slice(position, count)
    var done = 0
    while done < count {
      let word = part[done]
      if word >= PinWords.runBit || classes.refuses(Int(word)) { return done }
      let room = min(count &- done, classes.room(Int(word)))
      guard room >= shortestRun, part[done &+ shortestRun &- 1] == word &+ 7 else {
        done &+= 1
        continue
      }
      // Neighbours of one pageblock are allowed together.
      let end = done &+ room
      var expected = SIMD8<UInt32>(0, 1, 2, 3, 4, 5, 6, 7) &+ word
      let first = done
      while done &+ 8 <= end {
        let wrong = part.vector(done, as: SIMD8<UInt32>.self) ^ expected
        let halves = wrong.lowHalf | wrong.highHalf
        let quarters = halves.lowHalf | halves.highHalf
        if quarters[0] | quarters[1] != 0 { break }
        expected = expected &+ 8
        done &+= 8
      }
      if done == first { done &+= 1 }
    }
    return done
  }

  /// Words from `position` on whose pages lie one behind the other, all anonymous, alike in state, on
  /// an LRU list, refused by their pageblock and held by their mappings and one pin alone.
  @inline(never)
  static func isolatable(
    _ words: ArenaView<UInt32>, at position: Int, count: Int, _ classes: PinClasses,
    _ states: ArenaView<UInt32>, _ records: ArenaView<FrameCounts>
  ) -> PFNRun {
    let first = words[position]
    if first >= PinWords.runBit { return PFNRun(PFN(0), count: 0) }
    let state = states[Int(first)]
    // Kind, order, LRU; not hugetlb.
    guard state & 0x1FF == 0x103,
      FrameState(rawValue: state).flags.isDisjoint(with: [.hugetlb, .isolated])
    else { return PFNRun(PFN(0), count: 0) }
    var step = 1
    if count > 1, Int(words[position + 1]) == Int(first) - 1 { step = -1 }
    var done = 0
    while done < count {
      let word = words[position &+ done]
      let pfn = Int(first) &+ done &* step
      if Int(word) != pfn || !classes.refuses(pfn) || states[pfn] != state { break }
      let counts = records[pfn]
      if counts.mapping < 0x8000_0000
        || counts.references
          != counts.mappings & FolioTable.mappingsMask &+ UInt32(FolioTable.pinBias)
      {
        break
      }
      done &+= 1
    }
    return PFNRun(PFN(first), count: done, descending: step < 0 && done > 1)
  }

  /// Drops references to order-0 folios as long as others remain.
  ///
  /// - Returns: How many words were done; fewer than `count` at a run, or at a folio that would be
  ///   freed.
  @inline(never)
  static func drop(
    _ records: ArenaView<FrameCounts>, _ words: ArenaView<UInt32>, at position: Int, count: Int,
    _ bias: UInt32
  ) -> Int {
    let part = words.slice(position, count)
    var done = 0
    while done < count {
      let word = part[done]
      if word >= PinWords.runBit { return done }
      if done & 7 == 0, done &+ shortestRun <= count, part[done &+ shortestRun &- 1] == word &+ 7 {
        let dropped = dropRun(records, part, from: done, count: count, bias)
        done &+= dropped
        if dropped > 0 { continue }
      }
      if done &+ ahead < count { records.prefetch(Int(part[done &+ ahead])) }
      let references = records[Int(word)].references
      if references <= bias { return done }
      records[Int(word)].references = references &- bias
      done &+= 1
    }
    return done
  }

  /// The part of ``drop(_:_:at:count:_:)`` in which frames follow each other, four at a time.
  @inline(__always)
  private static func dropRun(
    _ records: ArenaView<FrameCounts>, _ words: ArenaSlice<UInt32>, from first: Int, count: Int,
    _ bias: UInt32
  ) -> Int {
    let start = Int(words[first])
    if start >= records.count { return 0 }
    let room = min(count &- first, records.count &- start)
    let part = records.slice(start, room)
    // One less than what remains has its top bit set when nothing does.
    let dropped = SIMD4<UInt32>(bias, 0, 0, 0)
    let one = SIMD4<UInt32>(1, 0, 0, 0)
    var pfns = SIMD4<UInt32>(0, 1, 2, 3) &+ words[first]
    var done = 0
    while done &+ 4 <= room {
      records.prefetch(start &+ done &+ 2 &* ahead)
      let a = part.vector(done, as: SIMD4<UInt32>.self) &- dropped
      let b = part.vector(done &+ 1, as: SIMD4<UInt32>.self) &- dropped
      let c = part.vector(done &+ 2, as: SIMD4<UInt32>.self) &- dropped
      let d = part.vector(done &+ 3, as: SIMD4<UInt32>.self) &- dropped
      let remains = (a &- one) | (b &- one) | (c &- one) | (d &- one)
      let other = words.vector(first &+ done, as: SIMD4<UInt32>.self) ^ pfns
      let halves = other.lowHalf | other.highHalf
      if remains[0] & 0x8000_0000 | halves[0] | halves[1] != 0 { break }
      part.store(a, at: done)
      part.store(b, at: done &+ 1)
      part.store(c, at: done &+ 2)
      part.store(d, at: done &+ 3)
      pfns = pfns &+ 4
      done &+= 4
    }
    return done
  }
}

/// Which pageblocks a check refuses (rules P3.1, P3.4, P3.52, P3.54).
struct PinClasses {
  /// Of every pageblock, see ``FrameTable/pinClass(_:)``.
  let types: ArenaView<UInt8>
  let pageblockOrder: Int
  /// See ``Machine/refusals(_:)``.
  let refused: UInt16

  @inline(__always)
  func refuses(_ pfn: Int) -> Bool {
    refused &>> UInt16(types[pfn &>> pageblockOrder]) & 1 != 0
  }

  /// The frames from `pfn` to the end of its pageblock.
  @inline(__always)
  func room(_ pfn: Int) -> Int {
    let pages = 1 &<< pageblockOrder
    return pages &- pfn & (pages &- 1)
  }
}

/// Whose folios a loop may take: those of any anonymous region, or those of one file.
struct PinOwner {
  let mapping: UInt32
  let mask: UInt32

  static let anonymous = PinOwner(mapping: 0x8000_0000, mask: 0x8000_0000)

  static func file(_ file: Int) -> PinOwner {
    PinOwner(mapping: MappingID.file(file).rawValue, mask: 0xFFFF_FFFF)
  }

  private init(mapping: UInt32, mask: UInt32) {
    self.mapping = mapping
    self.mask = mask
  }

  @inline(__always)
  func owns(_ mapping: UInt32) -> Bool { mapping & mask == self.mapping }
}

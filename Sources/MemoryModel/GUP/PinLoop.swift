// The loops in which a pin of hundreds of GiB spends its time. They work on views and numbers
// alone, and each does one thing: a loop that also tested, counted and wrote had so many
// instructions a page that the processor waited for one frame's record at a time (85 ns a page in
// random order; now several misses overlap).

enum PinLoop {
  /// Copies the frames of entries that are exactly as `wanted` into words.
  ///
  /// - Parameter looked: The bits of an entry that are compared.
  /// - Parameter refused: Classes of pageblocks at which to stop, see ``Machine/refusals(_:)``.
  /// - Parameter blockOrder: The order of a pageblock.
  /// - Returns: How many; fewer than `count` at the first entry that is different.
  @inline(never)
  static func copyFrames(
    _ entries: ArenaView<UInt64>, from slot: Int, count: Int, looked: UInt64, wanted: UInt64,
    _ classes: ArenaView<UInt8>, refused: UInt16, blockOrder: Int,
    into words: ArenaView<UInt32>, at position: Int
  ) -> Int {
    let shift = UInt32(truncatingIfNeeded: blockOrder)
    let lastOfBlock: UInt32 = 1 << shift - 1
    var done = 0
    // Four neighbours at once where their frames follow each other inside a pageblock: 1 instead of
    // 2 ns a page.
    let low = SIMD4<UInt32>(repeating: UInt32(truncatingIfNeeded: looked))
    let plain = SIMD4<UInt32>(repeating: UInt32(truncatingIfNeeded: wanted))
    while done &+ 4 <= count {
      let raw = entries.vector(slot &+ done, as: SIMD8<UInt32>.self)
      let pfns = raw.oddHalf
      let first = pfns[0]
      let wrong = (raw.evenHalf & low) ^ plain | pfns ^ (SIMD4(0, 1, 2, 3) &+ first)
      let halves = wrong.lowHalf | wrong.highHalf
      if halves[0] | halves[1] != 0 || first & lastOfBlock > lastOfBlock &- 3
        || refused &>> UInt16(classes[Int(first &>> shift)]) & 1 != 0
      {
        break
      }
      words.store(pfns, at: position &+ done)
      done &+= 4
    }
    while done < count {
      let raw = entries[slot &+ done]
      if raw & looked != wanted { return done }
      let pfn = UInt32(truncatingIfNeeded: raw >> 32)
      if refused &>> UInt16(classes[Int(pfn &>> shift)]) & 1 != 0 { return done }
      words[position &+ done] = pfn
      done &+= 1
    }
    return done
  }

  /// Adds references to order-0 folios that anonymous memory owns.
  ///
  /// - Parameter accessed: ``FolioTable/referencedBit``, or 0.
  /// - Returns: How many; fewer than `count` at the first folio of something else, or whose count is
  ///   used up.
  @inline(never)
  static func addToAnonymous(
    _ records: ArenaView<FrameCounts>, _ words: ArenaView<UInt32>, at position: Int, count: Int,
    _ bias: UInt32, accessed: UInt32
  ) -> Int {
    let limit = UInt32(Int32.max) - bias
    var done = 0
    // Records that follow each other, four at once; a record is references, mappings, mapping,
    // index. The top bit of the sum is a count that is used up, that of the mapping says anonymous.
    let added = SIMD4<UInt32>(bias, 0, 0, 0)
    let marked = SIMD4<UInt32>(0, accessed, 0, 0)
    while done &+ 4 <= count {
      let pfns = words.vector(position &+ done, as: SIMD4<UInt32>.self)
      let wrong = pfns ^ (SIMD4(0, 1, 2, 3) &+ pfns[0])
      let halves = wrong.lowHalf | wrong.highHalf
      if halves[0] | halves[1] != 0 { break }
      let pfn = Int(pfns[0])
      let a = records.vector(pfn, as: SIMD4<UInt32>.self) &+ added
      let b = records.vector(pfn &+ 1, as: SIMD4<UInt32>.self) &+ added
      let c = records.vector(pfn &+ 2, as: SIMD4<UInt32>.self) &+ added
      let d = records.vector(pfn &+ 3, as: SIMD4<UInt32>.self) &+ added
      if (a | b | c | d)[0] | ~(a & b & c & d)[2] >= 0x8000_0000 { break }
      records.store(a | marked, at: pfn)
      records.store(b | marked, at: pfn &+ 1)
      records.store(c | marked, at: pfn &+ 2)
      records.store(d | marked, at: pfn &+ 3)
      done &+= 4
    }
    while done < count {
      let pfn = Int(words[position &+ done])
      var counts = records[pfn]
      if counts.mapping < 0x8000_0000 || counts.references > limit { return done }
      counts.references &+= bias
      counts.mappings |= accessed
      records[pfn] = counts
      done &+= 1
    }
    return done
  }

  /// Pins anonymous folios of a pageblock, each shown whole by one leaf, as long as entries are
  /// exactly as wanted; two words each.
  ///
  /// - Returns: How many leaves.
  @inline(never)
  static func pinLeaves(
    _ entries: ArenaView<UInt64>, from slot: Int, count: Int, looked: UInt64, wanted: UInt64,
    _ classes: ArenaView<UInt8>, refused: UInt16, _ states: ArenaView<UInt32>,
    _ records: ArenaView<LargeFolioCounts>, into words: ArenaView<UInt32>, at position: Int,
    isPin: Bool, accessed: UInt32
  ) -> Int {
    let whole = FrameState(.allocated, order: 9).rawValue
    let pins: UInt32 = isPin ? 512 : 0
    var done = 0
    while done < count {
      let raw = entries[slot &+ done]
      let pfn = UInt32(truncatingIfNeeded: raw >> 32)
      let block = Int(pfn >> 9)
      if raw & looked != wanted || pfn & 511 != 0
        || refused &>> UInt16(classes[block]) & 1 != 0
      {
        return done
      }
      let state = states[block]
      if state & 0xFF != whole { return done }
      var counts = records[block]
      if counts.mapping < 0x8000_0000 || counts.references > UInt32(Int32.max) - 512 { return done }
      counts.references &+= 512
      counts.pins &+= pins
      records[block] = counts
      if state & accessed != accessed { states[block] = state | accessed }
      words[position &+ 2 &* done] = PinWords.runBit | 512
      words[position &+ 2 &* done &+ 1] = pfn
      done &+= 1
    }
    return done
  }

  /// Passes over order-0 folios whose pageblocks are not refused.
  ///
  /// - Returns: How many words; fewer than `count` at a run or at a refused pageblock.
  @inline(never)
  static func countAllowed(
    _ words: ArenaView<UInt32>, at position: Int, count: Int, _ classes: ArenaView<UInt8>,
    refused: UInt16, blockOrder: Int
  ) -> Int {
    let shift = UInt32(truncatingIfNeeded: blockOrder)
    var done = 0
    while done < count {
      let word = words[position &+ done]
      if word >= PinWords.runBit || refused &>> UInt16(classes[Int(word &>> shift)]) & 1 != 0 {
        return done
      }
      done &+= 1
    }
    return done
  }

  /// Words from `position` on whose pages lie one behind the other, all anonymous, alike in state, on
  /// an LRU list, refused by their pageblock and held by their mappings and one pin alone.
  @inline(never)
  static func isolatable(
    _ words: ArenaView<UInt32>, at position: Int, count: Int, _ classes: ArenaView<UInt8>,
    refused: UInt16, blockOrder: Int, _ states: ArenaView<UInt32>,
    _ records: ArenaView<FrameCounts>
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
      if Int(word) != pfn || refused &>> UInt16(classes[pfn &>> blockOrder]) & 1 == 0
        || states[pfn] != state
      {
        break
      }
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
    var done = 0
    while done < count {
      let word = words[position &+ done]
      if word >= PinWords.runBit { return done }
      let references = records[Int(word)].references
      if references <= bias { return done }
      records.setReferences(Int(word), references &- bias)
      done &+= 1
    }
    return done
  }
}

extension ArenaView<FrameCounts> {
  @inline(__always)
  fileprivate func setReferences(_ index: Int, _ references: UInt32) {
    var counts = self[index]
    counts.references = references
    self[index] = counts
  }
}

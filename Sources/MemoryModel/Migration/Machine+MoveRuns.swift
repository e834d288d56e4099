// Invariant: the state after ``Machine/moveBatch(_:_:_:)`` is the state after the same folios'
// single steps, byte for byte, when nothing else happens in between.
//
// Why it can be: a batch first allocates all destinations, then frees all sources (rule P4.3). What
// lies between concerns the folios alone and the LRU batch, whose flushes free nothing here.

/// What came of moving a whole batch at once.
package enum BatchMove: Sendable {
  case moved
  /// Nothing happened: a folio of it needs the long way.
  case notPlain
  /// Only these destinations were to be had, in the order of the folios; nothing else happened.
  case refused([PFN])
}

/// Neighbours of a list that move alike: consecutive entries of one page table show them.
private struct MoveSegment {
  let count: Int
  /// The entry of the first one; the others' follow, or precede it.
  let slot: Int
  let isDescending: Bool
  /// The sources' state, and the flags that their entries have in common.
  let state: FrameState
  let isDirty: Bool
  let mapping: MappingID
  let index: Int
  let accessed: UInt32
  /// The place of the first one in the cache of its file, of shmem.
  let cacheSlot: Int?
}

extension Machine {
  /// Moves isolated folios of order 0, each mapped once, to new frames.
  ///
  /// Kernel: `migrate_pages_batch()`, mm/migrate.c; m1 to m13 of rule P10.3 for each.
  ///
  /// - Parameter range: The part of `list` that is the batch.
  package mutating func moveBatch(
    _ list: [PFN], _ range: Range<Int>, _ target: MigrationTarget
  ) -> BatchMove {
    guard handlesRuns, failAllocation == 0, target.reason != .compaction, !target.leavesNode,
      !foreign.isWaiting, mayQueueRuns,
      let segments = plainSegments(list, range)
    else { return .notPlain }
    guard let destinations = allocateTargets(list, range, target) else { return .notPlain }
    let allocated = destinations.reduce(0) { $0 + $1.count }
    if allocated < range.count {
      return .refused(destinations.flatMap { run in (0..<run.count).map { run[$0] } })
    }

    // m3 to m12: entries, identities, map counts.
    var next = 0
    var rest = destinations[0]
    var runs: [PFNRun] = []
    for segment in segments {
      runs.removeAll(keepingCapacity: true)
      var done = 0
      while done < segment.count {
        if rest.isEmpty {
          next += 1
          rest = destinations[next]
        }
        let piece = rest.prefix(segment.count - done)
        rest = rest.dropFirst(piece.count)
        runs.append(piece)
        // Tables and caches are written in their own order.
        let shown = segment.isDescending ? piece.reversed : piece
        let offset = segment.isDescending ? 1 - done - piece.count : done
        pageTables.move(segment.slot + offset, to: shown)
        if let slot = segment.cacheSlot { pageCache.show(shown, from: slot + offset) }
        countMoved(piece, isFile: segment.cacheSlot != nil, 1)
        done += piece.count
      }
      var state = FrameState(.allocated, order: 0)
      state.owner = segment.state.owner
      state.flags = segment.state.flags.intersection(.carriedByMigration).union(.folio)
      if segment.isDirty { state.flags.insert(.dirty) }
      queueNew(
        runs, state, segment.mapping, index: segment.index,
        descendingIndex: segment.isDescending,
        references: segment.cacheSlot == nil ? 1 : 2, accessed: segment.accessed)
    }
    // m13.
    var position = range.lowerBound
    for segment in segments {
      let end = position + segment.count
      while position < end {
        let run = run(of: list, position..<end)
        position += run.count
        var left = run
        while !left.isEmpty {
          let piece = frames.zonePrefix(of: left)
          countMoved(piece, isFile: segment.cacheSlot != nil, -1)
          count(.isolatedAnon, -piece.count, at: piece.first)
          freeFolios(piece)
          left = left.dropFirst(piece.count)
        }
      }
    }
    return .moved
  }

  private mutating func countMoved(_ run: PFNRun, isFile: Bool, _ sign: Int) {
    var left = run
    while !left.isEmpty {
      let piece = frames.zonePrefix(of: left)
      let pages = sign * piece.count
      count(isFile ? .fileMapped : .anonMapped, pages, at: piece.first)
      if isFile && nodeCount > 1 {
        count(.filePages, pages, at: piece.first)
        count(.shmem, pages, at: piece.first)
      }
      left = left.dropFirst(piece.count)
    }
  }

  /// The frames at the beginning of a part of a list that follow each other.
  func run(of list: [PFN], _ range: Range<Int>) -> PFNRun {
    let first = list[range.lowerBound].index
    var step = 1
    var count = 1
    if range.count > 1, list[range.lowerBound + 1].index == first - 1 { step = -1 }
    while count < range.count, list[range.lowerBound + count].index == first + count * step {
      count += 1
    }
    return PFNRun(PFN(first), count: count, descending: step < 0 && count > 1)
  }

  /// Destinations in the order of the folios, fewer when the memory ends; nil when the first is not
  /// to be asked for in runs.
  private mutating func allocateTargets(
    _ list: [PFN], _ range: Range<Int>, _ target: MigrationTarget
  ) -> [PFNRun]? {
    var runs: [PFNRun] = []
    var position = range.lowerBound
    while position < range.upperBound {
      guard let zone = frames.zone(of: list[position]) else { return nil }
      var end = position + 1
      while end < range.upperBound, frames.zone(of: list[end]) == zone { end += 1 }
      var gfp = target.gfp.union(.comp)
      if zoneTable[zone].index == .movable { gfp.insert(.highMem) }
      let refusal = allocateRuns(
        count: end - position, gfp: gfp, node: target.node ?? zoneTable[zone].node,
        inPinScope: target.inPinScope, into: &runs)
      if refusal != nil { break }
      position = end
    }
    return runs
  }

  /// The batch in segments; nil when one of its folios is not plain.
  private mutating func plainSegments(_ list: [PFN], _ range: Range<Int>) -> [MoveSegment]? {
    var segments: [MoveSegment] = []
    var position = range.lowerBound
    while position < range.upperBound {
      let pfn = list[position]
      let counts = folios.frames[pfn.index]
      let state = frames.head(pfn)
      let mapping = MappingID(rawValue: counts.mapping)
      let index = Int(counts.index)
      guard state.kind == .allocated, state.order == 0, !state.isLRU, !state.isDriverMovable,
        state.flags.isSuperset(of: [.folio, .isolated, .swapBacked]),
        state.flags.isDisjoint(with: .notPlainToMove),
        counts.mappings & FolioTable.mappingsMask == 1,
        let place = plainPlace(mapping, index: index),
        counts.references == (mapping.isFile ? 3 : 2)
      else { return nil }
      let (space, page, area) = place
      guard let slot = pageTables.slot(spaces[space].root, page: page, level: .pte) else {
        return nil
      }
      // A contiguous allocation lists what it found last first.
      let isDescending =
        position + 1 < range.upperBound
        && Int(folios.frames[list[position + 1].index].index) == index - 1
      let inTable = isDescending ? page & 511 + 1 : 512 - page & 511
      let inArea = isDescending ? page - area.start + 1 : area.end - page
      var limit = min(range.upperBound - position, inTable, inArea)
      var cached: Int?
      if let file = mapping.fileIndex {
        guard let found = cacheSlot(file, page: index) else { return nil }
        cached = found
        limit = min(limit, isDescending ? index & 511 + 1 : 512 - index & 511)
      }
      let count = MoveLoop.alike(
        list, from: position, count: limit, frames.stateView(), folios.frames.view(),
        pageTables.entries.view(), slot: slot, step: isDescending ? -1 : 1)
      if count == 0 { return nil }
      segments.append(
        MoveSegment(
          count: count, slot: slot, isDescending: isDescending, state: state,
          isDirty: pageTables[slot].flags.contains(.dirty), mapping: mapping,
          index: index, accessed: counts.mappings & FolioTable.referencedBit, cacheSlot: cached))
      position += count
    }
    return segments
  }

  /// Where a page of a mapping shows if it shows at one place: of anonymous memory and shmem that one
  /// process maps.
  private func plainPlace(
    _ mapping: MappingID, index: Int
  ) -> (space: Int, page: Int, area: MemoryArea)? {
    if let region = mapping.region {
      guard regions[region].spaces.count == 1 else { return nil }
      let space = regions[region].spaces[0]
      let page = regions[region].base + index
      guard spaces[space].isAlive, let area = spaces[space].area(page),
        !area.flags.contains(.locked)
      else { return nil }
      return (space, page, area)
    }
    guard let file = mapping.fileIndex, files[file].kind == .shmem, files[file].spaces.count == 1
    else { return nil }
    let space = files[file].spaces[0]
    guard spaces[space].isAlive else { return nil }
    for area in spaces[space].areas where area.file == file {
      let page = area.start + index - area.filePage(area.start)
      // The first area that could show the page; whether it does, its entry tells.
      if area.contains(page) { return area.flags.contains(.locked) ? nil : (space, page, area) }
    }
    return nil
  }
}

extension FrameState.Flags {
  /// What a migration carries over to the new folio.
  ///
  /// Kernel: `folio_migrate_flags()`.
  static let carriedByMigration: Self = [
    .dirty, .active, .swapBacked, .referenced, .unevictable, .written, .hugetlb,
  ]
  fileprivate static let notPlainToMove: Self = [
    .locked, .writeback, .hugetlb, .mlocked, .partiallyMapped, .unevictable,
  ]
}

enum MoveLoop {
  /// The folios of order 0 at the beginning of a part of a list that follow each other, are in the
  /// state of the first one, and have more than one reference.
  ///
  /// In one pass, because every call looks at what is left of a list of millions.
  @inline(never)
  static func isolated(
    _ list: ArraySlice<PFN>, _ states: ArenaView<UInt32>, _ records: ArenaView<FrameCounts>
  ) -> PFNRun {
    let start = list.startIndex
    let first = list[start].index
    let state = states[first]
    var step = 1
    if list.count > 1, list[start + 1].index == first - 1 { step = -1 }
    var count = 0
    while count < list.count {
      let pfn = first &+ count &* step
      // Four records are a cache line.
      if count & 3 == 0 { records.prefetch(pfn &+ 2 &* PinLoop.ahead &* step) }
      if list[start &+ count].index != pfn || states[pfn] != state
        || records[pfn].references < 2
      {
        break
      }
      count &+= 1
    }
    return PFNRun(PFN(first), count: count, descending: step < 0 && count > 1)
  }

  /// How many folios from `position` on are like the first one and shown by consecutive present
  /// entries from `slot` on, up or down; 0 when the first entry does not show the first folio.
  @inline(never)
  static func alike(
    _ list: [PFN], from position: Int, count: Int, _ states: ArenaView<UInt32>,
    _ records: ArenaView<FrameCounts>, _ entries: ArenaView<UInt64>, slot: Int, step: Int
  ) -> Int {
    let looked = UInt64(
      PageTableEntry.Flags([.present, .special, .part, .device, .migration, .dirty]).rawValue)
    let dirty = UInt64(PageTableEntry.Flags.dirty.rawValue)
    let wanted =
      UInt64(PageTableEntry.Flags.present.rawValue) | entries[slot] & dirty
    let change = UInt32(truncatingIfNeeded: step)
    let state = states[list[position].index]
    var expected = records[list[position].index]
    for done in 0..<count {
      let pfn = list[position + done].index
      let raw = entries[slot + done * step]
      if raw & looked != wanted || raw >> 32 != UInt64(pfn) || states[pfn] != state
        || records[pfn] != expected
      {
        return done
      }
      expected.index &+= change
    }
    return count
  }
}

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
  let slot: Int
  /// The sources' state, and the flags that their entries have in common.
  let state: FrameState
  let isDirty: Bool
  let mapping: MappingID
  let index: Int
  let accessed: UInt32
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
    guard handlesRuns, failAllocation == 0, target.reason != .compaction, mayQueueRuns,
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
    for segment in segments {
      var runs: [PFNRun] = []
      var left = segment.count
      var slot = segment.slot
      while left > 0 {
        if rest.isEmpty {
          next += 1
          rest = destinations[next]
        }
        let piece = rest.prefix(left)
        rest = rest.dropFirst(piece.count)
        pageTables.move(slot, to: piece)
        runs.append(piece)
        slot += piece.count
        left -= piece.count
        countMoved(piece, .anonMapped, 1)
      }
      var state = FrameState(.allocated, order: 0)
      state.owner = segment.state.owner
      state.flags = segment.state.flags.intersection(.carriedByMigration).union(.folio)
      if segment.isDirty { state.flags.insert(.dirty) }
      queueNew(
        runs, state, segment.mapping, index: segment.index, references: 1,
        accessed: segment.accessed)
    }
    // m13.
    var position = range.lowerBound
    while position < range.upperBound {
      let run = run(of: list, position..<range.upperBound)
      position += run.count
      var left = run
      while !left.isEmpty {
        let piece = frames.zonePrefix(of: left)
        count(.anonMapped, -piece.count, at: piece.first)
        count(.isolatedAnon, -piece.count, at: piece.first)
        freeFolios(piece)
        left = left.dropFirst(piece.count)
      }
    }
    return .moved
  }

  private mutating func countMoved(_ run: PFNRun, _ item: NodeItem, _ sign: Int) {
    var left = run
    while !left.isEmpty {
      let piece = frames.zonePrefix(of: left)
      count(item, sign * piece.count, at: piece.first)
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
      guard state.kind == .allocated, state.order == 0, !state.isLRU, !state.isDriverMovable,
        state.flags.isSuperset(of: [.folio, .isolated, .swapBacked]),
        state.flags.isDisjoint(with: .notPlainToMove), counts.references == 2,
        counts.mappings & FolioTable.mappingsMask == 1,
        let region = mapping.region, regions[region].spaces.count == 1
      else { return nil }
      let space = regions[region].spaces[0]
      let page = regions[region].base + Int(counts.index)
      guard spaces[space].isAlive, let area = spaces[space].area(page),
        !area.flags.contains(.locked),
        let slot = pageTables.slot(spaces[space].root, page: page, level: .pte)
      else { return nil }
      let limit = min(range.upperBound - position, 512 - page & 511, area.end - page)
      let count = MoveLoop.alike(
        list, from: position, count: limit, frames.stateView(), folios.frames.view(),
        pageTables.entries.view(), slot: slot)
      if count == 0 { return nil }
      segments.append(
        MoveSegment(
          count: count, slot: slot, state: state,
          isDirty: pageTables[slot].flags.contains(.dirty), mapping: mapping,
          index: Int(counts.index), accessed: counts.mappings & FolioTable.referencedBit))
      position += count
    }
    return segments
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
  /// How many folios from `position` on are like the first one and shown by consecutive present
  /// entries from `slot` on; 0 when the first entry does not show the first folio.
  @inline(never)
  static func alike(
    _ list: [PFN], from position: Int, count: Int, _ states: ArenaView<UInt32>,
    _ records: ArenaView<FrameCounts>, _ entries: ArenaView<UInt64>, slot: Int
  ) -> Int {
    let looked = UInt64(
      PageTableEntry.Flags([.present, .special, .part, .device, .migration, .dirty]).rawValue)
    let dirty = UInt64(PageTableEntry.Flags.dirty.rawValue)
    let wanted =
      UInt64(PageTableEntry.Flags.present.rawValue) | entries[slot] & dirty
    let state = states[list[position].index]
    var expected = records[list[position].index]
    for done in 0..<count {
      let pfn = list[position + done].index
      let raw = entries[slot + done]
      if raw & looked != wanted || raw >> 32 != UInt64(pfn) || states[pfn] != state
        || records[pfn] != expected
      {
        return done
      }
      expected.index &+= 1
    }
    return count
  }
}

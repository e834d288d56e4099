extension Machine {
  /// The frames of the pageblock of `pfn`, or nil when the zone does not span all of it, so that
  /// its type can never change (rule A3.17, AP.16).
  ///
  /// Kernel: `prep_move_freepages_block()`.
  func wholePageblock(_ zone: Int, _ pfn: PFN) -> PFNRange? {
    let start = pfn.roundedDown(toOrder: geometry.pageblockOrder).index
    let range = PFNRange(start, start + geometry.pageblockPages)
    guard range.start >= zoneTable[zone].start, range.end <= zoneTable[zone].end else {
      return nil
    }
    return range
  }

  /// Moves every free block of a pageblock to the tails of another type's lists and retypes it
  /// (rule A3.17).
  ///
  /// Kernel: `__move_freepages_block()`, mm/page_alloc.c.
  mutating func moveFreePages(
    _ zone: Int, _ pageblock: PFNRange, from old: MigrateType, to new: MigrateType
  ) {
    var at = pageblock.start
    while at < pageblock.end {
      let pfn = PFN(at)
      let state = frames.head(pfn)
      guard state.kind == .free else {
        at += state.kind == .none ? 1 : 1 << state.order
        continue
      }
      removeFree(zone, pfn, order: state.order)
      insertFree(zone, pfn, order: state.order, new, atTail: movesToTail)
      account(zone, -(1 << state.order), old)
      account(zone, 1 << state.order, new)
      at += 1 << state.order
    }
    setPageblockType(PFN(pageblock.start), new)
  }

  /// Moves a free block to the tail of another type's list; no accounting, because counters do not
  /// go by list (rule A9.5).
  ///
  /// Kernel: `move_to_free_list()` up to 6.9.
  mutating func moveToList(_ zone: Int, _ pfn: PFN, order: Int, _ type: MigrateType) {
    removeFree(zone, pfn, order: order)
    insertFree(zone, pfn, order: order, type, atTail: movesToTail)
  }

  /// Whether blocks that are handed over at boot, moved or put back go to the tail of a list (5.10
  /// and later, row a).
  var movesToTail: Bool { !kernel.insertsAtHead }

  /// Moves every free block of a pageblock to another type's lists, whatever lists they were on.
  mutating func moveAllToLists(_ zone: Int, _ pageblock: PFNRange, _ type: MigrateType) {
    var at = pageblock.start
    while at < pageblock.end {
      let state = frames.head(PFN(at))
      if state.kind == .free { moveToList(zone, PFN(at), order: state.order, type) }
      at += state.kind == .none ? 1 : 1 << state.order
    }
  }

  /// How many pages of a pageblock are free, and how many of the others can move (rule A3.22.5).
  ///
  /// Pages on per-CPU lists count as neither (AP.13).
  func countPages(_ pageblock: PFNRange) -> (free: Int, movable: Int) {
    var free = 0
    var movable = 0
    var at = pageblock.start
    while at < pageblock.end {
      let state = frames.head(PFN(at))
      let pages = state.kind == .none ? 1 : 1 << state.order
      if state.kind == .free {
        free += pages
      } else if state.kind == .allocated && state.isLRU {
        movable += pages
      } else if state.kind == .allocated && state.isDriverMovable {
        // The mark is in each struct page, and drivers mark the first one.
        movable += 1
      }
      at += pages
    }
    return (free, movable)
  }
}

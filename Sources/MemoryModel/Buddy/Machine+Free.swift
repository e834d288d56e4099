extension Machine {
  /// Returns a block to the free lists, merging it with its buddy for as long as the buddy is free
  /// and of the same order (rules A3.8 to A3.10).
  ///
  /// Kernel: `__free_one_page()`, mm/page_alloc.c.
  ///
  /// - Parameter type: The current type of the block's first pageblock.
  /// - Parameter atTail: `FPI_TO_TAIL`: boot and isolation put blocks where they are taken last.
  mutating func freeBlock(
    _ zone: Int, _ start: PFN, order startOrder: Int, _ type: MigrateType, atTail: Bool = false
  ) {
    assert(start.isAligned(toOrder: startOrder), "misaligned block")
    account(zone, 1 << startOrder, type)
    mergeAndInsert(zone, start, order: startOrder, type, atTail: atTail)
  }

  /// ``freeBlock(_:_:order:_:atTail:)`` without the accounting.
  mutating func mergeAndInsert(
    _ zone: Int, _ start: PFN, order startOrder: Int, _ type: MigrateType, atTail: Bool
  ) {
    var pfn = start
    var order = startOrder
    while order < geometry.maxOrder {
      if order == capture.order, isCaptured(zone, pfn, order: order, type) { return }
      let buddy = pfn.buddy(order)
      guard isFreeBuddy(buddy, order: order, of: pfn) else { break }
      var buddyType = type
      if order >= geometry.pageblockOrder {
        buddyType = frames.migrateType(buddy)
        if buddyType != type && !mayMerge(type, buddyType) { break }
      }
      removeFree(zone, buddy, order: order)
      if buddyType != type && kernel.typesFollowPageblocks { setPageblockType(buddy, type) }
      pfn = min(pfn, buddy)
      order += 1
    }
    insertFree(
      zone, pfn, order: order, type,
      atTail: atTail || (order < geometry.maxOrder - 1 && isMergeLikely(pfn, order: order)))
  }

  /// Whether whole pageblocks of two types may become one block (row p).
  ///
  /// Where only isolated ones may not, CMA areas began and ended at the largest block's border, so that
  /// none could merge with its neighbour.
  private func mayMerge(_ type: MigrateType, _ other: MigrateType) -> Bool {
    kernel.mergesAcrossTypes
      ? type != .isolate && other != .isolate && type != .cma && other != .cma
      : type.isMergeable && other.isMergeable
  }

  /// Whether the buddy of the parent block is free, so that the parent may soon be whole and this
  /// block is better left alone (rule A3.10).
  ///
  /// Kernel: `buddy_merge_likely()`.
  private func isMergeLikely(_ pfn: PFN, order: Int) -> Bool {
    let parent = min(pfn, pfn.buddy(order))
    return isFreeBuddy(parent.buddy(order + 1), order: order + 1, of: pfn)
  }

  /// Frees a block past the per-CPU lists (rule A3.12): a block above the order of a pageblock goes
  /// in pieces of one pageblock, whole up to 6.9 (row r).
  ///
  /// Kernel: `free_one_page()`.
  mutating func freeOnePage(_ zone: Int, _ pfn: PFN, order: Int, atTail: Bool = false) {
    freeInPieces(zone, pfn, order: order, atTail: atTail)
    count(.pgfree, 1 << order)
  }

  /// Kernel: `split_large_buddy()`, which counts nothing.
  mutating func freeInPieces(_ zone: Int, _ pfn: PFN, order: Int, atTail: Bool = false) {
    let piece = kernel.typesFollowPageblocks ? min(order, geometry.pageblockOrder) : order
    var at = pfn
    while at.index < pfn.index + 1 << order {
      freeBlock(zone, at, order: piece, frames.migrateType(at), atTail: atTail)
      at = at + (1 << piece)
    }
  }

  /// Kernel: `set_pageblock_migratetype()`, with rule A1.12's effect on small machines.
  mutating func setPageblockType(_ pfn: PFN, _ type: MigrateType) {
    frames.setMigrateType(
      pfn, isMobilityGroupingDisabled && type.isMergeable ? .unmovable : type)
  }

  /// Retypes every pageblock of a block of at least a pageblock's order.
  ///
  /// Kernel: `change_pageblock_range()`.
  mutating func setPageblockTypes(_ pfn: PFN, order: Int, _ type: MigrateType) {
    var at = pfn
    while at.index < pfn.index + 1 << order {
      setPageblockType(at, type)
      at = at + geometry.pageblockPages
    }
  }
}

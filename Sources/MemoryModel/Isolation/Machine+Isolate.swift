// Invariant (I10): `isolatedPageblocks` of a zone is the number of its pageblocks of type Isolate.
// Free pages of such a pageblock are on Isolate lists and in no free counter (rule A6.4).

extension Machine {
  // MARK: One pageblock

  /// Makes one pageblock unusable for new requests (rule A6.1).
  ///
  /// Kernel: `set_migratetype_isolate()`, mm/page_isolation.c.
  ///
  /// - Parameter checked: Only unmovable pages in here, a part of the pageblock, are obstacles.
  /// - Returns: Why not, EBUSY; nil when it is done.
  mutating func setIsolate(
    _ pageblock: PFN, _ mode: IsolationMode, checking checked: PFNRange
  ) -> Refusal? {
    guard let zone = frames.zone(of: pageblock) else {
      return Refusal(.EBUSY, "\(pageblock) is in no zone", rule: "A6.1")
    }
    if frames.migrateType(pageblock) == .isolate {
      return Refusal(
        .EBUSY, "the pageblock at \(pageblock) is isolated by somebody else", rule: "A6.1")
    }
    if let page = firstUnmovable(in: checked, mode) {
      return Refusal(.EBUSY, "\(page) cannot move: \(obstacle(page, mode))", rule: "A6.5")
    }
    let wasHighAtomic = frames.migrateType(pageblock) == .highAtomic
    guard moveFreePagesIsolating(zone, pageblock, to: .isolate) else {
      return Refusal(
        .EBUSY, "the zone does not span the whole pageblock at \(pageblock)", rule: "A3.17")
    }
    zoneTable[zone].isolatedPageblocks += 1
    if wasHighAtomic { zoneTable[zone].lostHighAtomic += geometry.pageblockPages }
    return nil
  }

  private func obstacle(_ page: PFN, _ mode: IsolationMode) -> String {
    if frames.migrateType(page) == .cma { return "its pageblock belongs to a CMA area" }
    guard let block = block(containing: page) else { return "it is reserved since boot" }
    return "it is allocated, and neither on an LRU list nor movable by a driver (order "
      + "\(block.state.order))"
  }

  /// Gives one pageblock back to the allocator (rule A6.11); one that is not isolated stays as it is.
  ///
  /// A free block of a pageblock's order whose buddy is free and not isolated is freed anew, because
  /// only freeing merges. Kernel: `unset_migratetype_isolate()`.
  package mutating func unsetIsolate(_ pageblock: PFN, _ type: MigrateType) {
    guard let zone = frames.zone(of: pageblock), frames.migrateType(pageblock) == .isolate else {
      return
    }
    let state = frames.head(pageblock)
    if state.kind == .free, state.order >= geometry.pageblockOrder,
      state.order < geometry.maxOrder,
      isFreeBuddy(pageblock.buddy(state.order), order: state.order, of: pageblock),
      frames.migrateType(pageblock.buddy(state.order)) != .isolate
    {
      removeFree(zone, pageblock, order: state.order)
      setPageblockType(pageblock, type)
      freeBlock(zone, pageblock, order: state.order, type, atTail: movesToTail)
    } else {
      // Isolating it has succeeded, so the zone spans it.
      _ = moveFreePagesIsolating(zone, pageblock, to: type)
    }
    zoneTable[zone].isolatedPageblocks -= 1
  }

  /// Retypes a pageblock that may be part of a larger free block: that one is taken off its list and
  /// freed in pieces of a pageblock, so that the rest keeps its own type (rule A6.3).
  ///
  /// Kernel: `move_freepages_block_isolate()`, mm/page_alloc.c.
  ///
  /// - Returns: False when the zone does not span the whole pageblock; nothing has changed then.
  mutating func moveFreePagesIsolating(
    _ zone: Int, _ pageblock: PFN, to type: MigrateType
  ) -> Bool {
    guard let range = wholePageblock(zone, pageblock) else { return false }
    let old = frames.migrateType(pageblock)
    let large = largeFreeBlock(covering: pageblock)
    let state = frames.head(large)
    if large != pageblock || (state.kind == .free && state.order > geometry.pageblockOrder) {
      removeFree(zone, large, order: state.order)
      account(zone, -(1 << state.order), frames.migrateType(large))
      setPageblockType(pageblock, type)
      freeInPieces(zone, large, order: state.order)
    } else if kernel.typesFollowPageblocks {
      moveFreePages(zone, range, from: old, to: type)
    } else {
      // Counters go by the pageblock and not by the list, in one update (rule A9.6).
      let free = countPages(range).free
      moveAllToLists(zone, range, type)
      account(zone, -free, old)
      account(zone, free, type)
      setPageblockType(pageblock, type)
    }
    return true
  }

  /// The first frame of the free block that covers `pfn`, or `pfn` itself (rule A6.2).
  ///
  /// The search goes to ever coarser starts and ends at the first free block found, even when that
  /// one does not reach `pfn`. Kernel: `find_large_buddy()`.
  package func largeFreeBlock(covering pfn: PFN) -> PFN {
    for order in 0...geometry.maxOrder {
      let start = pfn.roundedDown(toOrder: order)
      let state = frames.head(start)
      guard state.kind == .free else { continue }
      return start.index + 1 << state.order > pfn.index ? start : pfn
    }
    return pfn
  }

  /// Isolates the first or the last pageblock of a range, and refuses when a block in use lies
  /// across the border of the range (rules A6.6, A6.7).
  ///
  /// Free blocks do not: ``moveFreePagesIsolating(_:_:to:)`` has cut them. Huge pages of hugetlbfs
  /// may. Kernel: `isolate_single_pageblock()`.
  ///
  /// - Parameter border: The pageblock's own start, for the first; the end of the range, for the last.
  /// - Parameter isIsolated: A range of one pageblock: only the border is left to look at.
  mutating func isolateEdge(
    _ pageblock: PFN, border: Int, isIsolated: Bool, _ mode: IsolationMode
  ) -> Refusal? {
    if !isIsolated {
      let whole = PFNRange(pageblock.index, pageblock.index + geometry.pageblockPages)
      if let refusal = setIsolate(pageblock, mode, checking: whole) { return refusal }
    }
    guard border > 0, border < frames.count, let block = block(containing: PFN(border - 1)),
      block.state.kind == .allocated, !block.state.isHugetlb,
      block.start.index + 1 << block.state.order > border
    else { return nil }
    if !isIsolated { unsetIsolate(pageblock, mode.restoredType) }
    return Refusal(
      .EBUSY,
      "the block of order \(block.state.order) at \(block.start) lies across the border of the "
        + "range at 0x\(hex(border))", rule: "A6.7")
  }

  // MARK: A range

  /// The pageblocks that a range touches, as one range of frames.
  package func pageblocks(of range: PFNRange) -> PFNRange {
    let mask = geometry.pageblockPages - 1
    return PFNRange(range.start & ~mask, (range.end + mask) & ~mask)
  }

  /// Isolates every pageblock that the range touches: the first, the last, then those between
  /// (rule A6.6).
  ///
  /// Kernel: `start_isolate_page_range()`, mm/page_isolation.c.
  ///
  /// - Precondition: The range is not empty and ends inside memory.
  /// - Returns: Why not; the pageblocks are as they were then.
  public mutating func startIsolation(of range: PFNRange, _ mode: IsolationMode) -> Refusal? {
    let blocks = pageblocks(of: range)
    if let refusal = isolateFirst(blocks, mode) ?? isolateLast(blocks, mode) { return refusal }
    var at = blocks.start + geometry.pageblockPages
    while at < blocks.end - geometry.pageblockPages {
      if let refusal = isolateMiddle(at, of: range, mode) { return refusal }
      at += geometry.pageblockPages
    }
    return nil
  }

  package mutating func isolateFirst(_ blocks: PFNRange, _ mode: IsolationMode) -> Refusal? {
    isolateEdge(PFN(blocks.start), border: blocks.start, isIsolated: false, mode)
  }

  package mutating func isolateLast(_ blocks: PFNRange, _ mode: IsolationMode) -> Refusal? {
    let last = blocks.end - geometry.pageblockPages
    guard
      let refusal = isolateEdge(
        PFN(last), border: blocks.end, isIsolated: last == blocks.start, mode)
    else { return nil }
    unsetIsolate(PFN(blocks.start), mode.restoredType)
    return refusal
  }

  package mutating func isolateMiddle(
    _ at: Int, of range: PFNRange, _ mode: IsolationMode
  ) -> Refusal? {
    let pageblock = PFNRange(at, at + geometry.pageblockPages)
    guard
      let refusal = setIsolate(PFN(at), mode, checking: pageblock.intersection(range))
    else { return nil }
    let blocks = pageblocks(of: range)
    endIsolation(of: PFNRange(blocks.start, at), as: mode.restoredType)
    unsetIsolate(PFN(blocks.end - geometry.pageblockPages), mode.restoredType)
    return refusal
  }

  /// Gives back every isolated pageblock that the range touches, whoever isolated it (rule A6.10).
  ///
  /// Kernel: `undo_isolate_page_range()`.
  public mutating func endIsolation(of range: PFNRange, as type: MigrateType) {
    let blocks = pageblocks(of: range)
    for at in stride(from: blocks.start, to: blocks.end, by: geometry.pageblockPages) {
      unsetIsolate(PFN(at), type)
    }
  }

  /// Whether the range is nothing but free pages of isolated pageblocks (rule A6.12).
  ///
  /// Kernel: `test_pages_isolated()`.
  ///
  /// - Returns: The first frame that is not; nil when all are.
  public mutating func firstNotIsolated(in range: PFNRange) -> PFN? {
    let at = endOfIsolated(in: range)
    trace.append(
      TraceEvent(
        .testPagesIsolated, PFN(range.start), order: 0, UInt32(range.end), UInt32(at)))
    return at < range.end ? PFN(at) : nil
  }

  /// What ``firstNotIsolated(in:)`` finds, without its event.
  package func firstInUse(in range: PFNRange) -> PFN? {
    let at = endOfIsolated(in: range)
    return at < range.end ? PFN(at) : nil
  }

  /// The end of the last free block, which may lie behind the range.
  private func endOfIsolated(in range: PFNRange) -> Int {
    var at = range.start
    // As the kernel steps: from the start of the range, which may lie inside a pageblock.
    while at < range.end, frames.migrateType(PFN(at)) == .isolate {
      at += geometry.pageblockPages
    }
    if at >= range.end {
      at = range.start
      while at < range.end {
        let state = frames.head(PFN(at))
        guard state.kind == .free else { break }
        at += 1 << state.order
      }
    }
    return at
  }

  /// Takes every free block of an isolated range off its list; each of their pages becomes a page in
  /// use of its own (rule A6.21, steps 6 and 7).
  ///
  /// Kernel: `isolate_freepages_range()`, mm/compaction.c; `split_free_pages()`, mm/page_alloc.c.
  ///
  /// Since ``firstNotIsolated(in:)`` has looked somebody may have given pageblocks of the range back, so
  /// that they are handed out again, or a block may have merged with one in front of it.
  ///
  /// - Returns: The end of the last block, which may lie behind the range; nil when a page is not the
  ///   first of a free block any more, and then all blocks are free again.
  package mutating func takeFreeBlocks(of range: PFNRange, owner: UInt8) -> Int? {
    guard let zone = frames.zone(of: PFN(range.start)) else { return nil }
    var taken = CompactControl(order: -1, gfp: [], mode: .sync, orderCount: geometry.orderCount)
    taken.zone = zone
    var at = range.start
    while at < range.end {
      let first = at
      let end = min((at | (geometry.pageblockPages - 1)) + 1, range.end)
      while at < end {
        let state = frames.head(PFN(at))
        guard state.kind == .free, takeTarget(&taken, PFN(at), order: state.order) else { break }
        at += 1 << state.order
      }
      let isWhole = at >= end
      traceScan(
        .isolateFreePages, PFNRange(first, isWhole ? end : at),
        scanned: at - first + (isWhole ? 0 : 1), taken: at - first)
      guard isWhole else {
        _ = releaseTargets(&taken)
        return nil
      }
      count(.compactIsolated, at - first)
    }
    var page = FrameState(.allocated, order: 0)
    page.owner = owner
    for pfn in range.start..<at { frames.setHead(PFN(pfn), page) }
    return at
  }

  /// Frees pages one by one, ascending, through this CPU's lists (rule A6.24).
  ///
  /// Kernel: `free_contig_range()`.
  ///
  /// - Precondition: Each is a page in use of its own.
  package mutating func freePagesOneByOne(_ range: PFNRange) {
    for pfn in range.start..<range.end {
      guard let zone = frames.zone(of: PFN(pfn)) else { return }
      serveForeign()
      trace.append(TraceEvent(.pageFree, PFN(pfn), order: 0))
      frames.clearHead(PFN(pfn), order: 0)
      freePerCPU(zone, PFN(pfn), order: 0)
    }
  }
}

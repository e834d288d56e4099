// The free scanner: descends through the zone by pageblocks, inside each of them ascends, and takes free
// blocks as targets.

extension Machine {
  /// Takes free blocks until there are targets for all isolated pages, or the scanners meet (rules A7.9,
  /// A7.10).
  ///
  /// Kernel: `isolate_freepages()`, mm/compaction.c.
  mutating func isolateTargets(_ control: inout CompactControl) {
    searchTargets(&control)
    if control.freePages > 0 { return }
    let zone = control.zone
    var at = control.free
    var blockStart = pageblockStart(at)
    var blockEnd = min(blockStart + geometry.pageblockPages, zoneTable[zone].end)
    let low = pageblockEnd(control.migrate)
    var stride = control.mode == .async ? Self.collectedPagesLimit : 1
    while blockStart >= low {
      if isWholePageblock(zone, blockStart, blockEnd), isSuitableTarget(blockStart, control),
        !isSkipped(blockStart, control)
      {
        let taken = isolateTargets(&control, from: &at, to: blockEnd, stride: stride)
        if at == blockEnd { skipTargets(blockStart, control) }
        if control.freePages >= control.pages {
          if at >= blockEnd { at = blockStart - geometry.pageblockPages }
          break
        }
        if at < blockEnd { break }
        stride = taken > 0 ? 1 : min(Self.collectedPagesLimit, stride << 1)
      }
      blockEnd = blockStart
      blockStart -= geometry.pageblockPages
      at = blockStart
    }
    control.free = at
  }

  /// Kernel: `update_pageblock_skip()`.
  private mutating func skipTargets(_ blockStart: Int, _ control: CompactControl) {
    frames.setSkipHint(PFN(blockStart), true)
    let before = blockStart - geometry.pageblockPages
    if before < zoneTable[control.zone].compaction.cachedFree {
      zoneTable[control.zone].compaction.cachedFree = before
    }
  }

  /// A pageblock whose pages can move anyway, and which does not begin with what is wanted.
  ///
  /// Kernel: `suitable_migration_target()`.
  func isSuitableTarget(_ pfn: Int, _ control: CompactControl) -> Bool {
    let state = frames.head(PFN(pfn))
    let order = control.order > 0 ? control.order : geometry.pageblockOrder
    if state.kind == .free, state.order >= order { return false }
    if control.ignoresBlockTypes { return true }
    let type = frames.migrateType(PFN(pfn))
    return type == .movable || type == .cma
  }

  /// Takes free blocks of a part of one pageblock (rule A7.10).
  ///
  /// Kernel: `isolate_freepages_block()`.
  ///
  /// - Parameter at: The first frame; afterwards the frame behind the last one that was looked at.
  /// - Returns: Pages taken.
  @discardableResult
  mutating func isolateTargets(
    _ control: inout CompactControl, from at: inout Int, to end: Int, stride: Int
  ) -> Int {
    let start = at
    var scanned = 0
    var taken = 0
    while at < end {
      scanned += 1
      let state = frames.head(PFN(at))
      if state.kind == .free {
        guard takeTarget(&control, PFN(at), order: state.order) else { break }
        let pages = 1 << state.order
        scanned += pages - 1
        taken += pages
        if control.pages <= control.freePages {
          at += pages
          break
        }
        at += pages - 1
      } else if state.isCompound, state.order <= geometry.maxOrder, at + 1 << state.order <= end {
        scanned += 1 << state.order - 1
        at += 1 << state.order - 1
      }
      at += stride
    }
    at = min(at, end)
    traceScan(.isolateFreePages, PFNRange(start, at), scanned: scanned, taken: taken)
    control.scannedTargets += scanned
    if taken > 0 { count(.compactIsolated, taken) }
    return taken
  }

  /// Takes one free block off its list, if the zone's mark allows it (rule A7.11).
  ///
  /// Kernel: `__isolate_free_page()`, mm/page_alloc.c.
  mutating func takeTarget(_ control: inout CompactControl, _ pfn: PFN, order: Int) -> Bool {
    let zone = control.zone
    let type = frames.migrateType(pfn)
    if type != .isolate {
      let mark = zoneTable[zone].watermarks[0] + 1 << order
      guard
        isWatermarkOK(
          zone, order: 0, mark: mark, highest: .dma, .cma, free: zoneTable[zone].visibleFree)
      else { return false }
    }
    removeFree(zone, pfn, order: order)
    account(zone, -(1 << order), type)
    if order >= geometry.pageblockOrder - 1 {
      // At least half of the pageblock was free, so movable pages may fill it.
      var at = pfn
      while at.index < pfn.index + 1 << order - 1 {
        let type = frames.migrateType(at)
        if type.isMergeable, let pageblock = wholePageblock(zone, at) {
          moveFreePages(zone, pageblock, from: type, to: .movable)
        }
        at = at + geometry.pageblockPages
      }
    }
    control.freeLists[order].append(pfn)
    control.freePages += 1 << order
    return true
  }
}

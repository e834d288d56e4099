extension Machine {
  /// Looks for targets on the free lists, from their tails, in the upper part of what is left between the
  /// scanners (rule A7.9).
  ///
  /// What was looked at ends up behind the head of its list, so the next search sees other blocks.
  /// Kernel: `fast_isolate_freepages()`, mm/compaction.c.
  mutating func searchTargets(_ control: inout CompactControl) {
    guard control.order > 0 else { return }
    let zone = control.zone
    var search = TargetSearch(limit: max(1, control.searchLimit >> 1))
    let startsScan = control.free >= zoneTable[zone].compaction.initialFree
    if startsScan { search.limit = geometry.pageblockPages >> 1 }
    let distance = control.free - control.migrate
    // Behind each other, the scanners leave no room.
    search.preferred = distance < 0 ? .max : pageblockStart(control.free - distance >> 2)
    search.lowest = distance < 0 ? .max : pageblockStart(control.free - distance >> 1)
    let end = control.free

    control.searchOrder = min(control.order - 1, control.searchOrder)
    var page: PFN?
    var taken = 0
    var order = control.searchOrder
    while page == nil, order >= 0 {
      if zoneTable[zone].freeCounts[order] == 0 {
        order = nextSearchOrder(&control, order)
        continue
      }
      search.entries = 0
      page = searchList(&control, &search, order: order)
      if let found = page {
        if takeTarget(&control, found, order: order) {
          search.scanned += 1 << order - 1
          taken += 1 << order
          count(.compactIsolated, 1 << order)
        } else {
          // Below its mark the zone gives nothing more: the search ends.
          order = control.searchOrder + 1
          page = nil
        }
      }
      if control.freePages >= control.pages { break }
      if search.entries >= search.limit { search.limit = max(1, search.limit >> 1) }
      order = nextSearchOrder(&control, order)
    }
    traceScan(
      .fastIsolateFreePages, PFNRange(min(search.lowest, end), end), scanned: search.scanned,
      taken: taken)

    var around = page?.index
    if page == nil {
      control.failedSearches += 1
      if startsScan { around = startLinearScan(&control, search) }
    }
    if search.highest > 0, search.highest >= zoneTable[zone].compaction.cachedFree {
      zoneTable[zone].compaction.cachedFree = search.highest - geometry.pageblockPages
    }
    control.scannedTargets += search.scanned
    if let around { searchAround(&control, around) }
  }

  private struct TargetSearch {
    /// Entries of a list that may be looked at.
    var limit: Int
    /// Blocks from here on are taken at once.
    var preferred = 0
    /// Blocks from here on are candidates.
    var lowest = 0
    var scanned = 0
    /// Entries of the current list that were looked at.
    var entries = 0
    /// The highest pageblock seen.
    var highest = 0
  }

  /// Goes through one list from its tail.
  private mutating func searchList(
    _ control: inout CompactControl, _ search: inout TargetSearch, order: Int
  ) -> PFN? {
    let zone = control.zone
    let index = order * MigrateType.count + Int(MigrateType.movable.rawValue)
    var page: PFN?
    var candidate = 0
    var stop: PFN?
    var next = frames.last(zoneTable[zone].freeLists[index])
    while let pfn = next {
      search.entries += 1
      search.scanned += 1
      if pfn.index >= search.highest {
        search.highest = max(pageblockStart(pfn.index), zoneTable[zone].start)
      }
      if pfn.index >= search.preferred {
        control.failedSearches = 0
        control.searchOrder = order
        page = pfn
        stop = pfn
        break
      }
      if pfn.index >= search.lowest, pfn.index > candidate {
        candidate = pfn.index
        search.limit >>= 1
      }
      if search.entries >= search.limit {
        stop = pfn
        break
      }
      next = frames.previous(pfn, order: order)
    }
    if page == nil, candidate > 0 {
      page = PFN(candidate)
      stop = page
    }
    if let stop { frames.rotate(&zoneTable[zone].freeLists[index], before: stop, order: order) }
    return page
  }

  /// Orders are searched downwards, around, until all have been.
  ///
  /// Kernel: `next_search_order()`.
  private func nextSearchOrder(_ control: inout CompactControl, _ order: Int) -> Int {
    let next = order > 0 ? order - 1 : control.order - 1
    guard next == control.searchOrder else { return next }
    control.searchOrder = control.searchOrder > 0 ? control.searchOrder - 1 : control.order - 1
    return -1
  }

  /// The linear scan begins at the highest free block that was seen; a direct compaction that has seen
  /// none goes to the middle.
  private func startLinearScan(_ control: inout CompactControl, _ search: TargetSearch) -> Int? {
    if search.highest >= search.lowest {
      control.free = search.highest
      return search.highest
    }
    guard control.isDirect, search.lowest < zoneTable[control.zone].end else { return nil }
    control.free = search.lowest
    let end = min(pageblockEnd(search.lowest), zoneTable[control.zone].end)
    let isSuitable =
      isWholePageblock(control.zone, search.lowest, end) && isSuitableTarget(search.lowest, control)
    return isSuitable ? search.lowest : nil
  }

  /// Takes the other free blocks of the pageblock, too, if one was not enough.
  ///
  /// Kernel: `fast_isolate_around()`.
  private mutating func searchAround(_ control: inout CompactControl, _ pfn: Int) {
    if control.freePages >= control.pages { return }
    if control.isDirect && control.mode == .async { return }
    let zone = control.zone
    let start = max(pageblockStart(pfn), zoneTable[zone].start)
    let end = min(pageblockEnd(pfn), zoneTable[zone].end)
    guard isWholePageblock(zone, start, end) else { return }
    var at = start
    isolateTargets(&control, from: &at, to: end, stride: 1)
    if at == end { frames.setSkipHint(PFN(start), true) }
  }
}

extension Machine {
  /// Checks the invariants of the specification that a state can show: AI.1 to AI.8, AI.10 to
  /// AI.13, AI.19 and AI.23, I10 and I11, and the counters of the huge page pools.
  ///
  /// The others speak of transitions, and the tests watch those.
  ///
  /// - Parameter goesOn: Asked every few milliseconds; when it says no, the check ends with
  ///   ``checkWasStopped``.
  /// - Returns: The first that fails, in words with the frame or zone it fails at; nil if all hold.
  public func check(goesOn: () -> Bool = { true }) -> String? {
    for zone in populatedZones {
      if let broken = checkFreeLists(zone, goesOn) ?? checkPerCPU(zone) ?? checkNumbers(zone)
        ?? checkPageblocks(zone, goesOn)
      {
        if broken == Self.checkWasStopped { return broken }
        return "\(zoneTable[zone].index.name) of node \(zoneTable[zone].node): " + broken
      }
    }
    for area in cmaAreas {
      if let broken = checkArea(area) { return "CMA area '\(area.name)': " + broken }
    }
    return checkHugePools()
  }

  /// I10 and I11: what the bitmap says, and the types of the pageblocks.
  private func checkArea(_ area: CMAArea) -> String? {
    for at in stride(from: area.base, to: area.range.end, by: geometry.pageblockPages) {
      let type = frames.migrateType(PFN(at))
      if type != .cma && type != .isolate {
        return "I11: the pageblock at \(PFN(at)) is \(type.name)"
      }
    }
    // A call under way has bits without pages, and pages without knowing whether it keeps them.
    if operationsInProgress > 0 { return nil }
    var reserved = 0
    for run in cmaBitmap.setRuns(area) {
      for bit in run {
        let first = PFN(area.base + bit << area.orderPerBit)
        if frames.head(first).owner != FrameState.cmaOwner && !isGigantic(first) {
          return "I10: bit \(bit) is set, but nobody was given \(first)"
        }
      }
      let start = area.base + run.lowerBound << area.orderPerBit
      reserved += count(ownedIn: start..<start + run.count << area.orderPerBit)
    }
    let given = area.allocatedPages - area.releasedPages
    if given >= 0 && reserved < given {
      return "I10: \(given) pages were given away, the set bits have \(reserved)"
    }
    return nil
  }

  private func count(ownedIn frames: Range<Int>) -> Int {
    frames.count {
      self.frames.head(PFN($0)).owner == FrameState.cmaOwner || isGigantic(PFN($0))
    }
  }

  /// Whether a frame belongs to a gigantic page, in use or in its pool.
  private func isGigantic(_ pfn: PFN) -> Bool {
    let state = frames.head(pfn.roundedDown(toOrder: geometry.giganticOrder))
    return state.isHugetlb && state.order == geometry.giganticOrder
  }

  private func checkFreeLists(_ zone: Int, _ goesOn: () -> Bool) -> String? {
    var free = 0
    var cma = 0
    var highAtomic = 0
    for order in 0...geometry.maxOrder {
      var blocks = 0
      for type in MigrateType.allCases {
        let list = freeList(zone, order: order, type)
        var count = 0
        var next = frames.first(list)
        while let pfn = next {
          count += 1
          if stops(at: count, goesOn) { return Self.checkWasStopped }
          if count > Int(list.count) {
            return "AI.5: list \(order)/\(type.name) is longer than its count \(list.count)"
          }
          if let broken = checkFreeBlock(zone, pfn, order, type) { return broken }
          next = frames.next(pfn, order: order)
        }
        if count != Int(list.count) {
          return "AI.5: list \(order)/\(type.name) holds \(count) blocks, its count says "
            + "\(list.count)"
        }
        blocks += count
        if type != .isolate { free += count << order }
        if type == .cma { cma += count << order }
        if type == .highAtomic { highAtomic += count << order }
      }
      if blocks != zoneTable[zone].freeCounts[order] {
        return "AI.5: nr_free[\(order)] is \(zoneTable[zone].freeCounts[order]), "
          + "the lists hold \(blocks)"
      }
    }
    var freeCounted = zoneTable[zone].freePages
    var cmaCounted = zoneTable[zone].freeCMAPages
    // The zone's own may have been larger a moment ago: kswapd lowers it while it runs.
    let threshold = max(zoneTable[zone].statThreshold, Self.largestStatThreshold)
    for cpu in 0..<cpuCount {
      let local = perCPU[zone * cpuCount + cpu]
      freeCounted += local.freeDiff
      cmaCounted += local.freeCMADiff
      if max(abs(local.freeDiff), abs(local.freeCMADiff)) > threshold {
        return "AI.6: CPU \(cpu) holds back more than any threshold, \(threshold)"
      }
    }
    if freeCounted != free {
      return "AI.6: NR_FREE_PAGES is \(freeCounted), the lists hold \(free) pages"
    }
    if kernel.typesFollowPageblocks && cmaCounted != cma {
      return "AI.6: NR_FREE_CMA_PAGES is \(cmaCounted), the lists hold \(cma) pages"
    }
    if kernel.typesFollowPageblocks && zoneTable[zone].freeHighAtomic != highAtomic {
      return "AI.6: nr_free_highatomic is \(zoneTable[zone].freeHighAtomic), the lists hold "
        + "\(highAtomic)"
    }
    return nil
  }

  private func checkFreeBlock(
    _ zone: Int, _ pfn: PFN, _ order: Int, _ type: MigrateType
  ) -> String? {
    if !pfn.isAligned(toOrder: order) { return "AI.2: \(pfn) is not aligned to order \(order)" }
    let last = PFN(pfn.index + (1 << order) - 1)
    if frames.zone(of: pfn) != zone || !zoneTable[zone].range.contains(last) {
      return "AI.2: the block of order \(order) at \(pfn) leaves its zone"
    }
    if !frames.isFree(pfn, order: order) {
      return "AI.1: \(pfn) is on free list \(order)/\(type.name) but not marked free"
    }
    var at = pfn
    while at < last {
      // Without grouping by mobility a pageblock that isolation gives back calls itself Unmovable
      // while its blocks go to the Movable lists.
      if kernel.typesFollowPageblocks && frames.migrateType(at) != type
        && !isMobilityGroupingDisabled
      {
        return "AI.4: \(pfn) is on list \(order)/\(type.name), its pageblock is "
          + frames.migrateType(at).name
      }
      at = at + geometry.pageblockPages
    }
    if order < geometry.maxOrder {
      let buddy = pfn.buddy(order)
      if order < geometry.pageblockOrder, isFreeBuddy(buddy, order: order, of: pfn) {
        return "AI.3: \(pfn) and its buddy \(buddy) of order \(order) are both free"
      }
    }
    // AI.2, overlap: no other block starts inside. Whole pageblocks keep their state elsewhere, so
    // only what was touched is looked at.
    if order > 0 && order < geometry.pageblockOrder {
      for inside in 1..<1 << order where frames.head(pfn + inside).kind != .none {
        return "AI.2: a block starts at \(pfn + inside), inside the free block at \(pfn)"
      }
    }
    return nil
  }

  private func checkPerCPU(_ zone: Int) -> String? {
    for cpu in 0..<cpuCount {
      let pages = perCPU[zone * cpuCount + cpu]
      var count = 0
      for index in 0..<PerCPUPages.listCount {
        let order = PerCPUList.order(index, pageblockOrder: geometry.pageblockOrder)
        for pfn in frames.blocks(pages.lists[index]) {
          let state = frames.head(pfn)
          if state.kind != .perCPU || state.order != order {
            return "AI.7: \(pfn) is on list \(index) of CPU \(cpu) but not marked so"
          }
          if frames.zone(of: pfn) != zone {
            return "AI.7: \(pfn) of another zone is on list \(index) of CPU \(cpu)"
          }
          if !sharesHugeList, frames.migrateType(pfn) == .cma, index != 13,
            index % 3 != 1 || index >= 12
          {
            return "AI.8: CMA block \(pfn) is on the non-movable list \(index) of CPU \(cpu)"
          }
          count += 1 << order
        }
      }
      if count != pages.count {
        return "AI.7: CPU \(cpu) counts \(pages.count) pages, its lists hold \(count)"
      }
      if !(0...Self.batchScaleMax).contains(pages.allocFactor) {
        return "AI.7: alloc_factor of CPU \(cpu) is \(pages.allocFactor)"
      }
      // The batch is 1 while memory goes offline, and may be smaller than before afterwards.
      let batch =
        offlineMemory.isEmpty && operationsInProgress == 0
        ? max(1, pages.batch) : Self.largestBatch
      if pages.freeCount < 0
        || pages.freeCount >= batch << Self.batchScaleMax + geometry.pageblockPages
      {
        return "AI.7: free_count of CPU \(cpu) is \(pages.freeCount)"
      }
    }
    return nil
  }

  /// Types of pageblocks, and that every managed page is somebody's (AI.1, AI.10, AI.11, AI.23).
  private func checkPageblocks(_ zone: Int, _ goesOn: () -> Bool) -> String? {
    let size = geometry.pageblockPages
    var owned = 0
    var marked = (free: 0, perCPU: 0)
    var cma = 0
    let isolated = isolatedPageblocks(zone)
    var at = zoneTable[zone].start & ~(size - 1)
    while at < zoneTable[zone].end {
      if stops(at: at, goesOn) { return Self.checkWasStopped }
      let pageblock = PFN(at)
      // Zones of interleaved nodes span each other's pageblocks.
      guard frames.zone(of: pageblock) == zone else {
        at += size
        continue
      }
      let type = frames.migrateType(pageblock)
      if zoneTable[zone].index == .movable, type == .unmovable || type == .reclaimable,
        isMemory(pageblock), !isMobilityGroupingDisabled
      {
        return "AI.23: \(pageblock) in ZONE_MOVABLE is a \(type.name) pageblock"
      }
      var end = at + size
      while at < end {
        let state = frames.head(PFN(at))
        guard state.kind != .none else {
          at += 1
          continue
        }
        owned += 1 << state.order
        if state.kind == .free { marked.free += 1 << state.order }
        if state.kind == .perCPU { marked.perCPU += 1 << state.order }
        at += 1 << state.order
        end = max(end, at)
      }
    }
    for area in cmaAreas where frames.zone(of: PFN(area.base)) == zone {
      for start in stride(from: area.base, to: area.base + area.pages, by: size)
      where frames.migrateType(PFN(start)) == .cma { cma += size }
    }
    var listed = (free: 0, perCPU: 0)
    for order in 0...geometry.maxOrder {
      listed.free += zoneTable[zone].freeCounts[order] << order
    }
    for cpu in 0..<cpuCount { listed.perCPU += perCPU[zone * cpuCount + cpu].count }
    if marked != listed {
      return
        "AI.1: \(marked.free) pages are marked free and \(marked.perCPU) per-CPU, the lists hold "
        + "\(listed.free) and \(listed.perCPU)"
    }
    if owned != zoneTable[zone].managed {
      return
        "AI.11: \(zoneTable[zone].managed) pages are managed, but \(owned) are free, on per-CPU "
        + "lists or allocated"
    }
    if isolated != zoneTable[zone].isolatedPageblocks {
      return "I10: nr_isolate_pageblock is \(zoneTable[zone].isolatedPageblocks), "
        + "\(isolated) pageblocks are isolated"
    }
    if isolated > 0 && operationsInProgress == 0 {
      return "I10: \(isolated) pageblocks are isolated, and nobody is at it"
    }
    if isolated == 0 && cma != zoneTable[zone].cmaPages {
      return
        "AI.10: the zone has \(zoneTable[zone].cmaPages) CMA pages, its CMA pageblocks hold \(cma)"
    }
    return nil
  }

  private func isolatedPageblocks(_ zone: Int) -> Int {
    let size = geometry.pageblockPages
    return stride(from: zoneTable[zone].start & ~(size - 1), to: zoneTable[zone].end, by: size)
      .count { frames.zone(of: PFN($0)) == zone && frames.migrateType(PFN($0)) == .isolate }
  }

  private func checkNumbers(_ zone: Int) -> String? {
    let marks = zoneTable[zone].watermarks
    for mark in 1..<4 where marks[mark] < marks[mark - 1] {
      return "AI.12: the watermarks do not ascend"
    }
    let limit = max(
      geometry.pageblockPages,
      marks[2] / 10000 * settings.watermarkBoostFactor
        + marks[2] % 10000 * settings.watermarkBoostFactor / 10000)
    if !(0...limit).contains(zoneTable[zone].watermarkBoost) {
      return "AI.12: watermark_boost is \(zoneTable[zone].watermarkBoost), its limit \(limit)"
    }
    for upper in 0...zoneTable[zone].indexRawValue where zoneTable[zone].lowmemReserve[upper] != 0 {
      return "AI.13: the zone holds a reserve against itself or a lower zone"
    }
    if !kernel.emptyZoneDropsReserve {
      for upper in 1..<ZoneIndex.count
      where zoneTable[zone].lowmemReserve[upper] < zoneTable[zone].lowmemReserve[upper - 1] {
        return "AI.13: lowmem_reserve falls from one zone to the next higher one"
      }
    }
    let block = geometry.pageblockPages
    let hundredth = zoneTable[zone].managed / 100
    // One pageblock more where the last reservation was for a larger block, or up to 6.6.
    if zoneTable[zone].reservedHighAtomic > (hundredth + block - 1) / block * block + block {
      return
        "AI.19: nr_reserved_highatomic is \(zoneTable[zone].reservedHighAtomic), a hundredth of the "
        + "zone is \(hundredth)"
    }
    var free = 0
    for order in 0...geometry.maxOrder { free += zoneTable[zone].freeCounts[order] << order }
    for cpu in 0..<cpuCount { free += perCPU[zone * cpuCount + cpu].count }
    if free > zoneTable[zone].managed {
      return "AI.11: \(free) pages are free, more than the \(zoneTable[zone].managed) managed"
    }
    var highAtomic = 0
    if zoneTable[zone].reservedHighAtomic > 0 {
      var at = zoneTable[zone].start & ~(geometry.pageblockPages - 1)
      while at < zoneTable[zone].end {
        if frames.migrateType(PFN(at)) == .highAtomic { highAtomic += geometry.pageblockPages }
        at += geometry.pageblockPages
      }
      if highAtomic + zoneTable[zone].lostHighAtomic != zoneTable[zone].reservedHighAtomic {
        return "AI.19: nr_reserved_highatomic is \(zoneTable[zone].reservedHighAtomic), "
          + "the pageblocks hold \(highAtomic)"
      }
    }
    return nil
  }
}

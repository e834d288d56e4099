// Whether compacting a zone can help: enough free pages to move others to, and a failure that comes from
// their being scattered rather than from their being few.

extension Machine {
  /// Pages that must be free beyond a mark, for sources and targets at the same time.
  ///
  /// Kernel: `compact_gap()`.
  static func compactGap(_ order: Int) -> Int { 2 << order }

  /// The largest order that the allocator promises to get in the end.
  ///
  /// Kernel: `PAGE_ALLOC_COSTLY_ORDER`.
  static let costlyOrder = 3

  /// Whether there are enough pages to move others to (rule A7.4).
  ///
  /// Kernel: `__compaction_suitable()`.
  ///
  /// - Parameter free: Pages that are free, or could be.
  func hasCompactionTargets(_ zone: Int, order: Int, highest: ZoneIndex, free: Int) -> Bool {
    let mark = zoneTable[zone].watermark(order > Self.costlyOrder ? 1 : 0) + Self.compactGap(order)
    return isWatermarkOK(zone, order: 0, mark: mark, highest: highest, .cma, free: free)
  }

  /// Whether compaction may make a block of this order (rule A7.4).
  ///
  /// Kernel: `compaction_suitable()`.
  func isCompactionSuitable(_ zone: Int, order: Int, highest: ZoneIndex) -> Bool {
    guard
      hasCompactionTargets(
        zone, order: order, highest: highest, free: zoneTable[zone].visibleFree)
    else { return false }
    if order <= Self.costlyOrder { return true }
    return !(0...Self.fragmentationThreshold).contains(fragmentationIndex(zone, order: order))
  }

  /// Kernel: `sysctl_extfrag_threshold`.
  private static let fragmentationThreshold = 500

  /// Why a request of this order fails: near 0 for lack of memory, near 1000 for fragmentation, -1000
  /// when it need not fail.
  ///
  /// Kernel: `fragmentation_index()`, mm/vmstat.c.
  func fragmentationIndex(_ zone: Int, order: Int) -> Int {
    var pages = 0
    var blocks = 0
    var hasSuitable = false
    for current in 0...geometry.maxOrder {
      let count = zoneTable[zone].freeCounts[current]
      pages += count << current
      blocks += count
      if current >= order, count > 0 { hasSuitable = true }
    }
    if blocks == 0 { return 0 }
    if hasSuitable { return -1000 }
    return 1000 - (1000 + (pages * 1000) >> order) / blocks
  }

  /// What a zone needs for a request: its block is there (success), compaction cannot help (skipped),
  /// or compaction.
  ///
  /// Kernel: `compaction_suit_allocation_order()`.
  func compactionNeed(
    _ zone: Int, order: Int, highest: ZoneIndex, _ flags: AllocationFlags
  ) -> CompactResult {
    let mark = zoneTable[zone].watermark(flags.watermark)
    if isWatermarkOK(
      zone, order: order, mark: mark, highest: highest, flags, free: zoneTable[zone].visibleFree)
    {
      return .success
    }
    return isCompactionSuitable(zone, order: order, highest: highest) ? .continue : .skipped
  }

  /// Whether some zone would be suitable if a part of what can be reclaimed were free (rule A4.22).
  ///
  /// Kernel: `compaction_zonelist_suitable()`.
  func isCompactionSuitableAfterReclaim(_ request: AllocationRequest) -> Bool {
    allowedZones(request).contains { zone in
      hasCompactionTargets(
        zone, order: request.order, highest: request.highest,
        free: reclaimablePages(zone) / request.order + freePagesSnapshot(zone))
    }
  }

  /// Pages that reclaim could look at; the free ones where there are none (rule A7.30).
  ///
  /// Pages of files, and anonymous ones while there is room in swap space.
  /// Kernel: `zone_reclaimable_pages()`.
  func reclaimablePages(_ zone: Int) -> Int {
    let base = zone * VMStatNames.zoneItems.count + 1
    var pages =
      zoneItems[base + LRUList.inactiveFile.rawValue]
      + zoneItems[base + LRUList.activeFile.rawValue]
    if canSwap {
      pages +=
        zoneItems[base + LRUList.inactiveAnon.rawValue]
        + zoneItems[base + LRUList.activeAnon.rawValue]
    }
    return pages > 0 ? pages : freePagesSnapshot(zone)
  }

  /// The zones that may serve a request, in order.
  func allowedZones(_ request: AllocationRequest) -> [Int] {
    let node = zoneTable[zonelists[request.node][request.preferred]].node
    return zonelists[request.node][request.preferred...].filter { zone in
      zoneTable[zone].indexRawValue <= request.highest.rawValue
        && (!request.gfp.contains(.thisNode) || zoneTable[zone].node == node)
    }
  }
}

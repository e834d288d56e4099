// Skip hints, one bit a pageblock: the last scan found nothing there. A hint may be wrong, and costs or
// saves time only.

extension Machine {
  /// Whether a scanner passes over the pageblock of `pfn`.
  ///
  /// Kernel: `isolation_suitable()`, the other way round.
  func isSkipped(_ pfn: Int, _ control: CompactControl) -> Bool {
    !control.ignoresSkipHints && frames.skipHint(PFN(pfn))
  }

  /// Sets the hint, unless hints are ignored, and says whether it was set.
  ///
  /// Kernel: `test_and_set_skip()`.
  mutating func setSkip(_ pfn: Int, _ control: CompactControl) -> Bool {
    if control.ignoresSkipHints { return false }
    let wasSet = frames.skipHint(PFN(pfn))
    frames.setSkipHint(PFN(pfn), true)
    return wasSet
  }

  func pageblockStart(_ pfn: Int) -> Int { pfn & ~(geometry.pageblockPages - 1) }

  /// The end of the pageblock that `pfn` lies in; of the next one when it is an end itself.
  func pageblockEnd(_ pfn: Int) -> Int { pageblockStart(pfn) + geometry.pageblockPages }

  /// Remembers that sources up to here were looked at.
  ///
  /// Kernel: `update_cached_migrate()`.
  mutating func rememberSources(upTo pfn: Int, _ control: CompactControl) {
    let end = pageblockEnd(pfn)
    let state = zoneTable[control.zone].compaction
    if end > state.cachedMigrateAsync {
      zoneTable[control.zone].compaction.cachedMigrateAsync = end
    }
    if control.mode != .async, end > state.cachedMigrateSync {
      zoneTable[control.zone].compaction.cachedMigrateSync = end
    }
  }

  /// The next compaction of the zone starts anew.
  ///
  /// Kernel: `reset_cached_positions()`.
  mutating func resetScanners(_ zone: Int) {
    zoneTable[zone].compaction.cachedMigrateAsync = zoneTable[zone].start
    zoneTable[zone].compaction.cachedMigrateSync = zoneTable[zone].start
    zoneTable[zone].compaction.cachedFree = pageblockStart(zoneTable[zone].end - 1)
  }

  /// Clears the hints of a node's zones where a direct compaction has seen the whole zone.
  ///
  /// Kernel: `reset_isolation_suitable()`; kswapd calls it before it sleeps (rule A7.35).
  mutating func clearSkipHints(node: Int) {
    for zone in node * ZoneIndex.count..<(node + 1) * ZoneIndex.count
    where zoneTable[zone].isPopulated {
      clearSkipHints(zone: zone)
    }
  }

  /// Clears hints where a sample of every eighth page shows a source or a target, from both ends to
  /// the middle, and lets the scanners start at the outermost of them.
  ///
  /// Kernel: `__reset_isolation_suitable()`.
  mutating func clearSkipHints(zone: Int) {
    guard zoneTable[zone].compaction.flushesSkipHints else { return }
    zoneTable[zone].compaction.flushesSkipHints = false
    var low = zoneTable[zone].start
    var high = zoneTable[zone].end - 1
    var source = high
    var target = low
    var hasSource = false
    var hasTarget = false
    while low < high {
      if clearSkipHint(zone, low, asSource: true, asTarget: hasSource), low < source {
        hasSource = true
        source = low
        zoneTable[zone].compaction.initialMigrate = low
        zoneTable[zone].compaction.cachedMigrateAsync = low
        zoneTable[zone].compaction.cachedMigrateSync = low
      }
      if clearSkipHint(zone, high, asSource: hasTarget, asTarget: true), high > target {
        hasTarget = true
        target = high
        zoneTable[zone].compaction.initialFree = high
        zoneTable[zone].compaction.cachedFree = high
      }
      low += geometry.pageblockPages
      high -= geometry.pageblockPages
    }
    if source >= target {
      zoneTable[zone].compaction.cachedMigrateAsync = low
      zoneTable[zone].compaction.cachedMigrateSync = low
      zoneTable[zone].compaction.cachedFree = high
    }
  }

  /// Clears the hint of one pageblock if it is worth scanning.
  ///
  /// Kernel: `__reset_isolation_pfn()`.
  private mutating func clearSkipHint(
    _ zone: Int, _ pfn: Int, asSource: Bool, asTarget: Bool
  ) -> Bool {
    guard frames.zone(of: PFN(pfn)) == zone, !isHugeBlock(pfn) else { return false }
    if asSource && asTarget && !frames.skipHint(PFN(pfn)) { return true }
    if !asSource && asTarget && frames.migrateType(PFN(pfn)) != .movable { return false }
    var at = max(pageblockStart(pfn), zoneTable[zone].start)
    let last = min(pageblockEnd(pfn), zoneTable[zone].end) - 1
    while at <= last {
      let isFound =
        asSource && isOnLRU(PFN(at)) || asTarget && frames.head(PFN(at)).kind == .free
      if isFound {
        frames.setSkipHint(PFN(at), false)
        return true
      }
      at += 1 << Self.costlyOrder
    }
    return false
  }

  /// `PageLRU`, which a tail page answers for its folio.
  private func isOnLRU(_ pfn: PFN) -> Bool {
    guard let found = block(containing: pfn) else { return false }
    return found.state.kind == .allocated && found.state.isLRU
  }

  /// Whether the frame belongs to a compound page of at least a pageblock, which has neither sources
  /// nor targets.
  ///
  /// Kernel: `pageblock_skip_persistent()`.
  func isHugeBlock(_ pfn: Int) -> Bool {
    guard let found = block(containing: PFN(pfn)) else { return false }
    return found.state.isCompound && found.state.order >= geometry.pageblockOrder
  }
}

extension FrameState {
  /// A block whose pages know of their head.
  ///
  /// Kernel: `PageCompound`.
  var isCompound: Bool {
    guard kind == .allocated && order > 0 else { return kind == .hugePool }
    return flags.contains(.folio) || !flags.contains(.plain)
  }
}

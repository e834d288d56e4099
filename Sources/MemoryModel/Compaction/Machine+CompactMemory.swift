extension Machine {
  /// Compacts all zones of one node, or of all (rule A7.13).
  ///
  /// Kernel: `compact_nodes()`, a write of 1 to /proc/sys/vm/compact_memory; `compact_store()` for
  /// one node.
  package mutating func compactMemory(node: Int? = nil) {
    var work = CompactMemory(node: node)
    work.run(&self)
  }

  /// Kernel: `compact_node()`.
  private mutating func compactNodeProactively(_ node: Int) {
    var control = CompactControl(
      order: -1, gfp: .kernel, mode: .syncLight, orderCount: geometry.orderCount)
    control.ignoresSkipHints = true
    control.wholeZone = true
    control.isProactive = true
    for zone in zones(of: node, upTo: .movable) {
      control.zone = zone
      _ = compactZone(&control)
      count(.compactDaemonMigrateScanned, control.scannedSources)
      count(.compactDaemonFreeScanned, control.scannedTargets)
    }
  }

  // MARK: Ahead of time

  /// Compacts a node whose fragmentation has passed the mark of vm.compaction_proactiveness.
  ///
  /// Kernel: the second half of `kcompactd()`.
  mutating func compactProactively(node: Int) {
    guard settings.compactionProactiveness > 0, isAsleep(.kswapd(node: node)),
      fragmentationScore(node: node) > fragmentationMark(isLow: false)
    else { return }
    compactNodeProactively(node)
  }

  /// The fragmentation at which proactive compaction starts, and the one at which it stops.
  ///
  /// Kernel: `fragmentation_score_wmark()`.
  func fragmentationMark(isLow: Bool) -> Int {
    let low = max(100 - settings.compactionProactiveness, 5)
    return isLow ? low : min(low + 10, 100)
  }

  /// How much of a zone's free memory is in blocks smaller than a huge page, in per cent.
  ///
  /// Kernel: `fragmentation_score_zone()`.
  func fragmentationScore(_ zone: Int) -> Int {
    var free = 0
    var suitable = 0
    for order in 0...geometry.maxOrder {
      let pages = zoneTable[zone].freeCounts[order] << order
      free += pages
      if order >= geometry.hugeOrder { suitable += pages }
    }
    return free == 0 ? 0 : (free - suitable) * 100 / free
  }

  /// The zones' scores, weighted by their sizes.
  ///
  /// Kernel: `fragmentation_score_node()`.
  func fragmentationScore(node: Int) -> Int {
    let zones = zones(of: node, upTo: .movable)
    let present = zones.reduce(0) { $0 + zoneTable[$1].present }
    return zones.reduce(0) { $0 + zoneTable[$1].present * fragmentationScore($1) / (present + 1) }
  }
}

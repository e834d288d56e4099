// Invariant: between two rounds nothing is isolated but the blocks of `freeLists`; at the end not even
// these.

extension Machine {
  /// Moves folios from the beginning of a zone to its end, until a block of the wanted order is free or the
  /// scanners meet (rules A7.5, A7.6).
  ///
  /// Kernel: `compact_zone()`, mm/compaction.c.
  mutating func compactZone(_ control: inout CompactControl) -> CompactResult {
    if let result = beginCompacting(&control) { return result }
    var rounds = CompactRounds(control, self)
    while true {
      if let result = compactRound(&control, &rounds) { return endCompacting(&control, result) }
    }
  }

  /// Places the scanners.
  ///
  /// - Returns: Why there is nothing to do; nil when the rounds may begin.
  mutating func beginCompacting(_ control: inout CompactControl) -> CompactResult? {
    let zone = control.zone
    control.scannedSources = 0
    control.scannedTargets = 0
    control.pages = 0
    control.freePages = 0
    control.type = migrateType(of: control.gfp)
    if !control.wantsEverything {
      let need = compactionNeed(
        zone, order: control.order, highest: control.highest, control.flags)
      if need != .continue { return need }
    }
    if zoneTable[zone].compaction.isRestarting(order: control.order) { clearSkipHints(zone: zone) }
    placeScanners(&control)

    traceCompaction(control, nil)
    noteMemoryStep()
    drainLRU(cpu: currentCPU)
    return nil
  }

  /// Gives back the targets that were not used, and counts.
  mutating func endCompacting(
    _ control: inout CompactControl, _ result: CompactResult
  ) -> CompactResult {
    let zone = control.zone
    if control.freePages > 0 {
      let highest = pageblockStart(releaseTargets(&control))
      if highest > zoneTable[zone].compaction.cachedFree {
        zoneTable[zone].compaction.cachedFree = highest
      }
    }
    count(.compactMigrateScanned, control.scannedSources)
    count(.compactFreeScanned, control.scannedTargets)
    traceCompaction(control, result)
    return result
  }

  /// Where the scanners begin: at the zone's ends, or where the last compaction stopped.
  private mutating func placeScanners(_ control: inout CompactControl) {
    let zone = control.zone
    let range = zoneTable[zone].range
    let last = pageblockStart(range.end - 1)
    control.fastStart = 0
    if control.wholeZone {
      control.migrate = range.start
      control.free = last
      return
    }
    let state = zoneTable[zone].compaction
    control.migrate = control.mode == .async ? state.cachedMigrateAsync : state.cachedMigrateSync
    control.free = state.cachedFree
    if control.free < range.start || control.free >= range.end {
      control.free = last
      zoneTable[zone].compaction.cachedFree = last
    }
    if control.migrate < range.start || control.migrate >= range.end {
      control.migrate = range.start
      zoneTable[zone].compaction.cachedMigrateAsync = range.start
      zoneTable[zone].compaction.cachedMigrateSync = range.start
    }
    if control.migrate <= zoneTable[zone].compaction.initialMigrate { control.wholeZone = true }
  }

  /// Isolates and moves once.
  ///
  /// - Returns: What the compaction comes to; nil when another round follows, or the rest of this one.
  mutating func compactRound(
    _ control: inout CompactControl, _ rounds: inout CompactRounds
  ) -> CompactResult? {
    let zone = control.zone
    if control.position == nil {
      let result = compactionResult(control)
      if result != .continue { return result }
      control.finishesPageblock =
        pageblockStart(rounds.lastMoved) == pageblockStart(control.migrate)
    }
    // A second time through when the rest of a pageblock is to be finished after a failure.
    var foundNothing = false
    scan: while true {
      switch isolateSources(&control) {
      case .paused: return nil
      case .abort:
        putBackMovable(control.list)
        control.list = []
        control.pages = 0
        return .contended
      case .none:
        if rounds.keepsTogether {
          zoneTable[zone].compaction.cachedMigrateSync =
            zoneTable[zone].compaction.cachedMigrateAsync
        }
        // Whether a block was captured is asked only after folios moved.
        foundNothing = true
        break scan
      case .found:
        rounds.keepsTogether = false
        rounds.lastMoved = max(zoneTable[zone].start, pageblockStart(control.migrate - 1))
      }
      let outcome = migrateSources(&control)
      if outcome == 0 { break }
      if outcome == -Errno.ENOMEM.rawValue, !haveScannersMet(control) { return .contended }
      let isPartial = control.migrate != pageblockStart(control.migrate)
      guard isPartial, !control.ignoresSkipHints, !control.finishesPageblock,
        control.mode != .sync
      else { break }
      control.finishesPageblock = true
      // The pageblock will not be free as a whole: a flush would not help.
      if control.order == geometry.hugeOrder { rounds.lastMoved = 0 }
    }
    if !foundNothing, capture.page != nil { return .success }
    // Once the scanner has left the block that it emptied, the freed pages may merge.
    if control.order > 0, rounds.lastMoved > 0,
      rounds.lastMoved < (control.migrate >> control.order) << control.order
    {
      drainLRU(cpu: currentCPU)
      drainZone(zone, cpu: currentCPU)
      rounds.lastMoved = 0
    }
    return nil
  }

  /// Moves what was isolated; what does not move goes back to the LRU lists.
  ///
  /// - Returns: What `migrate_pages()` returns.
  private mutating func migrateSources(_ control: inout CompactControl) -> Int {
    let pages = control.pages
    var migration = Migration(
      control.list, MigrationTarget(gfp: control.gfp, reason: .compaction), control.mode,
      hasHugetlb: false)
    control.list = []
    compacting = control
    let outcome = migration.run(&self)
    control = compacting!
    compacting = nil
    control.pages = 0
    traceCompactionMigrated(pages: pages, moved: outcome?.counts.succeeded ?? 0)
    guard let result = outcome?.result, result != 0 else { return 0 }
    putBackMovable(migration.remaining)
    return result
  }

  /// Kernel: `compact_scanners_met()`.
  private func haveScannersMet(_ control: CompactControl) -> Bool {
    control.free >> geometry.pageblockOrder <= control.migrate >> geometry.pageblockOrder
  }

  /// Whether the compaction is done (rule A7.6).
  ///
  /// Kernel: `compact_finished()`.
  private mutating func compactionResult(_ control: CompactControl) -> CompactResult {
    let zone = control.zone
    if haveScannersMet(control) {
      resetScanners(zone)
      if control.isDirect { zoneTable[zone].compaction.flushesSkipHints = true }
      return control.wholeZone ? .complete : .partialSkipped
    }
    if control.isProactive {
      if !isAsleep(.kswapd(node: zoneTable[zone].node)) { return .partialSkipped }
      return fragmentationScore(zone) > fragmentationMark(isLow: true) ? .continue : .success
    }
    if control.wantsEverything { return .continue }
    // A pageblock is finished, so that fewer fallbacks follow.
    if control.migrate != pageblockStart(control.migrate) { return .continue }
    return hasBlock(zone, order: control.order, for: control.type) ? .success : .continue
  }

  /// Whether a block is free that the request could take, or may claim.
  private func hasBlock(_ zone: Int, order: Int, for type: MigrateType) -> Bool {
    for current in order...geometry.maxOrder {
      if !freeList(zone, order: current, type).isEmpty { return true }
      if type == .movable, !freeList(zone, order: current, .cma).isEmpty { return true }
      if suitableFallback(zone, order: current, for: type)?.isClaimable == true { return true }
    }
    return false
  }

  /// Kernel: `gfp_migratetype()` (rule A2.4).
  func migrateType(of gfp: GFPFlags) -> MigrateType {
    if isMobilityGroupingDisabled { return .unmovable }
    return MigrateType(
      rawValue: UInt8(gfp.intersection([.movable, .reclaimable]).rawValue >> 3)) ?? .unmovable
  }
}

/// What one round of a compaction leaves to the next.
struct CompactRounds: Sendable, Codable {
  /// The pageblock from which folios last moved; 0 when what they left has been flushed.
  var lastMoved = 0
  /// As long as nothing was found, both cached positions stay together.
  var keepsTogether: Bool

  init(_ control: CompactControl, _ machine: borrowing Machine) {
    let state = machine.zoneTable[control.zone].compaction
    keepsTogether =
      control.mode == .async && state.cachedMigrateAsync == state.cachedMigrateSync
  }
}

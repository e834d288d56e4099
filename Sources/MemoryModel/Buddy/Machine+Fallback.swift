// Which pageblock lends when a type's own lists are empty. The two regimes share every step but the
// order of the search.

extension Machine {
  /// What a refill remembers between two blocks (rule A3.20).
  ///
  /// Kernel: `enum rmqueue_mode`.
  enum TakeMode: Int {
    case normal, cma, claim, steal
  }

  /// Takes one block from the free lists of a zone, falling back as the kernel allows (A3.19).
  ///
  /// Kernel: `__rmqueue()`, mm/page_alloc.c.
  mutating func take(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags,
    mode: inout TakeMode
  ) -> PFN? {
    lastTaken = .cma
    if flags.contains(.cma), prefersCMA(zone),
      let pfn = takeSmallest(zone, order: order, .cma)
    {
      return pfn
    }
    switch kernel.fallback {
    case .claimThenSteal:
      return takeInStages(zone, order: order, type, flags, mode: &mode)
    case .single:
      if let pfn = takeSmallest(zone, order: order, type) { return pfn }
      if flags.contains(.cma), let pfn = takeSmallest(zone, order: order, .cma) { return pfn }
      return takeFallback(zone, order: order, type, flags)
    case .moveAndRetry:
      return takeMovingFallback(zone, order: order, type, flags)
    }
  }

  /// The half rule, asked before every single block: the reads lag, the division truncates (rules
  /// P2.31, A9.3g; 16867664936e).
  func prefersCMA(_ zone: Int) -> Bool {
    kernel.takesCMAFirst
      && zoneTable[zone].visibleFreeCMA > zoneTable[zone].visibleFree / 2
  }

  /// Whether a refill goes on at the stage of the fallback that it had come to: 6.15 and 6.12.29 (F6, rule
  /// A3.20).
  var fallbackHasStages: Bool { kernel.fallback == .claimThenSteal }

  /// Own lists, CMA, claim, steal; an earlier stage is not tried again while `mode` is past it
  /// (rule A3.20).
  private mutating func takeInStages(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags,
    mode: inout TakeMode
  ) -> PFN? {
    if mode == .normal, let pfn = takeSmallest(zone, order: order, type) { return pfn }
    if mode.rawValue <= TakeMode.cma.rawValue, flags.contains(.cma),
      let pfn = takeSmallest(zone, order: order, .cma)
    {
      mode = .cma
      return pfn
    }
    if mode.rawValue <= TakeMode.claim.rawValue,
      let pfn = claim(zone, order: order, type, flags)
    {
      mode = .normal
      return pfn
    }
    if !flags.contains(.noFragment), let pfn = steal(zone, order: order, type) {
      mode = .steal
      return pfn
    }
    return nil
  }

  /// The first type of the fallback table with a block of this order, and whether its whole
  /// pageblock may be claimed (rule A3.18).
  ///
  /// Kernel: `find_suitable_fallback()`.
  func suitableFallback(
    _ zone: Int, order: Int, for type: MigrateType
  ) -> (type: MigrateType, isClaimable: Bool)? {
    guard zoneTable[zone].freeCounts[order] > 0, let table = type.fallbacks else { return nil }
    let claimable =
      order >= geometry.pageblockOrder / 2 || type == .unmovable || type == .reclaimable
      || isMobilityGroupingDisabled
    if !freeList(zone, order: order, table.0).isEmpty { return (table.0, claimable) }
    if !freeList(zone, order: order, table.1).isEmpty { return (table.1, claimable) }
    return nil
  }

  /// Largest block first; one block that may not be claimed ends the search (rule A3.21).
  ///
  /// Kernel: `__rmqueue_claim()`.
  private mutating func claim(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags
  ) -> PFN? {
    var current = geometry.maxOrder
    let minimum = minimumFallbackOrder(order, flags)
    while current >= minimum {
      if let fallback = suitableFallback(zone, order: current, for: type) {
        if !fallback.isClaimable { return nil }
        let block = firstFree(zone, order: current, fallback.type)!
        if let pfn = claimPageblock(
          zone, block, blockOrder: current, order: order, for: type, from: fallback.type, flags)
        {
          traceFallback(pfn, order, current, type, fallback.type)
          return pfn
        }
      }
      current -= 1
    }
    return nil
  }

  /// With NOFRAGMENT only whole pageblocks are claimed (A3.27).
  private func minimumFallbackOrder(_ order: Int, _ flags: AllocationFlags) -> Int {
    order < geometry.pageblockOrder && flags.contains(.noFragment)
      ? geometry.pageblockOrder : order
  }

  /// Tries to make a pageblock the request's own (rule A3.22).
  ///
  /// Kernel: `try_to_claim_block()`.
  private mutating func claimPageblock(
    _ zone: Int, _ block: PFN, blockOrder: Int, order: Int, for type: MigrateType,
    from old: MigrateType, _ flags: AllocationFlags
  ) -> PFN? {
    let blockType = frames.migrateType(block)
    if blockType == .highAtomic { return nil }
    if blockOrder >= geometry.pageblockOrder {
      removeFree(zone, block, order: blockOrder)
      account(zone, -(1 << blockOrder), blockType)
      setPageblockTypes(block, order: blockOrder, type)
      expand(zone, block, from: blockOrder, to: order, type)
      account(zone, (1 << blockOrder) - (1 << order), type)
      return block
    }
    noteBoost(zone, flags)
    guard let pageblock = wholePageblock(zone, block) else { return nil }
    guard isWorthClaiming(pageblock, from: blockType, for: type) else { return nil }
    moveFreePages(zone, pageblock, from: blockType, to: type)
    return takeSmallest(zone, order: order, type)
  }

  /// Rules A3.22.5 to A3.22.7: at least half of the pageblock is free or already alike.
  private func isWorthClaiming(
    _ pageblock: PFNRange, from old: MigrateType, for type: MigrateType
  ) -> Bool {
    let (free, movable) = countPages(pageblock)
    let alike: Int
    if type == .movable {
      alike = movable
    } else if old == .movable {
      alike = geometry.pageblockPages - (free + movable)
    } else {
      alike = 0
    }
    return free + alike >= geometry.pageblockPages / 2 || isMobilityGroupingDisabled
  }

  /// Takes the smallest foreign block and leaves its pageblock alone (rule A3.24).
  ///
  /// Kernel: `__rmqueue_steal()`.
  private mutating func steal(_ zone: Int, order: Int, _ type: MigrateType) -> PFN? {
    for current in order...geometry.maxOrder {
      guard let fallback = suitableFallback(zone, order: current, for: type) else { continue }
      let block = firstFree(zone, order: current, fallback.type)!
      takeAndExpand(zone, block, from: current, to: order, listed: fallback.type)
      traceFallback(block, order, current, type, fallback.type)
      return block
    }
    return nil
  }

  /// The one search of 6.10 to 6.14 (rule A3.25).
  ///
  /// Kernel: `__rmqueue_fallback()`, `steal_suitable_fallback()`.
  private mutating func takeFallback(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags
  ) -> PFN? {
    var current = geometry.maxOrder
    let minimum = minimumFallbackOrder(order, flags)
    while current >= minimum {
      guard var fallback = suitableFallback(zone, order: current, for: type) else {
        current -= 1
        continue
      }
      if !fallback.isClaimable && type == .movable && current > order {
        // A movable request that would not get the pageblock takes the smallest block instead.
        current = order
        while true {
          if let found = suitableFallback(zone, order: current, for: type) {
            fallback = found
            break
          }
          current += 1
        }
      }
      let block = firstFree(zone, order: current, fallback.type)!
      let pfn = takeOrClaim(
        zone, block, blockOrder: current, order: order, for: type, fallback, flags)
      traceFallback(pfn, order, current, type, fallback.type)
      return pfn
    }
    return nil
  }

  /// The loop of 5.0 to 6.9 (rule A9.5, F4): a fallback only moves blocks to the request's lists,
  /// from which they are then taken.
  ///
  /// Kernel: `__rmqueue()`, `steal_suitable_fallback()`.
  private mutating func takeMovingFallback(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags
  ) -> PFN? {
    while true {
      lastTaken = type
      if let pfn = takeSmallest(zone, order: order, type) { return pfn }
      lastTaken = .cma
      if flags.contains(.cma), let pfn = takeSmallest(zone, order: order, .cma) { return pfn }
      guard let (block, blockOrder, claimable) = findFallback(zone, order: order, type, flags)
      else { return nil }
      moveFallback(zone, block, blockOrder: blockOrder, for: type, claimable, flags)
    }
  }

  /// The search of rule A3.25 without taking anything.
  private func findFallback(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags
  ) -> (block: PFN, order: Int, isClaimable: Bool)? {
    var current = geometry.maxOrder
    let minimum = minimumFallbackOrder(order, flags)
    while current >= minimum {
      if let fallback = suitableFallback(zone, order: current, for: type) {
        guard !fallback.isClaimable && type == .movable && current > order else {
          let block = firstFree(zone, order: current, fallback.type)!
          return (block, current, fallback.isClaimable)
        }
        // A movable request that would not get the pageblock takes the smallest block instead.
        for smaller in order...current {
          if let found = suitableFallback(zone, order: smaller, for: type) {
            return (firstFree(zone, order: smaller, found.type)!, smaller, found.isClaimable)
          }
        }
      }
      current -= 1
    }
    return nil
  }

  /// Step 4 of rule A9.5, F4.
  private mutating func moveFallback(
    _ zone: Int, _ block: PFN, blockOrder: Int, for type: MigrateType, _ claimable: Bool,
    _ flags: AllocationFlags
  ) {
    let old = frames.migrateType(block)
    if old == .highAtomic { return moveToList(zone, block, order: blockOrder, type) }
    if blockOrder >= geometry.pageblockOrder {
      setPageblockTypes(block, order: blockOrder, type)
      return moveToList(zone, block, order: blockOrder, type)
    }
    noteBoost(zone, flags)
    guard claimable, let pageblock = wholePageblock(zone, block) else {
      return moveToList(zone, block, order: blockOrder, type)
    }
    let isWorth = isWorthClaiming(pageblock, from: old, for: type)
    moveAllToLists(zone, pageblock, type)
    if isWorth { setPageblockType(PFN(pageblock.start), type) }
  }

  private mutating func takeOrClaim(
    _ zone: Int, _ block: PFN, blockOrder: Int, order: Int, for type: MigrateType,
    _ fallback: (type: MigrateType, isClaimable: Bool), _ flags: AllocationFlags
  ) -> PFN {
    if fallback.isClaimable || blockOrder >= geometry.pageblockOrder {
      if let pfn = claimPageblock(
        zone, block, blockOrder: blockOrder, order: order, for: type, from: fallback.type, flags)
      {
        return pfn
      }
    } else {
      noteBoost(zone, flags)
    }
    takeAndExpand(zone, block, from: blockOrder, to: order, listed: fallback.type)
    return block
  }

  /// Boosts the marks, and has kswapd woken after the allocation (row q).
  private mutating func noteBoost(_ zone: Int, _ flags: AllocationFlags) {
    if boostWatermark(zone) || kernel.wakesWithoutBoost, flags.contains(.kswapd) {
      zoneTable[zone].flags.insert(.boostedWatermark)
    }
  }

  /// Raises the zone's marks by a pageblock, so that kswapd clears room (rule A3.26).
  ///
  /// It happens before anybody knows whether the claim succeeds (AP.8).
  /// Kernel: `boost_watermark()`.
  private mutating func boostWatermark(_ zone: Int) -> Bool {
    let factor = settings.watermarkBoostFactor
    let block = geometry.pageblockPages
    if factor == 0 || zoneTable[zone].managed < block * 4 { return false }
    let high = zoneTable[zone].watermarks[2]
    var limit = high / 10000 * factor + high % 10000 * factor / 10000
    if limit == 0 { return false }
    limit = max(block, limit)
    zoneTable[zone].watermarkBoost = min(zoneTable[zone].watermarkBoost + block, limit)
    return true
  }

  private mutating func traceFallback(
    _ pfn: PFN, _ order: Int, _ fallbackOrder: Int, _ type: MigrateType, _ old: MigrateType
  ) {
    let owns: UInt32 = frames.migrateType(pfn) == type ? 1 : 0
    trace.append(
      TraceEvent(
        .pageAllocExtfrag, pfn, order: order, UInt32(fallbackOrder),
        UInt32(type.rawValue) | UInt32(old.rawValue) << 8 | owns << 16))
  }
}

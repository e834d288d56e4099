extension Machine {
  /// Tries the zones of the request's zonelist once, in order (rule A4.2).
  ///
  /// May fail; never reclaims.
  ///
  /// Kernel: `get_page_from_freelist()`, mm/page_alloc.c.
  mutating func allocateFromFreeLists(
    _ request: AllocationRequest, _ initial: AllocationFlags
  ) -> PFN? {
    var flags = initial
    while true {
      let avoidsMixing = flags.contains(.noFragment)
      var restart = false
      var position = request.preferred
      let staysHome = request.gfp.contains(.thisNode)
      while position < zonelists[request.node].count {
        let zone = zonelists[request.node][position]
        position += 1
        if zoneTable[zone].indexRawValue > request.highest.rawValue { continue }
        let node = zoneTable[zone].node
        if staysHome && node != request.node { continue }
        if avoidsMixing && nodeCount > 1 {
          let preferredNode = zoneTable[zonelists[request.node][request.preferred]].node
          if position - 1 != request.preferred && node != preferredNode {
            // Mixing types at home is better than going to another node.
            flags.remove(.noFragment)
            restart = true
            break
          }
        }
        guard passesWatermarks(zone, request, flags) else { continue }
        if let pfn = takeFromZone(zone, request, flags) {
          if flags.contains(.highAtomic) { reserveHighAtomic(zone, pfn, order: request.order) }
          return pfn
        }
      }
      if restart { continue }
      if !avoidsMixing { return nil }
      flags.remove(.noFragment)
    }
  }

  /// Steps 3 and 4 of rule A4.2.
  ///
  /// Failing the high mark is remembered in the zone, even when the reason is a missing block and
  /// not a missing page (A4.3).
  mutating func passesWatermarks(
    _ zone: Int, _ request: AllocationRequest, _ flags: AllocationFlags
  ) -> Bool {
    if tunesPerCPULists && !zoneTable[zone].flags.contains(.belowHigh) {
      if isWatermarkOKFast(zone, request, mark: zoneTable[zone].watermark(2), flags) {
        return true
      }
      zoneTable[zone].flags.insert(.belowHigh)
    }
    return isWatermarkOKFast(
      zone, request, mark: zoneTable[zone].watermark(flags.watermark), flags)
      || flags.contains(.noWatermarks)
  }

  /// Takes a block from the CPU's lists or the buddy (rule A4.4).
  ///
  /// Kernel: `rmqueue()`.
  private mutating func takeFromZone(
    _ zone: Int, _ request: AllocationRequest, _ flags: AllocationFlags
  ) -> PFN? {
    var pfn: PFN?
    // Movable lists hold CMA pages, which a request without CMA may not have (rule A5.30).
    if isPerCPUOrder(request.order), !request.avoidsCMA || request.type != .movable {
      pfn = takePerCPU(zone, order: request.order, request.type, flags)
    }
    if pfn == nil { pfn = takeBuddy(zone, order: request.order, request.type, flags) }
    if let pfn { frames.setHead(pfn, allocatedState(request)) }
    countAllocation(zone, request, flags, pages: pfn == nil ? 0 : 1 << request.order)
    return pfn
  }

  /// The state of a block that was just handed out.
  func allocatedState(_ request: AllocationRequest) -> FrameState {
    var state = FrameState(.allocated, order: request.order)
    if request.order > 0, !request.gfp.contains(.comp) { state.flags = .plain }
    return state
  }

  /// What `rmqueue()` does after it took blocks, or none.
  mutating func countAllocation(
    _ zone: Int, _ request: AllocationRequest, _ flags: AllocationFlags, pages: Int
  ) {
    if pages > 0 {
      events[VMEvent.pgallocDMA.rawValue + zoneTable[zone].indexRawValue] += pages
      countNUMA(
        zone, preferred: zonelists[request.node][request.preferred], blocks: pages >> request.order)
    }
    if wakesForBoost(zone, flags), pages > 0 || flags.contains(.kswapd) {
      zoneTable[zone].flags.remove(.boostedWatermark)
      wakeKswapd(zone, order: 0, highest: zoneTable[zone].index, gfp: [])
    }
  }

  /// Whether an allocation from a zone tells kswapd that its marks were boosted (rule A3.26).
  func wakesForBoost(_ zone: Int, _ flags: AllocationFlags) -> Bool {
    zoneTable[zone].flags.contains(.boostedWatermark)
      && (flags.contains(.kswapd) || kernel.wakesWithoutBoost)
  }

  /// The zone that the first attempt takes the next block from, as far as that is plain to see: the
  /// first that passes its watermarks (rule A4.2).
  ///
  /// Asking twice leaves the same as asking once. Nil when no zone passes, or when the search would
  /// start over.
  mutating func servingZone(_ request: AllocationRequest, _ flags: AllocationFlags) -> Int? {
    for position in request.preferred..<zonelists[request.node].count {
      let zone = zonelists[request.node][position]
      if zoneTable[zone].indexRawValue > request.highest.rawValue { continue }
      let node = zoneTable[zone].node
      if request.gfp.contains(.thisNode) && node != request.node { continue }
      if flags.contains(.noFragment), nodeCount > 1, position != request.preferred,
        node != zoneTable[zonelists[request.node][request.preferred]].node
      {
        return nil
      }
      if passesWatermarks(zone, request, flags) { return zone }
    }
    return nil
  }

  /// Kernel: `rmqueue_buddy()` (rule A3.28).
  private mutating func takeBuddy(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags
  ) -> PFN? {
    guard let pfn = takeUnaccounted(zone, order: order, type, flags) else { return nil }
    if !kernel.typesFollowPageblocks { account(zone, -(1 << order), lastTaken) }
    return pfn
  }

  private mutating func takeUnaccounted(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags
  ) -> PFN? {
    lastTaken = .highAtomic
    if flags.contains(.highAtomic), let pfn = takeSmallest(zone, order: order, .highAtomic) {
      return pfn
    }
    var mode = TakeMode.normal
    if let pfn = take(zone, order: order, type, flags, mode: &mode) { return pfn }
    lastTaken = .highAtomic
    let urgent: AllocationFlags = kernel.nonBlockingTakesHighAtomic ? [.oom, .nonBlock] : .oom
    return flags.isDisjoint(with: urgent) ? nil : takeSmallest(zone, order: order, .highAtomic)
  }

  /// Kernel: `zone_statistics()` (rule A8.10).
  private mutating func countNUMA(_ zone: Int, preferred: Int, blocks: Int) {
    let width = VMStatNames.numaItems.count
    let node = zoneTable[zone].node
    let place = node == cpuNodes[currentCPU] ? NUMAItem.local : .other
    numaItems[zone * width + place.rawValue] += blocks
    if node == zoneTable[preferred].node {
      numaItems[zone * width + NUMAItem.hit.rawValue] += blocks
    } else {
      numaItems[zone * width + NUMAItem.miss.rawValue] += blocks
      numaItems[preferred * width + NUMAItem.foreign.rawValue] += blocks
    }
  }

  /// Keeps the pageblock of an urgent high-order page for its like (rule A3.29).
  ///
  /// Kernel: `reserve_highatomic_pageblock()`.
  private mutating func reserveHighAtomic(_ zone: Int, _ pfn: PFN, order: Int) {
    let block = geometry.pageblockPages
    let share = zoneTable[zone].managed / 100
    if kernel.limitsHighAtomicStrictly && share < block { return }
    let limit =
      kernel.limitsHighAtomicStrictly ? (share + block - 1) / block * block : share + block
    if zoneTable[zone].reservedHighAtomic >= limit { return }
    let type = frames.migrateType(pfn)
    if !type.isMergeable { return }
    if !kernel.typesFollowPageblocks {
      zoneTable[zone].reservedHighAtomic += block
      if let pageblock = wholePageblock(zone, pfn) {
        moveAllToLists(zone, pageblock, .highAtomic)
      }
      return setPageblockType(pfn, .highAtomic)
    }
    if order < geometry.pageblockOrder {
      guard let pageblock = wholePageblock(zone, pfn) else { return }
      moveFreePages(zone, pageblock, from: type, to: .highAtomic)
      zoneTable[zone].reservedHighAtomic += block
    } else {
      setPageblockTypes(pfn, order: order, .highAtomic)
      zoneTable[zone].reservedHighAtomic += 1 << order
    }
  }
}

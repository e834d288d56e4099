extension Machine {
  /// Pages that a request with these flags may not count on (rule A4.11).
  ///
  /// Kernel: `__zone_watermark_unusable_free()`.
  private func unusableFree(_ zone: Int, order: Int, _ flags: AllocationFlags) -> Int {
    var unusable = 1 << order - 1
    // Up to 6.2 `__GFP_HIGH` alone lowers the mark and no more.
    if flags.isDisjoint(with: kernel.hasHarder ? [.harder, .oom] : .reserves) {
      unusable +=
        kernel.countsFreeHighAtomic
        ? zoneTable[zone].freeHighAtomic : zoneTable[zone].reservedHighAtomic
    }
    if !flags.contains(.cma) { unusable += zoneTable[zone].visibleFreeCMA }
    return unusable
  }

  /// Whether the zone stays above a mark, and has a block to give (rule A4.12).
  ///
  /// Kernel: `__zone_watermark_ok()`, mm/page_alloc.c.
  func isWatermarkOK(
    _ zone: Int, order: Int, mark: Int, highest: ZoneIndex, _ flags: AllocationFlags, free: Int
  ) -> Bool {
    let usable = free - unusableFree(zone, order: order, flags)
    var minimum = mark
    if flags.contains(.minReserve) {
      minimum -= minimum / 2
      if flags.contains(.nonBlock) && !flags.contains(.harder) { minimum -= minimum / 4 }
    }
    if flags.contains(.harder) { minimum -= minimum / 4 }
    if flags.contains(.oom) { minimum -= minimum / 2 }
    if usable <= minimum + zoneTable[zone].lowmemReserve[highest.rawValue] { return false }
    if order == 0 { return true }
    for current in order...geometry.maxOrder where zoneTable[zone].freeCounts[current] > 0 {
      if !freeList(zone, order: current, .movable).isEmpty
        || !freeList(zone, order: current, .unmovable).isEmpty
        || !freeList(zone, order: current, .reclaimable).isEmpty
      {
        return true
      }
      if flags.contains(.cma), !freeList(zone, order: current, .cma).isEmpty {
        return true
      }
      if !flags.isDisjoint(with: [.highAtomic, .oom]),
        !freeList(zone, order: current, .highAtomic).isEmpty
      {
        return true
      }
    }
    return false
  }

  /// The test that every attempt makes first (rule A4.10).
  ///
  /// Kernel: `zone_watermark_fast()`.
  func isWatermarkOKFast(
    _ zone: Int, _ request: AllocationRequest, mark: Int, _ flags: AllocationFlags
  ) -> Bool {
    let order = request.order
    let highest = request.highest
    let free = zoneTable[zone].visibleFree
    if order == 0 {
      let usable = free - min(free, unusableFree(zone, order: 0, flags))
      if usable > mark + zoneTable[zone].lowmemReserve[highest.rawValue] { return true }
      // Row v: the marks have no sign, and so the comparison has none.
      if kernel.comparesUnsigned, free < unusableFree(zone, order: 0, flags) { return true }
    }
    if isWatermarkOK(zone, order: order, mark: mark, highest: highest, flags, free: free) {
      return true
    }
    // An urgent page may go below a mark that only a boost raised.
    let mayWaive =
      kernel.hasAtomicBit ? request.gfp.contains(.atomicBit) : flags.contains(.minReserve)
    if order == 0, mayWaive, zoneTable[zone].watermarkBoost != 0,
      flags.watermark == 0
    {
      return isWatermarkOK(
        zone, order: 0, mark: zoneTable[zone].watermarks[0], highest: highest, flags, free: free)
    }
    return false
  }
}

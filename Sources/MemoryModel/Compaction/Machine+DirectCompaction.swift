extension Machine {
  /// Compacts for a request that found no block, and tries again (rules A7.1, A7.2).
  ///
  /// Kernel: `__alloc_pages_direct_compact()`, mm/page_alloc.c.
  ///
  /// - Parameter result: What the compaction came to; unchanged for order 0.
  mutating func compactDirectly(
    _ request: AllocationRequest, _ flags: AllocationFlags, _ priority: CompactPriority,
    result: inout CompactResult
  ) -> PFN? {
    if request.order == 0 { return nil }
    reclaimDepth += 1
    var captured: PFN?
    result = tryToCompact(request, flags, priority, captured: &captured)
    reclaimDepth -= 1
    if result == .skipped { return nil }
    count(.compactStall, 1)
    if let captured {
      frames.setHead(captured, FrameState(.allocated, order: request.order))
    }
    guard let pfn = captured ?? allocateFromFreeLists(request, flags) else {
      count(.compactFail, 1)
      return nil
    }
    if let zone = frames.zone(of: pfn) {
      zoneTable[zone].compaction.flushesSkipHints = false
      zoneTable[zone].compaction.resume(order: request.order, succeeded: true)
    }
    count(.compactSuccess, 1)
    return pfn
  }

  /// Compacts one zone after the other until one has a block (rule A7.1).
  ///
  /// Kernel: `try_to_compact_pages()`, mm/compaction.c.
  private mutating func tryToCompact(
    _ request: AllocationRequest, _ flags: AllocationFlags, _ priority: CompactPriority,
    captured: inout PFN?
  ) -> CompactResult {
    guard request.gfp.contains(.io) else { return .skipped }
    traceCompactionTry(request, priority)
    var best = CompactResult.skipped
    for zone in allowedZones(request) {
      if priority != .syncFull, zoneTable[zone].compaction.isPutOff(order: request.order) {
        best = max(best, .deferred)
        continue
      }
      let status = compactZone(zone, request, flags, priority, captured: &captured)
      best = max(best, status)
      if status == .success {
        zoneTable[zone].compaction.resume(order: request.order, succeeded: false)
        break
      }
      if priority != .async, status == .complete || status == .partialSkipped {
        zoneTable[zone].compaction.putOff(order: request.order)
      }
    }
    return best
  }

  /// Kernel: `compact_zone_order()`.
  private mutating func compactZone(
    _ zone: Int, _ request: AllocationRequest, _ flags: AllocationFlags,
    _ priority: CompactPriority, captured: inout PFN?
  ) -> CompactResult {
    var control = CompactControl(
      order: request.order, gfp: request.gfp, mode: priority == .async ? .async : .syncLight,
      orderCount: geometry.orderCount)
    control.zone = zone
    control.flags = flags
    control.highest = request.highest
    control.isDirect = true
    control.wholeZone = priority == .syncFull
    control.ignoresSkipHints = priority == .syncFull
    control.ignoresBlockTypes = priority == .syncFull
    capture = Capture(order: request.order, zone: zone, type: migrateType(of: request.gfp))
    let result = compactZone(&control)
    captured = capture.page
    capture = Capture()
    return captured == nil ? result : .success
  }
}

// The slow path up to the point where reclaim or compaction would run. Reclaim and compaction are
// not modelled yet: a request that would enter them fails as `__GFP_NORETRY` fails, and the refusal
// says so.

extension Machine {
  struct SlowPathResult {
    var pfn: PFN?
    var refusal: Refusal?
  }

  /// Kernel: `__alloc_pages_slowpath()`, mm/page_alloc.c (rules A4.15 to A4.24).
  @inline(never)
  mutating func allocateSlowPath(_ request: AllocationRequest) -> SlowPathResult {
    let gfp = request.gfp
    let flags = slowPathFlags(request)
    if flags.contains(.kswapd) { wakeKswapd(request) }
    if let pfn = allocateFromFreeLists(request, flags) { return SlowPathResult(pfn: pfn) }

    // Rule A4.18: large or non-movable blocks are compacted for before anything else.
    let compactsFirst =
      gfp.isSuperset(of: [.directReclaim, .io]) && !gfp.contains(.memalloc)
      && (request.order > 3 || request.order > 0 && request.type != .movable)
    if compactsFirst { return SlowPathResult(refusal: wouldReclaim(request, "A4.18")) }

    // Rule A4.20: one more look, with reserves where the request may have them.
    if flags.contains(.kswapd) { wakeKswapd(request) }
    var retry = flags
    if gfp.contains(.memalloc) && !gfp.contains(.noMemalloc) {
      retry = flags.intersection([.cma, .kswapd]).union(.noWatermarks)
    }
    if let pfn = allocateFromFreeLists(request, retry) { return SlowPathResult(pfn: pfn) }

    if gfp.contains(.directReclaim) {
      return SlowPathResult(refusal: wouldReclaim(request, "A4.20"))
    }
    return SlowPathResult(
      refusal: Refusal(
        .ENOMEM,
        "page allocation failure: order:\(request.order), "
          + "mode:0x\(hex(Int(gfp.rawValue)))(\(gfp.description))", rule: "A4.24"))
  }

  private func wouldReclaim(_ request: AllocationRequest, _ rule: String) -> Refusal {
    Refusal(
      .ENOMEM,
      "order \(request.order), \(request.gfp.description): the kernel would now reclaim and compact; "
        + "this version gives up here, as __GFP_NORETRY does", rule: rule)
  }

  /// Kernel: `gfp_to_alloc_flags()` (rule A4.16).
  private func slowPathFlags(_ request: AllocationRequest) -> AllocationFlags {
    let gfp = request.gfp
    var flags: AllocationFlags = [.watermarkMin, .cpuset]
    if gfp.contains(.high) { flags.insert(.minReserve) }
    if gfp.contains(.kswapdReclaim) { flags.insert(.kswapd) }
    if !gfp.contains(.directReclaim) {
      if !gfp.contains(.noMemalloc) {
        flags.insert(.nonBlock)
        if request.order > 0, gfp.contains(.high) || !kernel.highAtomicNeedsHigh {
          flags.insert(.highAtomic)
        }
      }
      if gfp.contains(.high) { flags.remove(.cpuset) }
    }
    if request.type == .movable && borrowsFromCMA { flags.insert(.cma) }
    return flags
  }

  /// Counts the nodes whose kswapd would be woken: no zone of the node that may serve the request is
  /// above its high mark, or one is boosted (rules A7.31, A7.33).
  ///
  /// Kernel: `wake_all_kswapds()`, `wakeup_kswapd()`, `pgdat_balanced()`.
  private mutating func wakeKswapd(_ request: AllocationRequest) {
    for node in 0..<nodeCount {
      var isBalanced = true
      var isBoosted = false
      for index in 0...request.highest.rawValue {
        let zone = node * ZoneIndex.count + index
        guard zoneTable[zone].managed > 0 else { continue }
        if zoneTable[zone].watermarkBoost > 0 { isBoosted = true }
        // zone_watermark_ok_safe(): below the drift mark the exact count is worth its cost.
        let visible = zoneTable[zone].visibleFree
        let free =
          visible < zoneTable[zone].percpuDriftMark ? freePagesSnapshot(zone) : visible
        isBalanced = isWatermarkOK(
          zone, order: request.order, mark: zoneTable[zone].watermark(2),
          highest: request.highest, [], free: free)
        if isBalanced { break }
      }
      if isBoosted || !isBalanced { kswapdWakeups += 1 }
    }
  }
}

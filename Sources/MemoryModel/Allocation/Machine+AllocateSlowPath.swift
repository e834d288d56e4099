// What happens to a request that found no block above the low marks: reserves, compaction, reclaim and the
// OOM killer, in the kernel's order, until one of them helps or none can.

extension Machine {
  struct SlowPathResult {
    var pfn: PFN?
    var refusal: Refusal?
  }

  /// What the loop remembers from one round to the next (rule A4.15).
  private struct Retries {
    var compactPriority = CompactPriority.syncLight
    var compactResult = CompactResult.skipped
    /// Compactions that seemed to succeed.
    var compactions = 0
    /// Rounds in which reclaim freed nothing.
    var withoutProgress = 0
    /// Rounds in which nothing at all changed.
    var idle = 0
  }

  private enum Round { case done(PFN), again, failed, hopeless, stopped }

  /// Rounds without any progress after which a request that may not fail is given up; the kernel would
  /// go on until somebody else frees memory, and nobody else runs here.
  private static let idleRoundLimit = 64
  /// Kernel: `MAX_RECLAIM_RETRIES`.
  static let maxReclaimRetries = 16
  /// Kernel: `MAX_COMPACT_RETRIES`.
  private static let maxCompactRetries = 16

  /// Kernel: `__alloc_pages_slowpath()`, mm/page_alloc.c (rules A4.15 to A4.24).
  @inline(never)
  mutating func allocateSlowPath(_ request: AllocationRequest) -> SlowPathResult {
    let gfp = request.gfp
    var flags = slowPathFlags(request)
    var retries = Retries()
    let isPostponed = postponeForeign()
    defer { if isPostponed { resumeForeign() } }
    if flags.contains(.kswapd) { wakeAllKswapds(request) }
    if let pfn = allocateFromFreeLists(request, flags) { return SlowPathResult(pfn: pfn) }

    // Rule A4.18: large or non-movable blocks are compacted for before anything else.
    let isCostly = request.order > Self.costlyOrder
    let compactsFirst =
      gfp.isSuperset(of: [.directReclaim, .io]) && reserveFlags(gfp) == nil
      && (isCostly || request.order > 0 && request.type != .movable)
    if compactsFirst {
      let pfn = compactDirectly(request, flags, .async, result: &retries.compactResult)
      if let pfn { return SlowPathResult(pfn: pfn) }
      // Rule A4.19.
      if isCostly && gfp.contains(.noRetry) {
        if retries.compactResult == .skipped || retries.compactResult == .deferred
          || gfp.contains(.thisNode)
        {
          return fail(request)
        }
        retries.compactPriority = .async
      }
    }
    while true {
      switch tryRound(request, &flags, &retries) {
      case .done(let pfn): return SlowPathResult(pfn: pfn)
      case .again: continue
      case .hopeless: return SlowPathResult(refusal: waitsForever(request))
      case .stopped:
        return SlowPathResult(
          refusal: Refusal(.EINTR, "stopped while it reclaimed memory", rule: "A4.20"))
      case .failed:
        guard gfp.isSuperset(of: [.noFail, .directReclaim]) else { return fail(request) }
        // Rule A4.24: it may not fail, so it gets a part of the reserves and starts over.
        for extra in [AllocationFlags.cpuset, []] {
          if let pfn = allocateFromFreeLists(request, [.minReserve, extra]) {
            return SlowPathResult(pfn: pfn)
          }
        }
        retries.idle += 1
        if retries.idle > Self.idleRoundLimit {
          return SlowPathResult(refusal: waitsForever(request))
        }
      }
    }
  }

  /// One round of the loop (rule A4.20).
  private mutating func tryRound(
    _ request: AllocationRequest, _ flags: inout AllocationFlags, _ retries: inout Retries
  ) -> Round {
    let gfp = request.gfp
    if flags.contains(.kswapd) { wakeAllKswapds(request) }
    if let reserves = reserveFlags(gfp) {
      flags = flags.intersection(.kswapd).union(reserves)
      if mayUseCMA(request) { flags.insert(.cma) }
    }
    if let pfn = allocateFromFreeLists(request, flags) { return .done(pfn) }
    if !gfp.contains(.directReclaim) || reclaimDepth > 0 { return .failed }

    let reclaimed = reclaimDirectly(request)
    if reclaimed > 0, let pfn = allocateAfterReclaim(request, flags) { return .done(pfn) }
    // Reclaim has looked at a part only: no reason to kill anybody.
    if isToStop, !gfp.contains(.noFail) { return .stopped }
    if let pfn = compactDirectly(
      request, flags, retries.compactPriority, result: &retries.compactResult)
    {
      return .done(pfn)
    }
    if gfp.contains(.noRetry) { return .failed }
    let canCompact = gfp.contains(.io)
    if request.order > Self.costlyOrder, !canCompact || !gfp.contains(.retryMayFail) {
      return .failed
    }
    if shouldReclaimAgain(request, flags, hasProgress: reclaimed > 0, &retries) { return .again }
    if reclaimed > 0, canCompact, shouldCompactAgain(request, &retries) { return .again }
    let round = tryOOM(request, &retries)
    // Rule A4.20, step 12: what it may use did not suffice, so it has to do without.
    if case .again = round, isCurrentKilled, flags.contains(.oom) || gfp.contains(.noMemalloc) {
      return .failed
    }
    return round
  }

  /// Looks again after a reclaim, with all per-CPU pages in the buddy the second time (rule A4.20,
  /// step 5).
  ///
  /// Kernel: the end of `__alloc_pages_direct_reclaim()`.
  private mutating func allocateAfterReclaim(
    _ request: AllocationRequest, _ flags: AllocationFlags
  ) -> PFN? {
    if let pfn = allocateFromFreeLists(request, flags) { return pfn }
    _ = giveUpHighAtomic(request, force: false)
    drainAllPages()
    return allocateFromFreeLists(request, flags)
  }

  /// Whether reclaim may still lead somewhere (rule A4.21).
  ///
  /// Kernel: `should_reclaim_retry()`.
  private mutating func shouldReclaimAgain(
    _ request: AllocationRequest, _ flags: AllocationFlags, hasProgress: Bool,
    _ retries: inout Retries
  ) -> Bool {
    if hasProgress && request.order <= Self.costlyOrder {
      retries.withoutProgress = 0
    } else {
      retries.withoutProgress += 1
    }
    if retries.withoutProgress <= Self.maxReclaimRetries {
      for zone in allowedZones(request) {
        let available = reclaimablePages(zone) + freePagesSnapshot(zone)
        if isWatermarkOK(
          zone, order: request.order, mark: zoneTable[zone].watermark(0),
          highest: request.highest, flags, free: available)
        {
          return true
        }
      }
    }
    return giveUpHighAtomic(request, force: true)
  }

  /// Whether compaction is worth another try, perhaps a harder one (rule A4.22).
  ///
  /// Kernel: `should_compact_retry()`.
  private func shouldCompactAgain(
    _ request: AllocationRequest, _ retries: inout Retries
  ) -> Bool {
    if request.order == 0 || isCurrentKilled { return false }
    let isCostly = request.order > Self.costlyOrder
    if retries.compactResult == .skipped { return isCompactionSuitableAfterReclaim(request) }
    if retries.compactResult == .success {
      retries.compactions += 1
      let limit = isCostly ? Self.maxCompactRetries / 4 : Self.maxCompactRetries
      if retries.compactions <= limit { return true }
    }
    let floor = isCostly ? CompactPriority.syncLight : .syncFull
    guard retries.compactPriority.rawValue > floor.rawValue,
      let harder = CompactPriority(rawValue: retries.compactPriority.rawValue - 1)
    else { return false }
    retries.compactPriority = harder
    retries.compactions = 0
    return true
  }

  /// The OOM killer, for requests that it can help (rule A4.23).
  ///
  /// Kernel: `__alloc_pages_may_oom()`.
  private mutating func tryOOM(_ request: AllocationRequest, _ retries: inout Retries) -> Round {
    let gfp = request.gfp
    var last = request
    last.gfp = gfp.union(.hardwall).subtracting(.directReclaim)
    // Somebody may have been killed meanwhile.
    if let pfn = allocateFromFreeLists(last, [.watermarkHigh, .cpuset]) { return .done(pfn) }
    guard request.order <= Self.costlyOrder, gfp.isDisjoint(with: [.retryMayFail, .thisNode]),
      request.highest.rawValue >= ZoneIndex.normal.rawValue
    else { return .failed }
    let outcome = outOfMemory(request)
    if outcome == .refused, !gfp.contains(.noFail) { return .failed }
    if gfp.contains(.noFail) {
      for extra in [AllocationFlags.cpuset, []] {
        if let pfn = allocateFromFreeLists(request, [.noWatermarks, extra]) { return .done(pfn) }
      }
    }
    retries.withoutProgress = 0
    if case .acted(.some) = outcome {
      retries.idle = 0
    } else {
      retries.idle += 1
    }
    return retries.idle > Self.idleRoundLimit ? .hopeless : .again
  }

  /// The reserves that a request, or the task, has a right to; nil for none (rule A4.20, step 2).
  ///
  /// Kernel: `__gfp_pfmemalloc_flags()`.
  private func reserveFlags(_ gfp: GFPFlags) -> AllocationFlags? {
    if gfp.contains(.noMemalloc) { return nil }
    if gfp.contains(.memalloc) || reclaimDepth > 0 { return .noWatermarks }
    // A victim of the OOM killer may use a half of the reserves to come to its end.
    return isCurrentKilled ? .oom : nil
  }

  /// Logs the failure and says why (rule A4.24).
  ///
  /// The kernel prints one message in ten seconds; here one an operation.
  ///
  /// Kernel: `warn_alloc()`, without the call trace and the state of memory that follow.
  private mutating func fail(_ request: AllocationRequest) -> SlowPathResult {
    let mode = "mode:0x\(hex(Int(request.gfp.rawValue)))(\(request.gfp.description))"
    let text = "page allocation failure: order:\(request.order), \(mode)"
    let lacksZone = request.gfp.contains(.dma) && !hasDMA
    if !request.gfp.contains(.noWarn), !lacksZone, background.mayWarn {
      background.mayWarn = false
      let nodes = nodeCount == 1 ? "0" : "0-\(nodeCount - 1)"
      log.append("\(taskName): \(text), nodemask=(null),cpuset=/,mems_allowed=\(nodes)")
    }
    return SlowPathResult(refusal: Refusal(.ENOMEM, text, rule: "A4.24"))
  }

  /// Kernel: `current->comm`.
  var taskName: String { currentSpace.map { spaces[$0].name } ?? "pinlab" }

  /// Kernel: `has_managed_dma()`.
  private var hasDMA: Bool {
    populatedZones.contains { zoneTable[$0].index == .dma && zoneTable[$0].managed > 0 }
  }

  private func waitsForever(_ request: AllocationRequest) -> Refusal {
    Refusal(
      .ENOMEM,
      "order \(request.order), \(request.gfp.description): the kernel would try until somebody else "
        + "frees memory, and nobody else runs", rule: "A4.23")
  }

  /// Kernel: `gfp_to_alloc_flags()` (rule A4.16).
  private func slowPathFlags(_ request: AllocationRequest) -> AllocationFlags {
    let gfp = request.gfp
    var flags: AllocationFlags = [.watermarkMin, .cpuset]
    if gfp.contains(.high) { flags.insert(.minReserve) }
    if gfp.contains(.kswapdReclaim) { flags.insert(.kswapd) }
    if !gfp.contains(.directReclaim) {
      if kernel.hasHarder {
        // Row t: only `__GFP_ATOMIC` tries harder.
        if gfp.contains(.atomicBit) && !gfp.contains(.noMemalloc) {
          flags.formUnion([.nonBlock, .harder])
          if request.order > 0 { flags.insert(.highAtomic) }
        }
      } else if !gfp.contains(.noMemalloc) {
        flags.insert(.nonBlock)
        if request.order > 0, gfp.contains(.high) || !kernel.highAtomicNeedsHigh {
          flags.insert(.highAtomic)
        }
      }
      if gfp.contains(.high) { flags.remove(.cpuset) }
    }
    if mayUseCMA(request) { flags.insert(.cma) }
    return flags
  }
}

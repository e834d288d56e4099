extension Machine {
  /// Frees pages for a request that found none, in the task that asks (rule A7.36).
  ///
  /// Kernel: `__perform_reclaim()`, `try_to_free_pages()`, mm/vmscan.c.
  ///
  /// - Returns: Pages reclaimed; 1 without any where compaction should be tried first.
  mutating func reclaimDirectly(_ request: AllocationRequest) -> Int {
    throttle(request)
    beginShrinkers()
    trace.append(
      TraceEvent(.directReclaimBegin, PFN(0), order: request.order, request.gfp.rawValue))
    var control = ReclaimControl(
      request.gfp, order: request.order, highest: request.highest, by: .direct)
    control.goal = ReclaimControl.cluster
    let pages = reclaim(request, &control)
    noteMemoryStep()
    trace.append(TraceEvent(.directReclaimEnd, PFN(0), order: 0, UInt32(pages)))
    return pages
  }

  /// Kernel: `do_try_to_free_pages()`.
  ///
  /// Without progress it starts once more: the second time the kernel walks all memory cgroups, of
  /// which there are none here.
  mutating func reclaim(_ request: AllocationRequest, _ control: inout ReclaimControl) -> Int {
    for _ in 0..<2 {
      events[VMEvent.allocstallDMA.rawValue + request.highest.rawValue] += 1
      control.priority = ReclaimControl.firstPriority
      while control.priority >= 0 {
        control.scanned = 0
        shrinkZones(request, &control)
        if control.reclaimed >= control.goal || control.isReadyToCompact || isToStop { break }
        control.priority -= 1
      }
      if control.reclaimed > 0 { return control.reclaimed }
      if control.isReadyToCompact { return 1 }
    }
    return 0
  }

  /// Shrinks each node that a request may use once.
  ///
  /// Kernel: `shrink_zones()`.
  private mutating func shrinkZones(_ request: AllocationRequest, _ control: inout ReclaimControl) {
    var last: Int?
    for position in request.preferred..<zonelists[request.node].count {
      let zone = zonelists[request.node][position]
      let node = zoneTable[zone].node
      guard zoneTable[zone].indexRawValue <= control.highest.rawValue,
        !request.gfp.contains(.thisNode) || node == request.node
      else { continue }
      if control.order > Self.costlyOrder, isReadyToCompact(zone, control) {
        control.isReadyToCompact = true
        continue
      }
      if node == last { continue }
      last = node
      shrinkNode(node, &control)
    }
  }

  /// Kernel: `compaction_ready()`.
  private func isReadyToCompact(_ zone: Int, _ control: ReclaimControl) -> Bool {
    guard control.gfp.contains(.io) else { return false }
    if isWatermarkOK(
      zone, order: control.order, mark: zoneTable[zone].watermark(0), highest: control.highest, [],
      free: zoneTable[zone].visibleFree)
    {
      return true
    }
    guard isCompactionSuitable(zone, order: control.order, highest: control.highest) else {
      return false
    }
    return isWatermarkOKSafe(
      zone, order: 0, mark: zoneTable[zone].watermark(2) + Self.compactGap(control.order),
      highest: control.highest)
  }

  /// Lets a task wait for kswapd when the reserves of its first node are half used up.
  ///
  /// Nothing can be waited for here: kswapd runs at once, and the task goes on.
  /// Kernel: `throttle_direct_reclaim()`, `allow_direct_reclaim()`.
  private mutating func throttle(_ request: AllocationRequest) {
    guard background.running == nil, !isCurrentKilled else { return }
    var node: Int?
    for position in request.preferred..<zonelists[request.node].count {
      let zone = zonelists[request.node][position]
      if zoneTable[zone].indexRawValue <= ZoneIndex.normal.rawValue {
        node = zoneTable[zone].node
        break
      }
    }
    guard let node, !kswapds[node].isHopeless, !hasReserves(node) else { return }
    if kswapds[node].isResting {
      kswapds[node].highest = min(kswapds[node].highest ?? .normal, .normal)
      wakeSleeper(node)
    }
    count(.scanDirectThrottle, 1)
    if background.isEnabled { run(.kswapd(node: node)) }
  }

  private func hasReserves(_ node: Int) -> Bool {
    var reserve = 0
    var free = 0
    for index in 0...ZoneIndex.normal.rawValue {
      let zone = node * ZoneIndex.count + index
      guard zoneTable[zone].managed > 0, reclaimablePages(zone) > 0 else { continue }
      reserve += zoneTable[zone].watermark(0)
      free += freePagesSnapshot(zone)
    }
    return reserve == 0 || free > reserve / 2
  }
}

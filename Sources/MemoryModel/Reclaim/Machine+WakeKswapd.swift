extension Machine {
  /// Wakes the kswapd of every node whose zones a request may use (rule A7.31).
  ///
  /// Kernel: `wake_all_kswapds()`, mm/page_alloc.c.
  mutating func wakeAllKswapds(_ request: AllocationRequest) {
    var last: Int?
    for position in 0..<zonelists[request.node].count {
      let zone = zonelists[request.node][position]
      guard zoneTable[zone].indexRawValue <= request.highest.rawValue,
        zoneTable[zone].managed > 0, zoneTable[zone].node != last
      else { continue }
      wakeKswapd(zone, order: request.order, highest: request.highest, gfp: request.gfp)
      last = zoneTable[zone].node
    }
  }

  /// Asks a node's kswapd for free blocks of an order, and wakes it if it rests and can help (rule
  /// A7.31).
  ///
  /// Kernel: `wakeup_kswapd()`, mm/vmscan.c.
  mutating func wakeKswapd(_ zone: Int, order: Int, highest: ZoneIndex, gfp: GFPFlags) {
    guard zoneTable[zone].managed > 0 else { return }
    let node = zoneTable[zone].node
    if kswapds[node].highest.map({ $0 < highest }) ?? true { kswapds[node].highest = highest }
    if kswapds[node].order < order { kswapds[node].order = order }
    guard kswapds[node].isResting else { return }
    let isNeeded =
      !isBalanced(node, order: order, highest: highest) || isBoosted(node, highest: highest)
    if kswapds[node].isHopeless || !isNeeded {
      if !gfp.contains(.directReclaim) { wakeKcompactd(node: node, order: order, highest: highest) }
      return
    }
    trace.append(
      TraceEvent(
        .wakeupKswapd, PFN(0), order: order, UInt32(node << 8 | highest.rawValue), gfp.rawValue))
    wakeSleeper(node)
    noteMemoryStep()
  }

  /// Kernel: `wake_up_interruptible()`, and the end of `kswapd_try_to_sleep()`.
  mutating func wakeSleeper(_ node: Int) {
    kswapdWakeups += 1
    let wasNapping = kswapds[node].rest == .napping
    if !wasNapping { setStatThresholds(node, underPressure: true) }
    kswapds[node].rest = .woken(early: wasNapping)
    wake(.kswapd(node: node))
  }

  /// Whether some zone of the node could serve a request of this order and stay above its high mark
  /// (rule A7.33).
  ///
  /// Kernel: `pgdat_balanced()`.
  func isBalanced(_ node: Int, order: Int, highest: ZoneIndex) -> Bool {
    var isManaged = false
    for index in 0...highest.rawValue {
      let zone = node * ZoneIndex.count + index
      guard zoneTable[zone].managed > 0 else { continue }
      isManaged = true
      if isWatermarkOKSafe(zone, order: order, mark: zoneTable[zone].watermark(2), highest: highest)
      {
        return true
      }
    }
    return !isManaged
  }

  /// Below the drift mark the exact count is worth its cost.
  ///
  /// Kernel: `zone_watermark_ok_safe()`.
  func isWatermarkOKSafe(_ zone: Int, order: Int, mark: Int, highest: ZoneIndex) -> Bool {
    let visible = zoneTable[zone].visibleFree
    let free = visible < zoneTable[zone].percpuDriftMark ? freePagesSnapshot(zone) : visible
    return isWatermarkOK(zone, order: order, mark: mark, highest: highest, [], free: free)
  }

  /// Kernel: `pgdat_watermark_boosted()`.
  private func isBoosted(_ node: Int, highest: ZoneIndex) -> Bool {
    (0...highest.rawValue).contains { zoneTable[node * ZoneIndex.count + $0].watermarkBoost > 0 }
  }

  /// While a kswapd is awake the counters of its node may lag less, so that marks are not breached by
  /// what they hide.
  ///
  /// Kernel: `set_pgdat_percpu_threshold()`, mm/vmstat.c.
  mutating func setStatThresholds(_ node: Int, underPressure: Bool) {
    for index in 0..<ZoneIndex.count {
      let zone = node * ZoneIndex.count + index
      guard zoneTable[zone].percpuDriftMark > 0 else { continue }
      zoneTable[zone].statThreshold =
        underPressure ? pressureStatThreshold(zone) : normalStatThreshold(zone)
    }
  }

  /// Kernel: `calculate_pressure_threshold()`.
  private func pressureStatThreshold(_ zone: Int) -> Int {
    let distance = zoneTable[zone].watermark(1) - zoneTable[zone].watermark(0)
    return min(Self.largestStatThreshold, max(1, distance / cpuCount))
  }
}

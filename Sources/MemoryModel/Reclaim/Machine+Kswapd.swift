// kswapd of a node, run by run. A run ends where the thread rests, or where it would begin the next run at
// once; so a replay can let it run as often as was recorded.

extension Machine {
  /// One run of a node's kswapd, and its attempt to sleep afterwards; true when it rests, or is to stop
  /// and waits in the queue.
  ///
  /// Kernel: one round of the loop of `kswapd()`, mm/vmscan.c (rules A7.34, A7.35).
  package mutating func stepKswapd(node: Int) -> Bool {
    switch kswapds[node].rest {
    case .asleep: setStatThresholds(node, underPressure: true)
    case .napping:
      // The tenth of a second is over, and it cannot sleep.
      count(.kswapdHighQuickly, 1)
    case .woken(early: true):
      // What it was asked for before counts on.
      kswapds[node].highest = kswapds[node].requestedHighest
      kswapds[node].order = max(kswapds[node].order, kswapds[node].reclaimedOrder)
      count(.kswapdLowQuickly, 1)
    case .woken(early: false), .running: break
    }
    kswapds[node].rest = .running
    let order = kswapds[node].order
    let highest = kswapds[node].requestedHighest
    kswapds[node].allocationOrder = order
    kswapds[node].lastHighest = highest
    kswapds[node].order = 0
    kswapds[node].highest = nil
    trace.append(
      TraceEvent(.kswapdWake, PFN(0), order: order, UInt32(node), UInt32(highest.rawValue)))
    let reached = balance(node, order: order, highest: highest)
    if isToStop {
      // It begins again when threads run the next time.
      kswapds[node].order = max(kswapds[node].order, order)
      kswapds[node].highest = max(kswapds[node].highest ?? highest, highest)
      kswapds[node].rest = .woken(early: false)
      background.pending.append(.kswapd(node: node))
      return true
    }
    kswapds[node].reclaimedOrder = reached
    if reached >= order {
      kswapds[node].allocationOrder = kswapds[node].order
      kswapds[node].reclaimedOrder = kswapds[node].order
      kswapds[node].lastHighest = kswapds[node].requestedHighest
    }
    guard maySleep(node) else {
      count(.kswapdHighQuickly, 1)
      return false
    }
    clearSkipHints(node: node)
    wakeKcompactd(
      node: node, order: kswapds[node].allocationOrder, highest: kswapds[node].lastHighest)
    kswapds[node].rest = .napping
    return true
  }

  /// A tenth of a second after a run, kswapd sleeps, or runs again where the node is out of balance.
  ///
  /// Kernel: the second half of `kswapd_try_to_sleep()`.
  ///
  /// - Returns: Whether it sleeps.
  @discardableResult
  public mutating func endNap(node: Int) -> Bool {
    guard kswapds[node].rest == .napping else { return kswapds[node].rest == .asleep }
    guard maySleep(node) else {
      wake(.kswapd(node: node))
      return false
    }
    trace.append(TraceEvent(.kswapdSleep, PFN(0), order: 0, UInt32(node)))
    setStatThresholds(node, underPressure: false)
    kswapds[node].rest = .asleep
    return true
  }

  /// Kernel: `prepare_kswapd_sleep()`.
  private func maySleep(_ node: Int) -> Bool {
    kswapds[node].isHopeless
      || isBalanced(
        node, order: kswapds[node].reclaimedOrder, highest: kswapds[node].lastHighest)
  }

  /// Reclaims until some zone is above its high mark, ever harder, and lowers boosts (rule A7.34).
  ///
  /// Kernel: `balance_pgdat()`.
  ///
  /// - Returns: The order that it ended with, 0 where it gave larger blocks up.
  private mutating func balance(_ node: Int, order: Int, highest: ZoneIndex) -> Int {
    let zones = (0...highest.rawValue).map { node * ZoneIndex.count + $0 }
      .filter { zoneTable[$0].managed > 0 }
    var control = ReclaimControl(.kernel, order: order, highest: highest, by: .kswapd)
    count(.pageOutRun, 1)
    let boosts = zones.map { zoneTable[$0].watermarkBoost }
    let isBoosted = boosts.contains { $0 > 0 }
    var boost = boosts.reduce(0, +)
    for zone in zones { zoneTable[zone].flags.insert(.reclaimActive) }
    var isDone = false
    while control.priority >= 1, !isToStop {
      let before = control.reclaimed
      let isBalanced = isBalanced(node, order: control.order, highest: highest)
      if !isBalanced, boost > 0 {
        // Out of balance, the boost does not matter: start over without it.
        boost = 0
        control.priority = ReclaimControl.firstPriority
        continue
      }
      if isBalanced, boost == 0 {
        isDone = true
        break
      }
      var isRaised = !(boost > 0 && control.priority == ReclaimControl.firstPriority - 2)
      // A boost alone is no reason to write pages out.
      control.mayWrite = boost == 0 || control.priority < ReclaimControl.firstPriority - 2
      setInitialPriority(node, &control)
      control.scanned = 0
      control.goal = zones.reduce(0) { $0 + max(zoneTable[$1].watermark(2), 32) }
      shrinkNode(node, &control)
      if control.order > 0, control.reclaimed >= Self.compactGap(control.order) {
        control.order = 0
      }
      let progress = control.reclaimed - before
      if max(control.scanned, progress) >= control.goal { isRaised = false }
      boost -= min(boost, progress)
      if boost > 0, progress == 0 { break }
      if isRaised || progress == 0 { control.priority -= 1 }
    }
    for zone in zones { zoneTable[zone].flags.remove(.reclaimActive) }
    if isToStop { return order }
    if !isDone, control.reclaimed == 0 { kswapds[node].failures += 1 }
    if isBoosted {
      for (zone, noted) in zip(zones, boosts) {
        zoneTable[zone].watermarkBoost -= min(zoneTable[zone].watermarkBoost, noted)
      }
      wakeKcompactd(node: node, order: geometry.pageblockOrder, highest: highest)
    }
    return control.order
  }
}

extension Machine {
  /// Lets background threads run only when a recording says so, from a recorded state on.
  ///
  /// - Parameter kswapdOrder: What kswapd of node 0 was asked for.
  package mutating func expectRecordedThreads(kswapdOrder: Int, failures: Int) {
    background.isEnabled = false
    kswapds[0].order = kswapdOrder
    kswapds[0].failures = failures
  }
}

// The kernel thread that compacts ahead. It never asks for itself: kswapd wakes it for the order of the
// request that it was woken for, or a user raises the bar for fragmentation.

/// What a node's kcompactd was asked for.
struct Kcompactd: Sendable, Codable {
  /// 0 when nothing was asked for.
  var maxOrder = 0
  /// Nil: all zones of the node.
  var highest: ZoneIndex?
  /// A user has written vm.compaction_proactiveness.
  var isProactive = false
  /// What it was at when it lost its CPU.
  var paused: KcompactdWork?
  /// It loses its CPU when it has scanned so many more pageblocks; only a replay knows.
  var scansLeft: Int?
}

/// One run of kcompactd, which may lose its CPU between two pageblocks.
struct KcompactdWork: Sendable, Codable {
  let order: Int
  let highest: ZoneIndex
  var control: CompactControl
  /// Of the first zone's compaction, if that has begun.
  var rounds: CompactRounds?
  var zones: [Int]
}

extension Machine {
  /// Asks a node's kcompactd for a block of an order, if compaction could make one (rule A7.13).
  ///
  /// Kernel: `wakeup_kcompactd()`, mm/compaction.c.
  mutating func wakeKcompactd(node: Int, order: Int, highest: ZoneIndex) {
    if order == 0 { return }
    kcompactd[node].maxOrder = max(kcompactd[node].maxOrder, order)
    if kcompactdHighest(node).rawValue > highest.rawValue { kcompactd[node].highest = highest }
    guard isAsleep(.kcompactd(node: node)), isKcompactdUseful(node: node) else { return }
    trace.append(
      TraceEvent(.wakeupKcompactd, PFN(node), order: order, UInt32(highest.rawValue)))
    wake(.kcompactd(node: node))
  }

  /// Lets a node's kcompactd look at once how fragmented its memory is; without this, which happens when
  /// vm.compaction_proactiveness is written, it would look every half second.
  ///
  /// Kernel: `compaction_proactiveness_sysctl_handler()`.
  mutating func wakeProactively(node: Int) {
    kcompactd[node].isProactive = true
    wake(.kcompactd(node: node))
  }

  /// Kernel: `kcompactd_node_suitable()`.
  private func isKcompactdUseful(node: Int) -> Bool {
    let order = kcompactd[node].maxOrder
    let highest = kcompactdHighest(node)
    return zones(of: node, upTo: highest).contains {
      compactionNeed($0, order: order, highest: highest, .watermarkMin) == .continue
    }
  }

  /// Kernel: `kcompactd_highest_zoneidx`, at first `nr_zones - 1`.
  private func kcompactdHighest(_ node: Int) -> ZoneIndex {
    kcompactd[node].highest
      ?? zones(of: node, upTo: .movable).last.map { zoneTable[$0].index } ?? .movable
  }

  func zones(of node: Int, upTo highest: ZoneIndex) -> [Int] {
    (node * ZoneIndex.count...node * ZoneIndex.count + highest.rawValue).filter {
      zoneTable[$0].isPopulated
    }
  }

  /// What a node's kcompactd does once it is woken; true when nothing else is asked of it.
  ///
  /// Kernel: one round of the loop of `kcompactd()`.
  mutating func stepKcompactd(node: Int) -> Bool {
    if kcompactd[node].isProactive {
      compactProactively(node: node)
      kcompactd[node].isProactive = false
    } else if kcompactd[node].maxOrder > 0 || kcompactd[node].paused != nil {
      compactForKswapd(node: node)
    }
    return kcompactd[node].maxOrder == 0 || kcompactd[node].paused != nil
  }

  /// Kernel: `kcompactd_do_work()`.
  private mutating func compactForKswapd(node: Int) {
    var work = kcompactd[node].paused ?? beginKcompactd(node)
    kcompactd[node].paused = nil
    work.control.scansLeft = kcompactd[node].scansLeft
    kcompactd[node].scansLeft = nil
    while let zone = work.zones.first {
      if work.rounds == nil {
        let order = work.order
        if zoneTable[zone].compaction.isPutOff(order: order)
          || compactionNeed(zone, order: order, highest: zoneTable[zone].index, .watermarkMin)
            != .continue
        {
          work.zones.removeFirst()
          continue
        }
        work.control.zone = zone
      }
      guard let status = compactZone(&work) else {
        kcompactd[node].paused = work
        return
      }
      if status == .success {
        zoneTable[zone].compaction.resume(order: work.order, succeeded: false)
      } else if status == .partialSkipped || status == .complete {
        // Pages on per-CPU lists could have merged.
        drainAllPages(zone: zone)
        zoneTable[zone].compaction.putOff(order: work.order)
      }
      count(.compactDaemonMigrateScanned, work.control.scannedSources)
      count(.compactDaemonFreeScanned, work.control.scannedTargets)
      work.zones.removeFirst()
    }
    if kcompactd[node].maxOrder <= work.order { kcompactd[node].maxOrder = 0 }
    if kcompactdHighest(node).rawValue >= work.highest.rawValue { kcompactd[node].highest = nil }
  }

  private mutating func beginKcompactd(_ node: Int) -> KcompactdWork {
    let order = kcompactd[node].maxOrder
    let highest = kcompactdHighest(node)
    var control = CompactControl(
      order: order, gfp: .kernel, mode: .syncLight, orderCount: geometry.orderCount)
    control.highest = highest
    trace.append(
      TraceEvent(.kcompactdWake, PFN(node), order: order, UInt32(highest.rawValue)))
    count(.compactDaemonWake, 1)
    return KcompactdWork(
      order: order, highest: highest, control: control, zones: zones(of: node, upTo: highest))
  }

  /// - Returns: Nil when it lost its CPU (docs/fidelity.md, learned rule 32).
  private mutating func compactZone(_ work: inout KcompactdWork) -> CompactResult? {
    if work.rounds == nil {
      if let result = beginCompacting(&work.control) { return result }
      work.rounds = CompactRounds(work.control, self)
    }
    while true {
      if let result = compactRound(&work.control, &work.rounds!) {
        work.rounds = nil
        return endCompacting(&work.control, result)
      }
      if work.control.position != nil { return nil }
    }
  }

  /// Whether a node's kcompactd has lost its CPU in the middle of a run.
  package func isKcompactdPaused(node: Int) -> Bool {
    kcompactd.indices.contains(node) && kcompactd[node].paused != nil
  }

  /// Says when kcompactd, once it runs, loses its CPU.
  mutating func pauseKcompactd(node: Int, afterScans scans: Int?) {
    kcompactd[node].scansLeft = scans
  }
}

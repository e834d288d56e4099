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
    } else if kcompactd[node].maxOrder > 0 {
      compactForKswapd(node: node)
    }
    return kcompactd[node].maxOrder == 0
  }

  /// Kernel: `kcompactd_do_work()`.
  private mutating func compactForKswapd(node: Int) {
    let order = kcompactd[node].maxOrder
    let highest = kcompactdHighest(node)
    var control = CompactControl(
      order: order, gfp: .kernel, mode: .syncLight, orderCount: geometry.orderCount)
    control.highest = highest
    trace.append(
      TraceEvent(.kcompactdWake, PFN(node), order: order, UInt32(highest.rawValue)))
    count(.compactDaemonWake, 1)
    for zone in zones(of: node, upTo: highest) {
      if zoneTable[zone].compaction.isPutOff(order: control.order) { continue }
      let index = zoneTable[zone].index
      if compactionNeed(zone, order: control.order, highest: index, .watermarkMin) != .continue {
        continue
      }
      control.zone = zone
      let status = compactZone(&control)
      if status == .success {
        zoneTable[zone].compaction.resume(order: control.order, succeeded: false)
      } else if status == .partialSkipped || status == .complete {
        // Pages on per-CPU lists could have merged.
        drainAllPages(zone: zone)
        zoneTable[zone].compaction.putOff(order: control.order)
      }
      count(.compactDaemonMigrateScanned, control.scannedSources)
      count(.compactDaemonFreeScanned, control.scannedTargets)
    }
    if kcompactd[node].maxOrder <= order { kcompactd[node].maxOrder = 0 }
    if kcompactdHighest(node).rawValue >= highest.rawValue { kcompactd[node].highest = nil }
  }
}

// Reads for the texts under /proc and for maps: counters by their index in ``VMStatNames``.

extension Machine {
  /// The global part of a zone item, never negative, as `zone_page_state()` returns it (rule A0.4).
  ///
  /// - Parameter item: An index into ``VMStatNames/zoneItems``.
  public func zoneItem(_ item: Int, zone: Int) -> Int {
    switch VMStatNames.zoneItems[item] {
    case "nr_free_pages": max(0, zoneTable[zone].freePages)
    case "nr_free_cma": max(0, zoneTable[zone].freeCMAPages)
    default: max(0, zoneItems[zone * VMStatNames.zoneItems.count + item])
    }
  }

  /// The sum over all zones; negative parts are summed before the result is cut at 0.
  ///
  /// Kernel: `global_zone_page_state()`.
  public func zoneItemTotal(_ item: Int) -> Int {
    var total = 0
    for zone in 0..<zoneCount {
      switch VMStatNames.zoneItems[item] {
      case "nr_free_pages": total += zoneTable[zone].freePages
      case "nr_free_cma": total += zoneTable[zone].freeCMAPages
      default: total += zoneItems[zone * VMStatNames.zoneItems.count + item]
      }
    }
    return max(0, total)
  }

  /// How often an allocation met its node, missed it, and so on, in one zone.
  ///
  /// - Parameter item: An index into ``VMStatNames/numaItems``.
  public func numaItem(_ item: Int, zone: Int) -> Int {
    numaItems[zone * VMStatNames.numaItems.count + item]
  }

  /// A node's counter in pages, never negative.
  ///
  /// Kernel: `node_page_state_pages()`.
  /// - Parameter item: An index into ``VMStatNames/nodeItems``.
  public func nodeItem(_ item: Int, node: Int) -> Int {
    max(0, nodeItems[node * VMStatNames.nodeItems.count + item])
  }

  /// An event counter, over all CPUs.
  ///
  /// - Parameter index: An index into ``VMStatNames/events``.
  public func event(at index: Int) -> Int { events[index] }
}

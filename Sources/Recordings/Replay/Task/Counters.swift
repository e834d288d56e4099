internal import MemoryModel

/// The counters of /proc/vmstat that operations on user memory move, all nodes and zones together.
struct Counters: Equatable {
  private(set) var values: [Int]

  private static let zoneNames: Set<String> = [
    "nr_zone_inactive_anon", "nr_zone_active_anon", "nr_zone_inactive_file", "nr_zone_active_file",
    "nr_zone_unevictable", "nr_mlock",
  ]
  private static let nodeNames: Set<String> = [
    "nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable",
    "nr_isolated_anon", "nr_isolated_file", "nr_anon_pages", "nr_mapped", "nr_file_pages",
    "nr_dirty", "nr_shmem", "nr_shmem_hugepages", "nr_shmem_pmdmapped",
    "nr_anon_transparent_hugepages", "nr_foll_pin_acquired", "nr_foll_pin_released",
    "nr_page_table_pages",
  ]

  private static let zoneItems = VMStatNames.zoneItems.indices.filter {
    zoneNames.contains(VMStatNames.zoneItems[$0])
  }
  private static let nodeItems = VMStatNames.nodeItems.indices.filter {
    nodeNames.contains(VMStatNames.nodeItems[$0])
  }
  private static let events = VMStatNames.events.indices.filter {
    let name = VMStatNames.events[$0]
    return [
      "pgalloc_", "pgmigrate_", "compact_", "thp_", "unevictable_pgs_", "htlb_", "allocstall_",
      "pgscan_", "pgsteal_", "kswapd_",
    ].contains {
      name.hasPrefix($0)
    }
      || [
        "pgfree", "pgactivate", "pgdeactivate", "pgfault", "pgmajfault", "pgreuse", "oom_kill",
        "pageoutrun", "cma_alloc_success", "cma_alloc_fail",
      ].contains(name)
  }

  static let names =
    zoneItems.map { VMStatNames.zoneItems[$0] } + nodeItems.map { VMStatNames.nodeItems[$0] }
    + events.map { VMStatNames.events[$0] }

  init(_ machine: borrowing Machine) {
    values = []
    values.reserveCapacity(Self.names.count)
    for item in Self.zoneItems { values.append(machine.zoneItemTotal(item)) }
    for item in Self.nodeItems {
      var total = 0
      for node in 0..<machine.nodeCount { total += machine.nodeItem(item, node: node) }
      values.append(total)
    }
    for item in Self.events { values.append(machine.event(at: item)) }
  }

  subscript(name: String) -> Int {
    Self.names.firstIndex(of: name).map { values[$0] } ?? 0
  }

  /// Compares what changed since `before` with the deltas of a record.
  func compare(
    since before: Counters, _ deltas: [String: Int], except unknown: Set<String> = []
  ) -> (recorded: String, model: String)? {
    for (index, name) in Self.names.enumerated() where !unknown.contains(name) {
      let delta = values[index] - before.values[index]
      let recorded = deltas[name] ?? 0
      if delta != recorded { return ("\(name) \(recorded)", "\(name) \(delta)") }
    }
    return nil
  }
}

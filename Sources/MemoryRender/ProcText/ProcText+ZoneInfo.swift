public import MemoryModel

extension ProcText {
  /// /proc/zoneinfo: every zone of every node, populated or not.
  ///
  /// Rule A8.3. Kernel: `zoneinfo_show_print()`, mm/vmstat.c. `pages free` is the lagging global
  /// counter, and the marks include the boost.
  public static func zoneinfo(_ machine: borrowing Machine) -> String {
    var text = ""
    var nodesShown = -1
    for id in 0..<machine.zoneCount {
      let zone = machine.zone(id)
      text += "Node \(zone.node), zone \(zone.index.name.padded(left: 8))"
      if zone.isPopulated && zone.node > nodesShown {
        nodesShown = zone.node
        text += "\n  per-node stats"
        for (item, name) in VMStatNames.nodeItems.enumerated() {
          let value = inHugePages(name, machine.nodeItem(item, node: zone.node), machine.geometry)
          text += line(name, value)
        }
      }
      text += pages(zone)
      guard zone.isPopulated else {
        text += "\n"
        continue
      }
      for (item, name) in VMStatNames.zoneItems.enumerated() {
        text += line(name, machine.zoneItem(item, zone: id))
      }
      for (item, name) in VMStatNames.numaItems.enumerated() {
        text += line(name, machine.numaItem(item, zone: id))
      }
      text += "\n  pagesets"
      for cpu in 0..<machine.cpuCount {
        let local = machine.perCPUPages(zone: id, cpu: cpu)
        text += "\n    cpu: \(cpu)"
        text += "\n              count: \(local.count)"
        text += "\n              high:  \(local.high)"
        text += "\n              batch: \(local.batch)"
        text += "\n  vm stats threshold: \(zone.statThreshold)"
      }
      // kswapd never fails here: the model has no reclaim that could.
      text += "\n  node_unreclaimable:  0"
      text += "\n  start_pfn:           \(zone.start)\n"
    }
    return text
  }

  private static func pages(_ zone: Zone) -> String {
    let numbers = [
      ("boost", zone.watermarkBoost), ("min", zone.watermark(0)), ("low", zone.watermark(1)),
      ("high", zone.watermark(2)), ("promo", zone.watermark(3)), ("spanned", zone.spanned),
      ("present", zone.present), ("managed", zone.managed), ("cma", zone.cmaPages),
    ]
    var text = "\n  pages free     \(max(0, zone.freePages))"
    for (label, value) in numbers { text += "\n        \(label.padded(right: 8)) \(value)" }
    let reserve = (0..<ZoneIndex.count).map { String(zone.lowmemReserve[$0]) }
    return text + "\n        protection: (" + reserve.joined(separator: ", ") + ")"
  }

  private static func line(_ name: String, _ value: Int) -> String {
    "\n      \(name.padded(right: 12)) \(value)"
  }

  /// Huge pages are counted in base pages and printed as what they are.
  ///
  /// Kernel: `vmstat_item_print_in_thp()`, include/linux/mmzone.h.
  static func inHugePages(_ name: String, _ pages: Int, _ geometry: Geometry) -> Int {
    switch name {
    case "nr_anon_transparent_hugepages", "nr_file_hugepages", "nr_shmem_hugepages",
      "nr_shmem_pmdmapped", "nr_file_pmdmapped":
      pages / geometry.pageblockPages
    default: pages
    }
  }
}

public import MemoryModel

extension ProcText {
  /// /proc/vmstat: all counters, zone and node items without the CPUs' pending parts.
  ///
  /// Rule A8.4. Kernel: `vmstat_start()`, `vmstat_show()`, mm/vmstat.c.
  public static func vmstat(_ machine: borrowing Machine) -> String {
    var text = ""
    for (name, value) in vmstatValues(machine) { text += "\(name) \(value)\n" }
    return text
  }

  /// The same as names and values, in the order of the file.
  public static func vmstatValues(_ machine: borrowing Machine) -> [(name: String, value: Int)] {
    var values: [(name: String, value: Int)] = []
    for (item, name) in VMStatNames.zoneItems.enumerated() {
      values.append((name, machine.zoneItemTotal(item)))
    }
    for (item, name) in VMStatNames.numaItems.enumerated() {
      var total = 0
      for zone in 0..<machine.zoneCount { total += machine.numaItem(item, zone: zone) }
      values.append((name, total))
    }
    for (item, name) in VMStatNames.nodeItems.enumerated() {
      var total = 0
      for node in 0..<machine.nodeCount { total += machine.nodeItem(item, node: node) }
      values.append((name, inHugePages(name, total, machine.geometry)))
    }
    let dirty = dirtyThresholds(machine)
    values.append(("nr_dirty_threshold", dirty.threshold))
    values.append(("nr_dirty_background_threshold", dirty.background))
    // 64 bytes a frame, a whole section at a time; all of it was allocated at boot.
    let sectionBytes = machine.geometry.sectionPages * 64
    let mapPages = (sectionBytes + machine.geometry.pageSize - 1) / machine.geometry.pageSize
    values.append(("nr_memmap_pages", 0))
    values.append(("nr_memmap_boot_pages", machine.sections.count * mapPages))
    for (index, name) in VMStatNames.events.enumerated() {
      // These two lines exist only with CONFIG_CMA; nr_free_cma above always does.
      if !machine.hasCMA && name.hasPrefix("cma_alloc_") { continue }
      values.append((name, machine.event(at: index)))
    }
    values.append(("nr_unstable", 0))
    return values
  }

  /// 20 % and 10 % of the memory that could be dirty, the shares first cut to whole bytes a page.
  ///
  /// Kernel: `global_dirtyable_memory()`, `domain_dirty_limits()`, mm/page-writeback.c.
  private static func dirtyThresholds(
    _ machine: borrowing Machine
  ) -> (threshold: Int, background: Int) {
    let free = machine.zoneItemTotal(0)
    var available = free - min(free, machine.totalReserve) + 1
    for (item, name) in VMStatNames.nodeItems.enumerated()
    where name == "nr_inactive_file" || name == "nr_active_file" {
      for node in 0..<machine.nodeCount { available += machine.nodeItem(item, node: node) }
    }
    let size = machine.geometry.pageSize
    let threshold = 20 * size / 100 * available / size
    let background = 10 * size / 100 * available / size
    return (threshold, background >= threshold ? threshold / 2 : background)
  }
}

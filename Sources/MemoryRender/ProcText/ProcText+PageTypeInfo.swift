public import MemoryModel

extension ProcText {
  /// /proc/pagetypeinfo: free blocks of each type and order, and pageblocks of each type.
  ///
  /// Rule A8.2. Kernel: `pagetypeinfo_show()`, mm/vmstat.c.
  public static func pagetypeinfo(_ machine: borrowing Machine) -> String {
    let geometry = machine.geometry
    let sections = Set(machine.sections)
    var text = ""
    for node in 0..<machine.nodeCount where machine.hasMemory(node: node) {
      text += "Page block order: \(geometry.pageblockOrder)\n"
      text += "Pages per block:  \(geometry.pageblockPages)\n\n"
      text += "Free pages count per migrate type at order".padded(right: 43) + " "
      for order in 0...geometry.maxOrder { text += order.padded(6) + " " }
      text += "\n"
      for id in machine.populatedZones where machine.zone(id).node == node {
        text += freeCounts(machine, id)
      }
      text += "\n" + "Number of blocks type ".padded(right: 23)
      for type in machine.migrateTypes { text += type.name.padded(left: 12) + " " }
      text += "\n"
      for id in machine.populatedZones where machine.zone(id).node == node {
        text += blockCounts(machine, id, sections)
      }
    }
    return text
  }

  /// Free blocks of one zone.
  ///
  /// The kernel stops counting at 100,000 and says so by `>`.
  /// Kernel: `pagetypeinfo_showfree_print()`.
  private static func freeCounts(_ machine: borrowing Machine, _ id: Int) -> String {
    let zone = machine.zone(id)
    let limit = 100_000
    var text = ""
    for type in machine.migrateTypes {
      text += "Node \(zone.node.padded(4)), zone \(zone.index.name.padded(left: 8)), "
      text += "type \(type.name.padded(left: 12)) "
      for order in 0...machine.geometry.maxOrder {
        let count = Int(zone.freeList(order: order, type).count)
        text += count >= limit ? ">" + limit.padded(6) + " " : count.padded(6) + " "
      }
      text += "\n"
    }
    return text
  }

  /// Pageblocks of one zone.
  ///
  /// The sampled frames are not aligned: they start at the zone's first frame. Sections without
  /// memory have no pages to look at. Kernel: `pagetypeinfo_showblockcount_print()`.
  private static func blockCounts(
    _ machine: borrowing Machine, _ id: Int, _ sections: Set<Int>
  ) -> String {
    let zone = machine.zone(id)
    let sectionPages = machine.geometry.sectionPages
    var counts = [Int](repeating: 0, count: MigrateType.count)
    var section = -1
    var isOnline = false
    for pfn in stride(from: zone.start, to: zone.end, by: machine.geometry.pageblockPages) {
      if pfn / sectionPages != section {
        section = pfn / sectionPages
        isOnline = sections.contains(section)
      }
      guard isOnline, machine.frames.zone(of: PFN(pfn)) == id else { continue }
      counts[Int(machine.frames.migrateType(PFN(pfn)).rawValue)] += 1
    }
    var text = "Node \(zone.node), zone \(zone.index.name.padded(left: 8)) "
    for type in machine.migrateTypes { text += counts[Int(type.rawValue)].padded(12) + " " }
    return text + "\n"
  }
}

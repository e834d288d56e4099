public import MemoryModel

extension ProcText {
  /// The lines of /proc/meminfo that follow from the modelled state: memory, swap space, CMA and huge
  /// pages.
  ///
  /// Kernel: `meminfo_proc_show()`, fs/proc/meminfo.c, and `hugetlb_report_meminfo()`, mm/hugetlb.c.
  public static func meminfo(_ machine: borrowing Machine) -> String {
    var managed = 0
    for zone in machine.populatedZones { managed += machine.zone(zone).managed }
    func total(_ item: String) -> Int {
      VMStatNames.zoneItems.firstIndex(of: item).map { machine.zoneItemTotal($0) } ?? 0
    }
    let kbytes = machine.geometry.pageSize >> 10
    var text =
      line("MemTotal:", managed * kbytes) + line("MemFree:", total("nr_free_pages") * kbytes)
    let swap = machine.swapPages
    text += line("SwapCached:", machine.total(.swapCached) * kbytes)
    text += line("SwapTotal:", swap.total * kbytes)
    text += line("SwapFree:", (swap.total - swap.used) * kbytes)
    if machine.hasCMA {
      let cma = machine.cmaAreas.reduce(0) { $0 + $1.pages }
      text += line("CmaTotal:", cma * kbytes) + line("CmaFree:", total("nr_free_cma") * kbytes)
    }
    if let pool = machine.hugePool(order: machine.geometry.hugeOrder) {
      for (name, count) in [
        ("HugePages_Total:", pool.total), ("HugePages_Free:", pool.free),
        ("HugePages_Rsvd:", pool.reserved), ("HugePages_Surp:", pool.surplus),
      ] {
        // An unsigned long: promises that were taken back twice wrap (docs/fidelity.md, rule 12).
        text += name.padded(right: 19)
        text += (count < 0 ? "\(UInt(bitPattern: count))" : count.padded(5)) + "\n"
      }
      text += line("Hugepagesize:", kbytes << pool.order)
    }
    var huge = 0
    for pool in machine.allHugePools { huge += pool.total * (kbytes << pool.order) }
    return text + line("Hugetlb:", huge)
  }

  /// A size in KiB, right-aligned to column 24.
  private static func line(_ name: String, _ kbytes: Int) -> String {
    name.padded(right: 16) + kbytes.padded(8) + " kB\n"
  }
}

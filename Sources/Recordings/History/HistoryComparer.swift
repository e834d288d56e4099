internal import MemoryModel

/// Compares a dump of a history stream with a machine.
enum HistoryComparer {
  static func compare(
    _ dump: HistoryRecording.Record, _ index: Int, _ machine: borrowing Machine
  ) -> ReplayReport.DumpComparison {
    var checker = Checker()
    for zone in dump.zones ?? [] { compare(zone, machine, &checker) }
    return ReplayReport.DumpComparison(
      tag: dump.tag ?? "", index: index, compared: checker.compared,
      differences: checker.differences)
  }

  private static func compare(
    _ dump: HistoryRecording.Zone, _ machine: borrowing Machine, _ checker: inout Checker
  ) {
    let zone = machine.zone(dump.idx)
    let name = dump.name
    checker.check(
      "\(name) marks and boost", [dump.min, dump.low, dump.high, dump.boost],
      [zone.watermarks[0], zone.watermarks[1], zone.watermarks[2], zone.watermarkBoost])
    checker.check("\(name) flags", dump.flags, zone.flags.rawValue)
    checker.check("\(name) reserved highatomic", dump.reshi, zone.reservedHighAtomic)
    checker.check("\(name) NR_FREE_PAGES", dump.nrfree, zone.freePages)
    checker.check("\(name) NR_FREE_CMA", dump.cmafree, zone.freeCMAPages)
    let pages = machine.perCPUPages(zone: dump.idx, cpu: 0)
    checker.check(
      "\(name) pcp count, high, flags, differences",
      [dump.pcp.count, dump.pcp.high, dump.pcp.flags, dump.diff, dump.cdiff],
      [pages.count, pages.high, pages.flags.rawValue, pages.freeDiff, pages.freeCMADiff])
    if machine.tunesPerCPULists {
      // The recorder left out free_factor, which older kernels have here.
      checker.check(
        "\(name) pcp alloc_factor, free_count", [dump.pcp.af, dump.pcp.fc],
        [pages.allocFactor, pages.freeCount])
    }
    for index in 0..<PerCPUPages.listCount {
      checker.check(
        "\(name) pcp list \(index)", (dump.pcp_lists["\(index)"] ?? []).map(\.pfn),
        machine.frames.blocks(pages.list(index)).map(\.index))
    }
    for order in 0...machine.geometry.maxOrder {
      checker.check("\(name) nr_free[\(order)]", dump.nr_free[order], zone.freeCounts[order])
      for type in MigrateType.allCases {
        let recorded = dump.free["\(order)"]?["\(type.rawValue)"] ?? []
        let list = zone.freeList(order: order, type)
        checker.check(
          "\(name) free list \(order) \(type.name)", recorded,
          machine.frames.blocks(list).map(\.index))
      }
    }
    var block = dump.start & ~511
    for digit in dump.pageblocks {
      if let raw = digit.hexDigitValue, raw < 15 {
        checker.check(
          "\(name) pageblock 0x\(String(block, radix: 16))", raw,
          Int(machine.frames.migrateType(PFN(block)).rawValue))
      }
      block += 512
    }
  }
}

internal import MemoryModel

/// Compares a dump with a machine, value by value.
struct DumpComparer {
  private var compared = 0
  private var differences: [String] = []

  static func compare(
    _ dump: RecordingRecord, _ machine: borrowing Machine
  ) -> ReplayReport.DumpComparison {
    var comparer = DumpComparer()
    for zone in dump.zones ?? [] { comparer.compare(zone, machine) }
    for batch in dump.lru_batches ?? [] where batch.cpu < machine.cpuCount {
      comparer.check(
        "lru_add of CPU \(batch.cpu)", batch.b["lru_add"] ?? [],
        machine.lruBatch(cpu: batch.cpu).map(\.index))
    }
    comparer.compareEvents(dump.vmstat ?? [:], machine)
    if let system = dump.sys {
      comparer.check("min_free_kbytes", system.min_free_kbytes, machine.settings.minFreeKbytes)
      comparer.check("totalreserve_pages", system.totalreserve_pages, machine.totalReserve)
    }
    return ReplayReport.DumpComparison(
      tag: dump.tag ?? "", index: dump.i ?? 0, compared: comparer.compared,
      differences: comparer.differences)
  }

  private mutating func check(_ what: String, _ recorded: Int, _ model: Int) {
    compared += 1
    if recorded != model { differences.append("\(what): recorded \(recorded), model \(model)") }
  }

  private mutating func check(_ what: String, _ recorded: [Int], _ model: [Int]) {
    compared += 1
    guard recorded != model else { return }
    let index =
      zip(recorded, model).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      ?? min(recorded.count, model.count)
    let left = index < recorded.count ? "\(recorded[index])" : "end"
    let right = index < model.count ? "\(model[index])" : "end"
    differences.append(
      "\(what): entry \(index) is \(left) recorded and \(right) in the model "
        + "(\(recorded.count) and \(model.count) entries)")
  }

  private mutating func compare(_ dump: DumpZone, _ machine: borrowing Machine) {
    let zone = machine.zone(dump.idx)
    let name = dump.name
    check("\(name) start", dump.start_pfn, zone.start)
    check("\(name) managed", dump.managed, zone.managed)
    for (index, (mark, value)) in [
      ("min", dump.wmark.min), ("low", dump.wmark.low), ("high", dump.wmark.high),
      ("promo", dump.wmark.promo),
    ].enumerated() {
      check("\(name) \(mark)", value, zone.watermarks[index])
    }
    check("\(name) boost", dump.watermark_boost, zone.watermarkBoost)
    check(
      "\(name) lowmem_reserve", dump.lowmem_reserve,
      (0..<ZoneIndex.count).map { zone.lowmemReserve[$0] })
    check("\(name) nr_reserved_highatomic", dump.nr_reserved_highatomic, zone.reservedHighAtomic)
    check("\(name) nr_free_highatomic", dump.nr_free_highatomic, zone.freeHighAtomic)
    check("\(name) flags", dump.flags, zone.flags.rawValue)
    check("\(name) NR_FREE_PAGES", dump.stat["nr_free_pages"]?.first ?? 0, zone.freePages)
    check("\(name) NR_FREE_CMA", dump.stat["nr_free_cma"]?.first ?? 0, zone.freeCMAPages)
    for area in dump.free_area {
      check("\(name) nr_free[\(area.order)]", area.nr_free, zone.freeCounts[area.order])
      for type in MigrateType.allCases {
        let list = zone.freeList(order: area.order, type)
        check(
          "\(name) free list \(area.order) \(type.name)", area.lists[Int(type.rawValue)],
          machine.frames.blocks(list, order: area.order).map(\.index))
      }
    }
    for run in dump.pageblocks {
      compared += 1
      let block = machine.geometry.pageblockPages
      for index in 0..<run.count {
        let pfn = PFN(run.start / block * block + index * block)
        let type = machine.frames.migrateType(pfn)
        if type.name != run.type {
          differences.append(
            "\(name) pageblock 0x\(String(pfn.index, radix: 16)): recorded \(run.type), "
              + "model \(type.name)")
          break
        }
      }
    }
    for pages in dump.pcp where pages.cpu < machine.cpuCount {
      compare(pages, machine.perCPUPages(zone: dump.idx, cpu: pages.cpu), name, machine)
    }
  }

  private mutating func compare(
    _ dump: DumpZone.PerCPU, _ model: PerCPUPages, _ zone: String, _ machine: borrowing Machine
  ) {
    let name = "\(zone) pcp of CPU \(dump.cpu)"
    check("\(name) count", dump.count, model.count)
    check("\(name) high", dump.high, model.high)
    check("\(name) high_min", dump.high_min, model.highMin)
    check("\(name) high_max", dump.high_max, model.highMax)
    check("\(name) batch", dump.batch, model.batch)
    check("\(name) flags", dump.flags, model.flags.rawValue)
    check("\(name) alloc_factor", dump.alloc_factor, model.allocFactor)
    check("\(name) expire", dump.expire, model.expire)
    check("\(name) free_count", dump.free_count, model.freeCount)
    check("\(name) free_diff", dump.free_diff, model.freeDiff)
    check("\(name) free_cma_diff", dump.free_cma_diff, model.freeCMADiff)
    for index in 0..<PerCPUPages.listCount {
      let order = PerCPUList.order(index, pageblockOrder: machine.geometry.pageblockOrder)
      check(
        "\(name) list \(index)", dump.lists["\(index)"] ?? [],
        machine.frames.blocks(model.list(index), order: order).map(\.index))
    }
  }

  /// The allocator's own counters of /proc/vmstat.
  private mutating func compareEvents(_ dump: [String: Int], _ machine: borrowing Machine) {
    for name in ["pgalloc_dma", "pgalloc_dma32", "pgalloc_normal", "pgalloc_movable", "pgfree"] {
      check(name, dump[name] ?? 0, machine.event(named: name))
    }
  }
}

internal import MemoryModel

/// Compares a dump with a machine, value by value.
struct DumpComparer {
  private var checker = Checker()

  static func compare(
    _ dump: RecordingRecord, _ machine: borrowing Machine
  ) -> ReplayReport.DumpComparison {
    var comparer = DumpComparer()
    for zone in dump.zones ?? [] { comparer.compare(zone, machine) }
    comparer.checker.check(
      "zones with memory", (dump.zones ?? []).map(\.idx).sorted(), machine.populatedZones)
    for batch in dump.lru_batches ?? [] where batch.cpu < machine.cpuCount {
      for kind in LRUBatchKind.allCases {
        comparer.checker.check(
          "\(kind.name) of CPU \(batch.cpu)", batch.b[kind.name] ?? [],
          machine.lruBatch(cpu: batch.cpu, kind).map(\.index))
      }
    }
    for pool in dump.hstates ?? [] { comparer.compare(pool, machine) }
    for (index, area) in (dump.cma ?? []).enumerated() where index < machine.cmaAreas.count {
      comparer.checker.check(
        "bits set in CMA area \(area.name)", area.set_runs.flatMap { $0 },
        machine.cmaSetRuns(area: index).flatMap { [$0.lowerBound, $0.count] })
    }
    comparer.compareEvents(dump.vmstat ?? [:], machine)
    if let system = dump.sys {
      comparer.checker.check(
        "min_free_kbytes", system.min_free_kbytes, machine.settings.minFreeKbytes)
      comparer.checker.check("totalreserve_pages", system.totalreserve_pages, machine.totalReserve)
      if let order = system.kswapd_order {
        comparer.checker.check("kswapd_order", order, machine.kswapds[0].order)
      }
      if let failures = system.kswapd_failures {
        comparer.checker.check("kswapd_failures", failures, machine.kswapds[0].failures)
      }
    }
    return ReplayReport.DumpComparison(
      tag: dump.tag ?? "", index: dump.i ?? 0, compared: comparer.checker.compared,
      differences: comparer.checker.differences)
  }

  private mutating func compare(_ dump: DumpZone, _ machine: borrowing Machine) {
    let zone = machine.zone(dump.idx)
    let name = dump.name
    checker.check("\(name) start", dump.start_pfn, zone.start)
    checker.check("\(name) managed", dump.managed, zone.managed)
    for (index, (mark, value)) in [
      ("min", dump.wmark.min), ("low", dump.wmark.low), ("high", dump.wmark.high),
      ("promo", dump.wmark.promo),
    ].enumerated() {
      checker.check("\(name) \(mark)", value, zone.watermarks[index])
    }
    checker.check("\(name) spanned", dump.spanned, zone.spanned)
    checker.check("\(name) present", dump.present, zone.present)
    checker.check("\(name) cma_pages", dump.cma_pages, zone.cmaPages)
    checker.check("\(name) percpu_drift_mark", dump.percpu_drift_mark, zone.percpuDriftMark)
    checker.check(
      "\(name) nr_isolate_pageblock", dump.nr_isolate_pageblock, zone.isolatedPageblocks)
    checker.check("\(name) boost", dump.watermark_boost, zone.watermarkBoost)
    checker.check(
      "\(name) lowmem_reserve", dump.lowmem_reserve,
      (0..<ZoneIndex.count).map { zone.lowmemReserve[$0] })
    checker.check(
      "\(name) nr_reserved_highatomic", dump.nr_reserved_highatomic, zone.reservedHighAtomic)
    checker.check("\(name) nr_free_highatomic", dump.nr_free_highatomic, zone.freeHighAtomic)
    checker.check("\(name) flags", dump.flags, zone.flags.rawValue)
    checker.check("\(name) NR_FREE_PAGES", dump.stat["nr_free_pages"]?.first ?? 0, zone.freePages)
    checker.check("\(name) NR_FREE_CMA", dump.stat["nr_free_cma"]?.first ?? 0, zone.freeCMAPages)
    for area in dump.free_area {
      checker.check("\(name) nr_free[\(area.order)]", area.nr_free, zone.freeCounts[area.order])
      for type in MigrateType.allCases {
        let list = zone.freeList(order: area.order, type)
        checker.check(
          "\(name) free list \(area.order) \(type.name)", area.lists[Int(type.rawValue)],
          machine.frames.blocks(list).map(\.index))
      }
    }
    for run in dump.pageblocks {
      let block = machine.geometry.pageblockPages
      let type = MigrateType(name: run.type)
      for index in 0..<run.count {
        let pfn = PFN(run.start / block * block + index * block)
        let model = machine.frames.migrateType(pfn)
        checker.check(
          "\(name) pageblock 0x\(String(pfn.index, radix: 16))", type, recorded: run.type, model)
        checker.check(
          "\(name) skip hint of pageblock 0x\(String(pfn.index, radix: 16))", run.skip ? 1 : 0,
          machine.frames.skipHint(pfn) ? 1 : 0)
      }
    }
    if let recorded = dump.compact { compare(recorded, zone.compaction, name) }
    if machine.cpuCount == 1 {
      for (item, name) in VMStatNames.zoneItems.enumerated()
      where VMStatNames.laggingItems.contains(name) {
        checker.check(
          "\(dump.name) \(name) held back", dump.stat[name]?.last ?? 0,
          Int(machine.perCPUPages(zone: dump.idx, cpu: 0).itemDiffs[item]))
      }
    }
    for pages in dump.pcp where pages.cpu < machine.cpuCount {
      compare(pages, machine.perCPUPages(zone: dump.idx, cpu: pages.cpu), name, machine)
    }
  }

  private mutating func compare(
    _ dump: DumpZone.Compact, _ model: ZoneCompaction, _ zone: String
  ) {
    let name = "\(zone) compact_"
    checker.check("\(name)cached_free_pfn", dump.cached_free_pfn, model.cachedFree)
    checker.check(
      "\(name)cached_migrate_pfn", dump.cached_migrate_pfn,
      [model.cachedMigrateAsync, model.cachedMigrateSync])
    checker.check("\(name)init_migrate_pfn", dump.init_migrate_pfn, model.initialMigrate)
    checker.check("\(name)init_free_pfn", dump.init_free_pfn, model.initialFree)
    checker.check("\(name)considered", dump.considered, model.considered)
    checker.check("\(name)defer_shift", dump.defer_shift, model.deferShift)
    checker.check("\(name)order_failed", dump.order_failed, model.orderFailed)
    checker.check(
      "\(name)blockskip_flush", dump.blockskip_flush, model.flushesSkipHints ? 1 : 0)
  }

  private mutating func compare(
    _ dump: DumpZone.PerCPU, _ model: PerCPUPages, _ zone: String, _ machine: borrowing Machine
  ) {
    let name = "\(zone) pcp of CPU \(dump.cpu)"
    checker.check("\(name) count", dump.count, model.count)
    checker.check("\(name) high", dump.high, model.high)
    checker.check("\(name) high_min", dump.high_min, model.highMin)
    checker.check("\(name) high_max", dump.high_max, model.highMax)
    checker.check("\(name) batch", dump.batch, model.batch)
    checker.check("\(name) flags", dump.flags, model.flags.rawValue)
    checker.check("\(name) alloc_factor", dump.alloc_factor, model.allocFactor)
    checker.check("\(name) expire", dump.expire, model.expire)
    checker.check("\(name) free_count", dump.free_count, model.freeCount)
    checker.check("\(name) free_diff", dump.free_diff, model.freeDiff)
    checker.check("\(name) free_cma_diff", dump.free_cma_diff, model.freeCMADiff)
    for index in 0..<PerCPUPages.listCount {
      checker.check(
        "\(name) list \(index)", dump.lists["\(index)"] ?? [],
        machine.frames.blocks(model.list(index)).map(\.index))
    }
  }

  private mutating func compare(_ dump: DumpHugePool, _ machine: borrowing Machine) {
    let name = "huge pages of order \(dump.order)"
    guard let pool = machine.hugePool(order: dump.order) else {
      return checker.check(name, dump.nr_huge_pages, 0)
    }
    checker.check("\(name): nr_huge_pages", dump.nr_huge_pages, pool.total)
    checker.check("\(name): free_huge_pages", dump.free_huge_pages, pool.free)
    checker.check("\(name): resv_huge_pages", dump.resv_huge_pages, pool.reserved)
    checker.check("\(name): surplus_huge_pages", dump.surplus_huge_pages, pool.surplus)
    checker.check("\(name): max_huge_pages", dump.max_huge_pages, pool.maximum)
    checker.check("\(name): nr_overcommit_huge_pages", dump.nr_overcommit, pool.overcommit)
    checker.check(
      "\(name): free list", dump.free, machine.freeHugePages(order: dump.order).map(\.index))
  }

  /// The allocator's own counters of /proc/vmstat.
  private mutating func compareEvents(_ dump: [String: Int], _ machine: borrowing Machine) {
    for name in [
      "pgalloc_dma", "pgalloc_dma32", "pgalloc_normal", "pgalloc_movable", "pgfree",
      "htlb_buddy_alloc_success", "htlb_buddy_alloc_fail",
      "compact_isolated", "compact_migrate_scanned", "compact_free_scanned", "compact_stall",
      "compact_fail", "compact_success", "compact_daemon_wake", "compact_daemon_migrate_scanned",
      "compact_daemon_free_scanned", "cma_alloc_success", "cma_alloc_fail", "pageoutrun",
      "oom_kill",
      "kswapd_low_wmark_hit_quickly", "kswapd_high_wmark_hit_quickly", "allocstall_dma",
      "allocstall_dma32", "allocstall_normal", "allocstall_movable", "pgscan_kswapd",
      "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct",
    ] {
      checker.check(name, dump[name] ?? 0, machine.event(named: name))
    }
  }
}

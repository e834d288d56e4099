public import MemoryModel

extension MachineImage {
  /// The machine that a full dump describes.
  ///
  /// - Throws: When the dump lacks the page classes that only a full dump has.
  public init(
    _ dump: RecordingRecord, of recording: Recording
  ) throws(RecordingError) {
    guard let zones = dump.zones, let system = dump.sys, let pages = dump.pages else {
      throw RecordingError(
        "\(recording.path): dump \"\(dump.tag ?? "?")\" is not a full one (no page classes), "
          + "so no machine can start from it")
    }
    self.init()
    geometry = .x86_64
    kernel = .v6_12
    cpuNodes = Array(repeating: 0, count: system.online_cpus)
    hasCMA = recording.header.config?["CONFIG_CMA"] == "y"
    isMobilityGroupingDisabled = system.page_group_by_mobility_disabled != 0
    settings.minFreeKbytes = system.min_free_kbytes
    settings.userMinFreeKbytes = system.user_min_free_kbytes
    settings.watermarkBoostFactor = system.watermark_boost_factor
    settings.watermarkScaleFactor = system.watermark_scale_factor
    settings.transparentHugePages = system.thp_flags & 6 != 0
    settings.hugePagesOnlyAdvised = system.thp_flags & 6 == 4
    events = dump.vmstat ?? [:]
    nodeItems = dump.vmstat ?? [:]
    for zone in zones { self.zones.append(try ZoneImage(zone, recording)) }
    for pool in dump.hstates ?? [] { hugePools.append(HugePoolImage(pool)) }
    for zone in zones {
      let listed = Self.listedFrames(zone)
      addPages(pages[zone.name] ?? [], listed: listed)
    }
    for area in dump.cma ?? [] {
      cmaAreas.append(
        Machine.CMAArea(
          name: area.name, base: area.base_pfn, pages: area.count,
          orderPerBit: area.order_per_bit))
      cmaSetRuns.append(area.set_runs.map { $0[0]..<$0[0] + $0[1] })
    }
    lruAddBatches = Array(repeating: [], count: system.online_cpus)
    for batch in dump.lru_batches ?? [] where batch.cpu < system.online_cpus {
      lruAddBatches[batch.cpu] = batch.b["lru_add"] ?? []
    }
  }

  /// Holes, reserved frames and allocated blocks from the classes of fidelity/README.md.
  ///
  /// A frame of class 0 that is on no per-CPU list was freed by an interrupt while the dump was
  /// written: its lists came first, so there it was still allocated.
  private mutating func addPages(_ runs: [PageRun], listed: Set<Int>) {
    let isHugePool = !hugePools.isEmpty
    // What no run covers is a hole or belongs to another zone.
    for run in runs where run.classLetter != "-" {
      memory.append(PFNRange(run.pfn, run.pfn + run.count << run.order))
      let letter = run.classLetter.utf8.first ?? 0
      switch run.classLetter {
      case "R":
        reserved.append(PFNRange(run.pfn, run.pfn + run.count << run.order))
      case "B", "O":
        break
      case "h" where isHugePool:
        // The list says more: its order.
        break
      case "0":
        addInFlight(run, listed)
      default:
        for index in 0..<run.count {
          allocations.append(
            Allocation(
              pfn: run.pfn + index << run.order, order: run.order, owner: letter,
              isLRU: run.classLetter == "A" || run.classLetter == "F",
              isDriverMovable: run.classLetter == "M"))
        }
      }
    }
  }
}

extension MachineImage {
  private mutating func addInFlight(_ run: PageRun, _ listed: Set<Int>) {
    for pfn in run.pfn..<run.pfn + run.count << run.order where !listed.contains(pfn) {
      allocations.append(
        Allocation(
          pfn: pfn, order: 0, owner: UInt8(ascii: "K"), isLRU: false, isDriverMovable: false))
    }
  }

  /// Every frame of every block on the per-CPU lists.
  private static func listedFrames(_ zone: DumpZone) -> Set<Int> {
    var frames = Set<Int>()
    for (key, list) in zone.pcp.flatMap({ $0.lists }) {
      let order = PerCPUList.order(
        Int(key) ?? 0, pageblockOrder: Geometry.x86_64.pageblockOrder)
      for start in list { frames.formUnion(start..<start + 1 << order) }
    }
    return frames
  }
}

extension MachineImage.HugePoolImage {
  fileprivate init(_ pool: DumpHugePool) {
    self.init(order: pool.order)
    total = pool.nr_huge_pages
    reserved = pool.resv_huge_pages
    surplus = [pool.surplus_huge_pages]
    maximum = pool.max_huge_pages
    overcommit = pool.nr_overcommit
    free = pool.free
  }
}

extension MachineImage.ZoneImage {
  fileprivate init(_ zone: DumpZone, _ recording: Recording) throws(RecordingError) {
    guard let index = ZoneIndex(rawValue: zone.idx) else {
      throw RecordingError("\(recording.path): zone number \(zone.idx) is unknown")
    }
    self.init(index)
    start = zone.start_pfn
    spanned = zone.spanned
    present = zone.present
    managed = zone.managed
    cmaPages = zone.cma_pages
    watermarks = [zone.wmark.min, zone.wmark.low, zone.wmark.high, zone.wmark.promo]
    watermarkBoost = zone.watermark_boost
    lowmemReserve = zone.lowmem_reserve
    reservedHighAtomic = zone.nr_reserved_highatomic
    freeHighAtomic = zone.nr_free_highatomic
    flags = ZoneFlags(rawValue: zone.flags)
    isolatedPageblocks = zone.nr_isolate_pageblock
    percpuDriftMark = zone.percpu_drift_mark
    highMin = zone.pageset.high_min
    highMax = zone.pageset.high_max
    batch = zone.pageset.batch
    statThreshold = zone.pcp.first?.stat_threshold ?? 0
    freePages = zone.stat["nr_free_pages"]?.first ?? 0
    freeCMAPages = zone.stat["nr_free_cma"]?.first ?? 0
    if let recorded = zone.compact {
      compaction.cachedFree = recorded.cached_free_pfn
      compaction.cachedMigrateAsync = recorded.cached_migrate_pfn.first ?? 0
      compaction.cachedMigrateSync = recorded.cached_migrate_pfn.last ?? 0
      compaction.initialMigrate = recorded.init_migrate_pfn
      compaction.initialFree = recorded.init_free_pfn
      compaction.considered = recorded.considered
      compaction.deferShift = recorded.defer_shift
      compaction.orderFailed = recorded.order_failed
      compaction.flushesSkipHints = recorded.blockskip_flush != 0
    }
    freeLists = Array(repeating: [:], count: Geometry.x86_64.orderCount)
    for area in zone.free_area {
      for type in MigrateType.allCases {
        freeLists[area.order][type] = area.lists[Int(type.rawValue)]
      }
    }
    for run in zone.pageblocks {
      guard let type = MigrateType(name: run.type) else {
        throw RecordingError("\(recording.path): migratetype \"\(run.type)\" is unknown")
      }
      pageblocks.append((run.start, run.count, type))
      if run.skip { skippedPageblocks.append((run.start, run.count)) }
    }
    for source in zone.pcp.sorted(by: { $0.cpu < $1.cpu }) {
      var pages = MachineImage.PerCPUImage()
      pages.count = source.count
      pages.high = source.high
      pages.highMin = source.high_min
      pages.highMax = source.high_max
      pages.batch = source.batch
      pages.flags = source.flags
      pages.allocFactor = source.alloc_factor
      pages.expire = source.expire
      pages.freeCount = source.free_count
      pages.freeDiff = source.free_diff
      pages.freeCMADiff = source.free_cma_diff
      // A dump has the sum of all CPUs' differences.
      if zone.pcp.count == 1 {
        for name in VMStatNames.laggingItems { pages.itemDiffs[name] = zone.stat[name]?.last }
      }
      for (key, list) in source.lists {
        guard let index = Int(key) else {
          throw RecordingError("\(recording.path): per-CPU list \"\(key)\" is not a number")
        }
        pages.lists[index] = list
      }
      perCPU.append(pages)
    }
  }
}

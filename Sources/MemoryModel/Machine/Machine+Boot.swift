// Boot in the kernel's order: zone extents, hand-over of free memory, per-CPU lists, CMA areas,
// watermarks, huge pages. The order matters: the lists that boot leaves decide every later pfn.

extension Machine {
  /// Boots a machine.
  ///
  /// - Throws: `.configuration` with the field, its value and the fix when no machine can be so.
  public static func boot(
    _ configuration: MachineConfiguration
  ) throws(MemoryError) -> Machine {
    try configuration.validate()
    let ranges = configuration.nodes.map { $0.memory.normalized() }
    let memory = ranges.flatMap { $0 }.normalized()
    var settings = Settings()
    settings.transparentHugePages = configuration.transparentHugePages
    settings.hugePagesOnlyAdvised = configuration.hugePagesOnlyAdvised
    settings.freeHighBatch = configuration.freeHighBatch
    settings.usesGenerations = configuration.usesGenerations
    var machine = try Machine(
      geometry: configuration.geometry, kernel: configuration.kernel, nodeCount: ranges.count,
      cpuNodes: configuration.cpuNodes, hasCMA: configuration.hasCMA,
      distances: configuration.distances, memory: memory,
      reserved: configuration.reserved.normalized(), settings: settings,
      swapPages: configuration.swapPages)
    let layout = ZoneLayout(configuration)
    machine.setUpZones(layout)
    try machine.placeCMAAreas(
      configuration.cmaAreas + configuration.hugetlbCMARequests()
        + configuration.hashTableRequests(), configuration.nodes)
    machine.buildZonelists()
    machine.handOver()
    for zone in 0..<machine.zoneCount { machine.setPerCPUHighAndBatch(zone) }
    if configuration.freeHighBatch {
      for local in 0..<machine.perCPU.count
      where machine.zoneTable[local / machine.cpuCount].isPopulated {
        machine.perCPU[local].flags.insert(.freeHighBatch)
      }
    }
    machine.bringUpCPUs()
    machine.activateCMAAreas()
    machine.bringUpCPUs()
    machine.initPerZoneWatermarks()
    machine.allocateBootHugePages(configuration.hugePages)
    machine.sizeForTransparentHugePages()
    if let kbytes = configuration.minFreeKbytes { try machine.write(.minFreeKbytes, "\(kbytes)") }
    machine.trace.clear()
    return machine
  }

  /// Computes watermarks, reserves, thresholds and per-CPU marks from the zones' `managed`, and
  /// raises them for huge pages on machines of 512 MiB and more (rules A1.15 to A1.24).
  ///
  /// Kernel: `init_per_zone_wmark_min()`, `hugepage_init()`.
  public mutating func sizeAsAtBoot() {
    bringUpCPUs()
    initPerZoneWatermarks()
    sizeForTransparentHugePages()
  }

  /// Rule A1.20.
  ///
  /// Kernel: `hugepage_init()`, `start_stop_khugepaged()`.
  private mutating func sizeForTransparentHugePages() {
    let pages = (0..<zoneCount).reduce(0) { $0 + zoneTable[$1].managed }
    if pages * geometry.pageSize < 512 << 20 {
      settings.transparentHugePages = false
    } else {
      raiseForHugePages()
      setupPerZoneWatermarks()
    }
  }

  /// A second CPU that comes up sets the thresholds early, while watermarks are 0 and CMA areas not
  /// handed over, and leaves drift marks that nothing clears.
  ///
  /// Kernel: `vmstat_cpu_online()`, mm/vmstat.c; seen in the recordings with 2 and 4 CPUs.
  private mutating func bringUpCPUs() {
    if cpuCount > 1 { refreshStatThresholds(withCMA: false) }
  }

  private mutating func setUpZones(_ layout: ZoneLayout) {
    for (id, extent) in layout.zones.enumerated() {
      zoneTable[id].node = id / ZoneIndex.count
      zoneTable[id].indexRawValue = id % ZoneIndex.count
      zoneTable[id].start = extent.range.start
      zoneTable[id].spanned = extent.range.count
      zoneTable[id].present = extent.present
      if extent.range.isEmpty { continue }
      let order = geometry.pageblockOrder
      let blocks =
        extent.range.start >> order..<(extent.range.end + geometry.pageblockPages - 1) >> order
      frames.assignZone(id, blocks: blocks)
    }
    // A pageblock whose first frame is a hole stays Unmovable (rule A1.7).
    let mask = geometry.pageblockPages - 1
    for range in memory {
      let first = (range.start + mask) >> geometry.pageblockOrder
      let end = (range.end + mask) >> geometry.pageblockOrder
      if first < end { frames.fillMigrateTypes(first..<end, .movable) }
    }
  }

  /// Rules A1.13 and A1.14.
  ///
  /// Kernel: `build_all_zonelists()`.
  mutating func buildZonelists() {
    let populated = (0..<nodeCount).map { node in
      (0..<ZoneIndex.count).reversed().map { node * ZoneIndex.count + $0 }
        .filter { zoneTable[$0].isPopulated }
    }
    var load = Array(repeating: 0, count: nodeCount)
    for node in 0..<nodeCount {
      var order: [Int] = populated[node].isEmpty ? [] : [node]
      var previous = node
      while true {
        var best: Int?
        var bestValue = Int.max
        for other in 0..<nodeCount where !order.contains(other) && !populated[other].isEmpty {
          var value = distance(node, other)
          if other < node { value += 1 }
          if cpuNodes.contains(other) { value += 1 }
          value = value * 1024 + load[other]
          if value < bestValue {
            bestValue = value
            best = other
          }
        }
        guard let best else { break }
        if distance(node, best) != distance(node, previous) { load[best] += 1 }
        order.append(best)
        previous = best
      }
      zonelists[node] = order.flatMap { populated[$0] }
    }
    // Rule A1.12: with fewer pages than a pageblock of each type, types are not kept apart.
    var usable = 0
    for zone in zonelists.first ?? [] {
      let managed = zoneTable[zone].managed == 0 ? zoneTable[zone].present : zoneTable[zone].managed
      usable += max(0, managed - zoneTable[zone].watermarks[2])
    }
    let types = hasCMA ? MigrateType.count : MigrateType.count - 1
    isMobilityGroupingDisabled = usable < geometry.pageblockPages * types
  }

  private func distance(_ from: Int, _ to: Int) -> Int {
    if let distances { return distances[from][to] }
    return from == to ? 10 : 20
  }

  /// Gives all free memory to the buddy, ascending and to the tails (rule A1.9).
  ///
  /// A whole largest block is inserted as such: the kernel frees its two halves, which merge into
  /// the same block at the same place. Kernel: `memblock_free_all()`.
  private mutating func handOver() {
    let held =
      (reserved + cmaAreas.map(\.range)).normalized()
    for range in memory.subtracting(held) {
      var at = range.start
      while at < range.end {
        var order = min(geometry.maxOrder, at == 0 ? geometry.maxOrder : at.trailingZeroBitCount)
        while at + 1 << order > range.end { order -= 1 }
        let pfn = PFN(at)
        guard let zone = frames.zone(of: pfn) else { break }
        zoneTable[zone].managed += 1 << order
        if order == geometry.maxOrder {
          let type = frames.migrateType(pfn)
          account(zone, 1 << order, type)
          insertFree(zone, pfn, order: order, type, atTail: movesToTail)
          count(.pgfree, 1 << order)
        } else {
          freeOnePage(zone, pfn, order: order, atTail: movesToTail)
        }
        at += 1 << order
      }
    }
  }

  // MARK: CMA

  /// Rule A1.26.
  ///
  /// Kernel: `cma_declare_contiguous_nid()`.
  private mutating func placeCMAAreas(
    _ requests: [MachineConfiguration.CMARequest], _ nodes: [MachineConfiguration.Node]
  ) throws(MemoryError) {
    let block = geometry.pageblockPages
    for request in requests {
      guard request.pages > 0, (0...geometry.maxOrder).contains(request.orderPerBit) else {
        throw MemoryError(
          .configuration,
          "cma area '\(request.name)' of \(request.pages) pages, order_per_bit "
            + "\(request.orderPerBit): give it a size above 0 and an order from 0 to "
            + "\(geometry.maxOrder)")
      }
      let pages = (request.pages + block - 1) / block * block
      guard pages % (1 << request.orderPerBit) == 0 else {
        throw MemoryError(
          .configuration,
          "cma area '\(request.name)' of \(pages) pages is not a multiple of the "
            + "\(1 << request.orderPerBit) pages of a bit; round its size up")
      }
      let taken = (reserved + cmaAreas.map(\.range)).normalized()
      var free = memory.subtracting(taken)
      if let node = request.node {
        free = free.flatMap { range in nodes[node].memory.map { $0.intersection(range) } }
          .normalized()
      }
      let base: Int
      if let wanted = request.base {
        let area = PFNRange(wanted, wanted + pages)
        guard wanted % block == 0, free.pages(in: area) == pages else {
          throw MemoryError(
            .configuration,
            "cma area '\(request.name)' at pfn 0x\(hex(wanted)), \(pages) pages: not free memory "
              + "on a pageblock border of \(block) pages; leave out the base to have it placed")
        }
        base = wanted
      } else {
        base = try findCMABase(
          request.name, pages: pages, alignment: request.alignment ?? block, in: free)
      }
      guard let zone = frames.zone(of: PFN(base)),
        frames.zone(of: PFN(base + pages - 1)) == zone
      else {
        throw MemoryError(
          .configuration,
          "cma area '\(request.name)' of \(pages) pages crosses a zone border; "
            + "make it smaller or give it a base")
      }
      cmaAreas.append(
        CMAArea(
          name: request.name, base: base, pages: pages, orderPerBit: request.orderPerBit))
      let address = hex(base << geometry.pageShift)
      log.append(
        "cma: Reserved \((pages << geometry.pageShift) >> 20) MiB at 0x"
          + String(repeating: "0", count: max(0, 16 - address.count)) + address + " on node -1")
    }
  }

  private func findCMABase(
    _ name: String, pages: Int, alignment block: Int, in free: [PFNRange]
  ) throws(MemoryError) -> Int {
    let end = memory.last?.end ?? 0
    // With memory to spare above 4 GiB the area goes there, from the bottom up.
    let border = geometry.dma32End
    if border > 0 && end >= border + pages {
      for range in free {
        let start = (max(range.start, border) + block - 1) / block * block
        if start + pages <= range.end { return start }
      }
    }
    for range in free.reversed() {
      let start = (range.end - pages) / block * block
      if start >= range.start && start >= 0 { return start }
    }
    throw MemoryError(
      .configuration,
      "cma area '\(name)' of \(pages) pages does not fit into one free range; the largest has "
        + "\(free.map(\.count).max() ?? 0) pages")
  }

  /// Frees the areas pageblock by pageblock through the per-CPU lists (rule A1.27).
  ///
  /// Kernel: `cma_init_reserved_areas()`, `init_cma_reserved_pageblock()`.
  private mutating func activateCMAAreas() {
    for area in cmaAreas {
      var at = area.base
      while at < area.base + area.pages {
        let pfn = PFN(at)
        let zone = frames.zone(of: pfn)!
        frames.setMigrateType(pfn, .cma)
        freePerCPU(zone, pfn, order: geometry.pageblockOrder)
        zoneTable[zone].managed += geometry.pageblockPages
        zoneTable[zone].cmaPages += geometry.pageblockPages
        at += geometry.pageblockPages
      }
    }
  }
}

extension MachineConfiguration {
  func validate() throws(MemoryError) {
    // Slots stand in the page cache beside frames, told apart by the top bit.
    guard swapPages >= 0, swapPages < 1 << 31 else {
      throw MemoryError(
        .configuration, "swap = \(swapPages) pages is more than the model's \(1 << 31)")
    }
    let last = nodes.flatMap(\.memory).map(\.end).max() ?? 0
    guard swapPages == 0 || last < 1 << 31 else {
      throw MemoryError(
        .configuration,
        "swap with memory up to frame \(last); use a machine below \(1 << 31) frames")
    }
    guard !nodes.isEmpty, nodes.allSatisfy({ !$0.memory.normalized().isEmpty }) else {
      throw MemoryError(.configuration, "a machine needs memory on each of its nodes")
    }
    var end = 0
    for (node, span) in nodes.map({ $0.memory.normalized() }).enumerated() {
      let block = geometry.maxBlockPages
      guard span[0].start >= end,
        end % block == 0 || node == 0 || span[0].start / block > end / block
      else {
        throw MemoryError(
          .configuration,
          "node \(node) starts at pfn 0x\(String(span[0].start, radix: 16)), inside of node \(node - 1) or of its "
            + "last block; nodes ascend and meet at multiples of \(block) pages")
      }
      end = span[span.count - 1].end
    }
    guard nodes.count <= 32 else {
      throw MemoryError(.configuration, "\(nodes.count) nodes are more than the model's 32")
    }
    guard (1...256).contains(cpuNodes.count) else {
      throw MemoryError(.configuration, "cpus = \(cpuNodes.count) is not between 1 and 256")
    }
    if let node = cpuNodes.first(where: { $0 < 0 || $0 >= nodes.count }) {
      throw MemoryError(
        .configuration, "a CPU on node \(node), but nodes end at \(nodes.count - 1)")
    }
    for size in [kernelcore, movablecore] {
      if case .percent(let percent) = size, !(0...100).contains(percent) {
        throw MemoryError(.configuration, "\(percent) % is not a share; use 0% to 100%")
      }
    }
    if !cmaAreas.isEmpty && !hasCMA {
      throw MemoryError(
        .configuration, "a CMA area on a kernel without CONFIG_CMA; drop `cma` or set config_cma")
    }
    try validateHugePages()
    if let kbytes = minFreeKbytes, !(0...(1 << 31)).contains(kbytes) {
      throw MemoryError(.configuration, "min_free_kbytes = \(kbytes) is not a size in KiB")
    }
    if let distances,
      distances.count != nodes.count || distances.contains(where: { $0.count != nodes.count })
    {
      throw MemoryError(
        .configuration, "distances must be a table of \(nodes.count) by \(nodes.count) numbers")
    }
  }
}

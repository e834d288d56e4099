// Memory blocks come and go whole. What is derived from the sizes of zones is computed anew each time,
// as at boot (rule A1.3).

extension Machine {
  /// Where a memory block goes that comes online.
  ///
  /// Kernel: `enum mmop`.
  public enum OnlineTarget: String, CaseIterable, Sendable {
    case movable = "online_movable"
    case kernel = "online_kernel"
    case either = "online"
  }

  /// Makes frees of this zone go to the buddy at once, and empties its lists.
  ///
  /// Kernel: `zone_pcp_disable()`, mm/page_alloc.c.
  package mutating func disablePerCPULists(_ zone: Int) {
    setPerCPULists(zone, highMin: 0, highMax: 0, batch: 1)
    drainAllPages(zone: zone)
  }

  /// Kernel: `zone_pcp_enable()`.
  package mutating func enablePerCPULists(_ zone: Int) {
    setPerCPULists(
      zone, highMin: zoneTable[zone].highMin, highMax: zoneTable[zone].highMax,
      batch: zoneTable[zone].batch)
  }

  private mutating func setPerCPULists(_ zone: Int, highMin: Int, highMax: Int, batch: Int) {
    for local in zone * cpuCount..<(zone + 1) * cpuCount {
      perCPU[local].highMin = highMin
      perCPU[local].highMax = highMax
      perCPU[local].batch = batch
      if !tunesPerCPULists { perCPU[local].high = highMin }
    }
  }

  /// Takes a block's free pages, which are all of it, out of the machine (rule P6.8).
  ///
  /// Kernel: the end of `offline_pages()`; `__offline_isolated_pages()`.
  package mutating func removeOffline(_ range: PFNRange, from zone: Int) {
    var at = range.start
    while at < range.end {
      let state = frames.head(PFN(at))
      removeFree(zone, PFN(at), order: state.order)
      at += 1 << state.order
    }
    zoneTable[zone].isolatedPageblocks -= range.count >> geometry.pageblockOrder
    enablePerCPULists(zone)
    zoneTable[zone].managed -= range.count
    zoneTable[zone].present -= range.count
    sizeAnew()
    if !zoneTable[zone].isPopulated {
      resetPerCPULists(zone)
      buildZonelists()
    }
    memory = memory.subtracting([range])
    offlineMemory.append(range)
    frames.assignZone(nil, blocks: blocks(of: range))
    shrinkSpan(zone, by: range)
  }

  private func blocks(of range: PFNRange) -> Range<Int> {
    range.start >> geometry.pageblockOrder..<range.end >> geometry.pageblockOrder
  }

  /// Moves an end of the zone to the next pageblock that is still its own; a gap inside stays.
  ///
  /// Kernel: `shrink_zone_span()`, mm/memory_hotplug.c.
  private mutating func shrinkSpan(_ zone: Int, by range: PFNRange) {
    let size = geometry.pageblockPages
    let span = zoneTable[zone].range
    if span.start == range.start {
      let rest = stride(from: range.end, to: span.end, by: size)
      let start = rest.first { frames.zone(of: PFN($0)) == zone }
      zoneTable[zone].start = start ?? 0
      zoneTable[zone].spanned = start.map { span.end - $0 } ?? 0
    } else if span.end == range.end {
      let rest = stride(from: range.start - 1, through: span.start, by: -size)
      let last = rest.first { frames.zone(of: PFN($0)) == zone }
      zoneTable[zone].start = last == nil ? 0 : span.start
      zoneTable[zone].spanned = last.map { $0 - span.start + 1 } ?? 0
    }
  }

  /// The lists of a zone without memory are those that boot begins with.
  ///
  /// Kernel: `zone_pcp_reset()`.
  private mutating func resetPerCPULists(_ zone: Int) {
    for cpu in 0..<cpuCount {
      let local = zone * cpuCount + cpu
      _ = foldDifferences(zone, cpu: cpu)
      perCPU[local].high = 0
      perCPU[local].flags = []
      perCPU[local].allocFactor = 0
      perCPU[local].expire = 0
      perCPU[local].freeCount = 0
    }
    setPerCPULists(zone, highMin: 0, highMax: 0, batch: 1)
  }

  /// Brings a memory block back that was taken offline, freeing all of it to the tails.
  ///
  /// Kernel: `online_pages()`, mm/memory_hotplug.c.
  ///
  /// - Throws: `.misuse` when the block is not offline.
  public mutating func online(at start: PFN, _ target: OnlineTarget) throws(MemoryError) {
    let range = PFNRange(start.index, start.index + geometry.memoryBlockPages)
    guard let index = offlineMemory.firstIndex(of: range) else {
      throw MemoryError(.misuse, "no memory block is offline at \(start); take it offline first")
    }
    let zone = onlineZone(range, target)
    offlineMemory.remove(at: index)
    memory = (memory + [range]).normalized()
    let blocks = blocks(of: range)
    frames.assignZone(zone, blocks: blocks)
    frames.fillMigrateTypes(blocks, .isolate)
    let span = zoneTable[zone].range
    let first = span.isEmpty ? range.start : min(span.start, range.start)
    zoneTable[zone].start = first
    zoneTable[zone].spanned = max(span.isEmpty ? 0 : span.end, range.end) - first
    zoneTable[zone].isolatedPageblocks += blocks.count
    let isNew = !zoneTable[zone].isPopulated
    for pfn in stride(from: range.start, to: range.end, by: geometry.maxBlockPages) {
      zoneTable[zone].managed += geometry.maxBlockPages
      trace.append(TraceEvent(.pageFree, PFN(pfn), order: geometry.maxOrder))
      freeOnePage(zone, PFN(pfn), order: geometry.maxOrder, atTail: movesToTail)
    }
    zoneTable[zone].present += range.count
    if isNew {
      setPerCPUHighAndBatch(zone)
      buildZonelists()
    }
    endIsolation(of: range, as: .movable)
    sizeAnew()
  }

  /// What follows from the sizes of zones, and the marks that huge pages ask for (rule A1.20).
  ///
  /// Kernel: `init_per_zone_wmark_min()`, which ends with `khugepaged_min_free_kbytes_update()`.
  private mutating func sizeAnew() {
    initPerZoneWatermarks()
    guard settings.transparentHugePages else { return }
    raiseForHugePages()
    setupPerZoneWatermarks()
  }

  /// Kernel: `zone_for_pfn_range()`, with `online_policy=contig-zones`.
  private func onlineZone(_ range: PFNRange, _ target: OnlineTarget) -> Int {
    let nodes = (0..<nodeCount).filter { node in
      (0..<ZoneIndex.count).contains {
        zoneTable[node * ZoneIndex.count + $0].range.intersection(range).count > 0
      }
    }
    // A block outside of all zones belongs to the node whose zones begin last below it.
    let below = (0..<nodeCount).last { node in
      (0..<ZoneIndex.count).contains {
        let zone = zoneTable[node * ZoneIndex.count + $0]
        return zone.spanned > 0 && zone.start <= range.start
      }
    }
    let base = (nodes.first ?? below ?? 0) * ZoneIndex.count
    func intersects(_ index: ZoneIndex) -> Bool {
      !zoneTable[base + index.rawValue].range.intersection(range).isEmpty
    }
    let kernel = [ZoneIndex.dma, .dma32].first(where: intersects) ?? .normal
    switch target {
    case .movable: return base + ZoneIndex.movable.rawValue
    case .kernel: return base + kernel.rawValue
    case .either:
      let isMovable = !intersects(kernel) && intersects(.movable)
      return base + (isMovable ? ZoneIndex.movable : kernel).rawValue
    }
  }
}

// One zone of a capture, rebuilt page by page: free blocks, what was never given to the allocator,
// pageblock types, holders.

internal import MemoryModel

extension HostImageLoader {
  mutating func rebuild(_ place: Int) throws(RecordingError) {
    let zone = zones[place]
    let geometry = image.geometry
    let counts = before.zones[zone.id]!
    let ranges = ranges(of: place)
    if !report.hasPageFlags {
      for range in ranges { classes.fill(range, .unknown) }
      let (blocks, missing) = FreeBlocks.invented(counts, in: ranges)
      unplacedBlocks += missing
      for (order, starts) in blocks.starts.enumerated() {
        for start in starts { classes.fill(PFNRange(start, start + 1 << order), .buddy) }
      }
    }
    let free = FreeBlocks(classes, ranges, orderCount: geometry.orderCount)
    setAsideSurplus(zone, ranges, free: free.pages)
    let managed = settle(zone, ranges, free: free.pages)
    report.zones.append(
      CaptureReport.Zone(
        node: zone.id.node, index: zone.id.index, managed: zone["managed"], rebuilt: free.counts,
        before: counts, after: after?.zones[zone.id]))
    let evidence = evidence(place, ranges, free)
    let inferred = PageblockTypes(
      evidence, pageblocks: types?.pageblocks[zone.id], free: types?.free[zone.id] ?? [:],
      cmaPageblocks: zone["cma"] >> geometry.pageblockOrder, isMovable: zone.id.index == .movable
    ).types
    var result = numbers(zone)
    result.managed = managed
    for (index, block) in evidence.enumerated() {
      if let last = result.pageblocks.indices.last, result.pageblocks[last].type == inferred[index],
        result.pageblocks[last].start + result.pageblocks[last].count * geometry.pageblockPages
          == block.start
      {
        result.pageblocks[last].count += 1
      } else {
        result.pageblocks.append((block.start, 1, inferred[index]))
      }
    }
    list(free, evidence, inferred, &result)
    for run in result.pageblocks where run.type == .cma {
      image.cmaAreas.append(
        Machine.CMAArea(
          name: "captured", base: run.start, pages: run.count * geometry.pageblockPages,
          orderPerBit: 0))
    }
    result.cmaPages = inferred.count { $0 == .cma } * geometry.pageblockPages
    if result.cmaPages != zone["cma"] {
      report.notes.append(
        "\(zone.id.index.name) of node \(zone.id.node) has \(zone["cma"]) CMA pages, rebuilt as "
          + "\(result.cmaPages) in whole pageblocks")
    }
    image.zones.append(result)
    for range in ranges { hold(range) }
  }

  /// Frames without a flag are kernel pages only as far as `managed` has room for them.
  ///
  /// The rest were never given to the allocator: memory that a guest has not been lent yet, or that
  /// is still to be initialised. Whole pageblocks without a flag go first, from the longest runs.
  private mutating func setAsideSurplus(_ zone: HostZone, _ ranges: [PFNRange], free: Int) {
    guard report.hasPageFlags else { return }
    let block = image.geometry.pageblockPages
    var used = free
    var runs: [PFNRange] = []
    for range in ranges {
      var at = range.start
      while at < range.end {
        let start = at
        while at < range.end && classes[at] == .flagless { at += 1 }
        used += at - start
        let first = (start + block - 1) / block * block
        if at / block * block > first { runs.append(PFNRange(first, at / block * block)) }
        while at < range.end && classes[at] != .flagless {
          if classes[at].letter != nil { used += 1 }
          at += 1
        }
      }
    }
    var surplus = used - zone["managed"]
    runs.sort { ($1.count, $0.start) < ($0.count, $1.start) }
    for run in runs where surplus >= block {
      let taken = min(run.count, surplus / block * block)
      // From the end: what a host has been given already starts at the bottom.
      let part = PFNRange(run.end - taken, run.end)
      classes.fill(part, .reserved)
      surplus -= taken
      neverGivenPages += taken
    }
  }

  /// Makes exactly as many pages somebody's as the zone manages.
  ///
  /// Page by page from the top, because at the bottom lies what boot reserved: too many, and frames
  /// without a flag were never given to the allocator; too few, and reserved, offline or unknown
  /// ones are held by somebody. What is unknown and left over then is reserved.
  ///
  /// - Returns: The pages managed: the zone's own number, unless the host changed so much while it
  ///   was read that no page is left to settle the difference.
  private mutating func settle(_ zone: HostZone, _ ranges: [PFNRange], free: Int) -> Int {
    var used = free
    for range in ranges {
      for pfn in range.start..<range.end where classes[pfn].letter != nil { used += 1 }
    }
    let managed = zone["managed"]
    for range in ranges.reversed() where used != managed || !report.hasPageFlags {
      for pfn in (range.start..<range.end).reversed() {
        switch classes[pfn] {
        case .flagless where used > managed:
          classes[pfn] = .reserved
          neverGivenPages += 1
          used -= 1
        case .unknown where used < managed, .offline where used < managed,
          .reserved where used < managed:
          classes[pfn] = .held
          heldPages += 1
          used += 1
        case .unknown:
          classes[pfn] = .reserved
        default: break
        }
      }
    }
    if used != managed {
      report.notes.append(
        "\(zone.id.index.name) of node \(zone.id.node) manages \(managed) pages, rebuilt with "
          + "\(used)")
    }
    return used
  }

  /// What each pageblock with memory of the zone shows, ascending.
  private func evidence(
    _ place: Int, _ ranges: [PFNRange], _ free: FreeBlocks
  ) -> [PageblockEvidence] {
    let order = image.geometry.pageblockOrder
    var result: [PageblockEvidence] = []
    for range in ranges {
      for pfn in range.start..<range.end {
        let start = (pfn >> order) << order
        if result.last?.start != start { result.append(PageblockEvidence(start: start)) }
        switch classes[pfn] {
        case .anonLRU, .anon, .fileLRU, .file, .hugetlb: result[result.count - 1].movable += 1
        case .slab: result[result.count - 1].slab += 1
        // Reserved frames say nothing: the kernel's image lies in Movable pageblocks.
        case .pageTable, .kernel, .flagless: result[result.count - 1].unmovable += 1
        case .absent, .buddy, .reserved, .offline, .unknown, .held: break
        }
      }
    }
    var index = 0
    for wide in order..<free.starts.count {
      index = 0
      for start in free.starts[wide] {
        while result[index].start < start { index += 1 }
        for offset in 0..<1 << (wide - order) { result[index + offset].free = (start, wide) }
      }
    }
    return result
  }

  /// Puts the free blocks on the lists of their pageblocks' types and counts them.
  private func list(
    _ free: FreeBlocks, _ evidence: [PageblockEvidence], _ types: [MigrateType],
    _ zone: inout MachineImage.ZoneImage
  ) {
    let pageblock = image.geometry.pageblockOrder
    zone.freeLists = Array(repeating: [:], count: free.starts.count)
    for (order, starts) in free.starts.enumerated() {
      var index = 0
      for start in starts {
        while evidence[index].start < (start >> pageblock) << pageblock { index += 1 }
        let type = types[index]
        zone.freeLists[order][type, default: []].append(start)
        if type != .isolate { zone.freePages += 1 << order }
        if type == .cma { zone.freeCMAPages += 1 << order }
        if type == .highAtomic { zone.freeHighAtomic += 1 << order }
      }
    }
    let pages = image.geometry.pageblockPages
    zone.reservedHighAtomic = types.count { $0 == .highAtomic } * pages
    zone.isolatedPageblocks = types.count { $0 == .isolate }
  }

  /// Everything that zoneinfo says about the zone, and what follows from it.
  private mutating func numbers(_ zone: HostZone) -> MachineImage.ZoneImage {
    var result = MachineImage.ZoneImage(zone.id.index)
    result.node = zone.id.node
    result.start = zone["start_pfn"]
    result.spanned = zone["spanned"]
    result.present = zone["present"]
    let marks = ["min", "low", "high"].map { max(0, zone[$0] - zone["boost"]) }
    let promo = zone.values["promo"].map { $0 - zone["boost"] } ?? 2 * marks[2] - marks[1]
    result.watermarks = marks + [max(promo, marks[2])]
    result.watermarkBoost = zone["boost"]
    // The entries stand for the zones of the node, in the file's order.
    let upper = zones.filter { $0.id.node == zone.id.node }.map(\.id.index)
    for (index, pages) in zip(upper, zone.protection) where index > zone.id.index {
      result.lowmemReserve[index.rawValue] = pages
    }
    result.statThreshold = zone.threshold
    let cpus = image.cpuNodes.count
    let drift = cpus * zone.threshold
    if drift > marks[1] - marks[0] { result.percpuDriftMark = marks[2] + drift }
    let local = max(1, image.cpuNodes.count { $0 == zone.id.node })
    result.batch = max(1, zone.cpus[0].values["batch"] ?? 1)
    // 6.12 prints neither limit of `high`; the rules A1.23 and A1.24 give them.
    result.highMin =
      zone.cpus[0].values["high_min"] ?? max(marks[1] / local, 4 * result.batch)
    result.highMax =
      zone.cpus[0].values["high_max"] ?? max(result.managed / 8 / local, 4 * result.batch)
    for source in zone.cpus.prefix(cpus) {
      var pages = MachineImage.PerCPUImage()
      pages.high = source.values["high"] ?? 0
      pages.highMin = source.values["high_min"] ?? result.highMin
      pages.highMax = source.values["high_max"] ?? result.highMax
      pages.batch = max(1, source.values["batch"] ?? result.batch)
      // A last-level cache of a normal size; the file does not say.
      pages.flags = PerCPUPages.Flags.freeHighBatch.rawValue
      perCPUPages += source.values["count"] ?? 0
      result.perCPU.append(pages)
    }
    return result
  }

  // MARK: Holders

  /// Turns the used frames of a range into allocations and the reserved ones into ranges.
  private mutating func hold(_ range: PFNRange) {
    var at = range.start
    while at < range.end {
      let value = classes[at]
      var end = at + 1
      if value == .reserved {
        while end < range.end && classes[end] == .reserved { end += 1 }
        image.reserved.append(PFNRange(at, end))
      } else if let letter = value.letter {
        if value == .held {
          while end < range.end && classes[end] == .held { end += 1 }
        } else if classes.isHead(at) {
          // On kernels that flag a slab at its head alone, the tails belong to it all the same.
          while end < range.end && classes.isTail(end) { end += 1 }
        }
        FreeBlocks.forEachBlock(PFNRange(at, end), maxOrder: image.geometry.maxOrder) {
          image.allocations.append(
            MachineImage.Allocation(
              pfn: $0, order: $1, owner: letter, isLRU: value.isLRU, isDriverMovable: false))
        }
      }
      at = end
    }
  }
}

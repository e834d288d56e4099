// What restore() may rely on. Images come from files, and a damaged number must end in a message and
// never in a trap, a hang or an endless allocation.

extension MachineImage {
  /// One frame more than any machine has: 2³¹ pages, and the hole below 4 GiB.
  static let frameLimit = 1 << 31 + 1 << 21
  /// More than any counter or mark of such a machine.
  private static let numberLimit = 1 << 40

  /// Checks every number against the sizes of the model.
  ///
  /// - Throws: `.configuration` naming the first number that no machine can have.
  func validate() throws(MemoryError) {
    try check((1...256).contains(cpuNodes.count), "\(cpuNodes.count) CPUs", "1 to 256")
    for range in memory + reserved {
      try check(
        range.start >= 0 && range.end <= Self.frameLimit,
        "memory from \(range.start) to \(range.end)",
        "frames up to \(Self.frameLimit)")
    }
    for zone in zones { try validate(zone) }
    let nodes = (zones.map(\.node).max() ?? 0) + 1
    for node in cpuNodes {
      try check((0..<nodes).contains(node), "a CPU on node \(node)", "nodes below \(nodes)")
    }
    for block in allocations {
      try checkBlock(block.pfn, order: block.order, "allocated block")
    }
    try validateAreas()
    for pfn in lruAddBatches.joined() { try checkBlock(pfn, order: 0, "page of an LRU batch") }
  }

  private func validateAreas() throws(MemoryError) {
    let end = (memory + reserved).map(\.end).max() ?? 0
    for area in cmaAreas {
      try check(
        area.base >= 0 && area.pages >= 0 && area.base <= end && area.pages <= end - area.base,
        "CMA area at \(area.base)", "frames of the machine")
      try check(
        (0...geometry.maxOrder).contains(area.orderPerBit),
        "CMA area at \(area.base) with bits of "
          + "order \(area.orderPerBit)", "0 to \(geometry.maxOrder)")
      // The bitmaps lie side by side in words of 64 bits.
      try check(
        area.base % 64 == 0 && area.pages % 64 == 0,
        "CMA area at \(area.base), \(area.pages) pages", "multiples of a pageblock")
    }
    let ascending = cmaAreas.map(\.range).sorted { $0.start < $1.start }
    for (area, next) in zip(ascending, ascending.dropFirst()) {
      try check(area.end <= next.start, "CMA area at \(next.start), inside another", "areas apart")
    }
    try check(
      cmaSetRuns.count <= cmaAreas.count, "\(cmaSetRuns.count) bitmaps", "one for each CMA area")
    for (area, runs) in zip(cmaAreas, cmaSetRuns) {
      for run in runs {
        try check(
          run.lowerBound >= 0 && run.upperBound <= area.bits,
          "bits \(run.lowerBound) to \(run.upperBound) of CMA area '\(area.name)'",
          "0 to \(area.bits)")
      }
    }
    for pool in hugePools {
      for pfn in pool.free {
        try checkBlock(pfn, order: min(pool.order, geometry.maxOrder), "free huge page")
      }
      for value in [pool.total, pool.reserved, pool.maximum, pool.overcommit] + pool.surplus {
        try check((0...Self.numberLimit).contains(value), "\(value)", "a number of huge pages")
      }
    }
    for pfn in lruAddBatches.joined() { try checkBlock(pfn, order: 0, "page of an LRU batch") }
  }

  private func validate(_ zone: ZoneImage) throws(MemoryError) {
    let name = zone.index.name
    try check((0..<32).contains(zone.node), "\(name) on node \(zone.node)", "0 to 31")
    try check(
      zone.start >= 0 && zone.spanned >= 0 && zone.start <= Self.frameLimit
        && zone.spanned <= Self.frameLimit - zone.start,
      "\(name) from \(zone.start), \(zone.spanned) frames",
      "frames up to \(Self.frameLimit)")
    for (what, value) in [
      ("present", zone.present), ("managed", zone.managed), ("cma_pages", zone.cmaPages),
    ] {
      try check(
        (0...zone.spanned).contains(value), "\(name) \(what) = \(value)", "0 to \(zone.spanned)")
    }
    try check(zone.watermarks.count == 4, "\(zone.watermarks.count) watermarks of \(name)", "4")
    try check(
      zone.lowmemReserve.count == ZoneIndex.count,
      "\(zone.lowmemReserve.count) reserves of \(name)",
      "\(ZoneIndex.count)")
    for value in zone.watermarks + zone.lowmemReserve + [
      zone.watermarkBoost, zone.reservedHighAtomic, zone.freeHighAtomic, zone.isolatedPageblocks,
      zone.percpuDriftMark, zone.highMin, zone.highMax, zone.batch, zone.statThreshold,
    ] {
      try check((0...Self.numberLimit).contains(value), "\(name): \(value)", "a number of pages")
    }
    for value in [zone.freePages, zone.freeCMAPages] {
      try check(
        abs(clamped: value) <= Self.numberLimit, "\(name): \(value) free", "a number of pages")
    }
    try check(
      zone.freeLists.count <= geometry.orderCount, "free lists of \(zone.freeLists.count) orders",
      "\(geometry.orderCount)")
    for (order, lists) in zone.freeLists.enumerated() {
      for pfn in lists.values.joined() {
        try checkBlock(pfn, order: order, "free block of \(name)")
      }
    }
    for run in zone.pageblocks {
      try check(
        run.start >= 0 && run.count >= 0 && run.start <= Self.frameLimit
          && run.count <= Self.frameLimit,
        "\(run.count) pageblocks at \(run.start)", "frames of the machine")
    }
    for (cpu, pages) in zone.perCPU.enumerated() {
      try validate(pages, "\(name), CPU \(cpu)")
    }
  }

  private func validate(_ pages: PerCPUImage, _ name: String) throws(MemoryError) {
    var held = 0
    for (index, list) in pages.lists {
      try check(
        (0..<PerCPUPages.listCount).contains(index), "\(name): per-CPU list \(index)",
        "0 to \(PerCPUPages.listCount - 1)")
      let order = PerCPUList.order(index, pageblockOrder: geometry.pageblockOrder)
      for pfn in list { try checkBlock(pfn, order: order, "per-CPU block of \(name)") }
      held += list.count << order
    }
    try check(
      pages.count == held, "\(name): pcp count \(pages.count)", "the \(held) pages on its lists")
    for value in [
      pages.high, pages.highMin, pages.highMax, pages.batch, pages.freeCount, pages.expire,
    ] {
      try check((0...Self.numberLimit).contains(value), "\(name): \(value)", "a count of pages")
    }
    try check(
      (0...Machine.batchScaleMax).contains(pages.allocFactor),
      "\(name): alloc_factor \(pages.allocFactor)",
      "0 to \(Machine.batchScaleMax)")
    for value in [pages.freeDiff, pages.freeCMADiff] {
      try check(
        abs(clamped: value) <= 1 << 20, "\(name): counter difference \(value)", "a small number")
    }
  }

  private func checkBlock(_ pfn: Int, order: Int, _ what: String) throws(MemoryError) {
    try check(
      (0...geometry.maxOrder).contains(order) && pfn >= 0 && pfn < Self.frameLimit
        && pfn % (1 << order) == 0, "\(what) at \(pfn), order \(order)",
      "an aligned frame below \(Self.frameLimit)")
  }

  private func check(
    _ condition: Bool, _ found: @autoclosure () -> String, _ expected: @autoclosure () -> String
  ) throws(MemoryError) {
    if !condition {
      throw MemoryError(.configuration, "\(found()) cannot be; expected \(expected())")
    }
  }
}

/// `abs` for numbers out of files: the smallest integer has no counterpart.
private func abs(clamped value: Int) -> Int { value == .min ? .max : Swift.abs(value) }

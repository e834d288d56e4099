// What boot derives from the firmware's memory map and the command line, compared with what the
// recorded kernel derived. Nothing but these two and the pages that boot kept for itself comes from
// the recording.

internal import MemoryModel

/// The memory map and command line of a recorded boot.
struct RecordedBoot {
  /// Frames with memory, from the boot log's "Early memory node ranges".
  private(set) var memory: [PFNRange] = []
  private(set) var kernelcore: MachineConfiguration.MovableSize?
  private(set) var movablecore: MachineConfiguration.MovableSize?
  private(set) var cmaPages = 0
  private(set) var hasHugePages = true
  /// `hugepages=` of the default size.
  private(set) var hugePages: [MachineConfiguration.HugePageRequest] = []
  /// Pages that boot gave back after the watermarks were computed (rule A1.3).
  private(set) var freedLate = 0

  init?(_ recording: Recording) {
    for line in recording.kernel.boot_log {
      if line.contains("node ") && line.contains(": [mem 0x"), let range = Self.range(line) {
        memory.append(range)
      }
      if line.hasPrefix("Freeing initrd memory:")
        || line.hasPrefix("Freeing unused kernel image")
      {
        let words = line.split(separator: " ")
        freedLate += (words.last.flatMap { Int($0.dropLast()) } ?? 0) / 4
      }
    }
    var isDefaultSize = true
    for word in recording.header.cmdline.split(separator: " ") {
      let parts = word.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else { continue }
      switch parts[0] {
      case "kernelcore": kernelcore = Self.size(parts[1])
      case "movablecore": movablecore = Self.size(parts[1])
      case "cma":
        if case .pages(let pages) = Self.size(parts[1]) { cmaPages = pages }
      case "hugepagesz": isDefaultSize = parts[1] == "2M"
      case "hugepages" where isDefaultSize: hugePages += Self.hugePages(parts[1])
      case "transparent_hugepage": hasHugePages = parts[1] != "never"
      default: break
      }
    }
    if memory.isEmpty { return nil }
  }

  private static func size(_ text: Substring) -> MachineConfiguration.MovableSize? {
    guard let unit = text.last, let number = Int(text.dropLast()) else { return nil }
    switch unit {
    case "%": return .percent(number)
    case "K": return .pages(number >> 2)
    case "M": return .pages(number << 8)
    case "G": return .pages(number << 18)
    default: return nil
    }
  }

  /// `N`, or `node:N,node:N`.
  private static func hugePages(
    _ text: Substring
  ) -> [MachineConfiguration.HugePageRequest] {
    text.split(separator: ",").compactMap { part in
      let numbers = part.split(separator: ":").map { Int($0) }
      guard let pages = numbers.last ?? nil else { return nil }
      return .init(pages: pages, node: numbers.count == 2 ? numbers[0] : nil)
    }
  }

  /// `[mem 0x…-0x…]` in whole pages.
  private static func range(_ line: String) -> PFNRange? {
    // "  node   0: [mem 0x0000000000001000-0x000000000009efff]"
    let ends = line.split(whereSeparator: { " -]".contains($0) }).filter { $0.hasPrefix("0x") }
    guard ends.count == 2, let first = Int(ends[0].dropFirst(2), radix: 16),
      let last = Int(ends[1].dropFirst(2), radix: 16)
    else { return nil }
    return PFNRange((first + 4095) >> 12, (last + 1) >> 12)
  }

  private func configuration(reserved: [PFNRange]) -> MachineConfiguration {
    var configuration = MachineConfiguration()
    configuration.nodes = [MachineConfiguration.Node(memory: memory)]
    configuration.kernelcore = kernelcore
    configuration.movablecore = movablecore
    configuration.reserved = reserved
    configuration.transparentHugePages = hasHugePages
    configuration.hugePages = hugePages
    if cmaPages > 0 {
      configuration.cmaAreas = [
        MachineConfiguration.CMARequest(name: "reserved", pages: cmaPages)
      ]
    }
    return configuration
  }

  /// Boots the model the same way and compares: zone extents, CMA placement, the order of the free
  /// lists, watermarks, reserves and per-CPU sizes.
  func compare(
    _ dump: RecordingRecord, _ image: MachineImage
  ) -> ReplayReport.DumpComparison {
    var checker = Checker()
    let layout = ZoneLayout(configuration(reserved: []))
    for zone in dump.zones ?? [] {
      let extent = layout.zones[zone.idx]
      checker.check("\(zone.name) start", zone.start_pfn, extent.range.start)
      checker.check("\(zone.name) spanned", zone.spanned, extent.range.count)
      checker.check("\(zone.name) present", zone.present, extent.present)
    }
    do {
      try compareLists(dump, image, &checker)
      try compareSizes(dump, image, &checker)
    } catch {
      checker.differences.append("the model does not boot: \(error.message)")
    }
    return ReplayReport.DumpComparison(
      tag: "boot", index: 0, compared: checker.compared, differences: checker.differences)
  }

  /// Boot hands memory over and then takes from it; what is left keeps its order (A1.9, A1.27).
  private func compareLists(
    _ dump: RecordingRecord, _ image: MachineImage, _ checker: inout Checker
  ) throws(MemoryError) {
    let area = (dump.cma ?? []).map { PFNRange($0.base_pfn, $0.base_pfn + $0.count) }
    let machine = try Machine.boot(
      configuration(reserved: image.reserved.normalized().subtracting(area)))
    for (recorded, model) in zip(dump.cma ?? [], machine.cmaAreas) {
      checker.check("CMA base", recorded.base_pfn, model.base)
      checker.check("CMA pages", recorded.count, model.pages)
    }
    compareHugePages(dump, machine, &checker)
    let order = machine.geometry.maxOrder
    for zone in dump.zones ?? [] {
      guard let area = zone.free_area.first(where: { $0.order == order }) else { continue }
      for type in [MigrateType.movable, .cma] {
        let list = machine.zone(zone.idx).freeList(order: order, type)
        let model = machine.frames.blocks(list).map(\.index)
        let recorded = area.lists[Int(type.rawValue)]
        let left = Set(recorded)
        let both = Set(model)
        checker.check(
          "\(zone.name) order of the largest \(type.name) blocks", recorded.filter(both.contains),
          model.filter(left.contains))
      }
    }
  }

  /// The pool that boot filled.
  ///
  /// In ZONE_MOVABLE nobody was before the pool, so there each page is derived. Elsewhere the kernel
  /// had taken pages for itself by then, and no recording shows which: of the pages that both pools
  /// hold, it is compared in which order they were allocated.
  private func compareHugePages(
    _ dump: RecordingRecord, _ machine: borrowing Machine, _ checker: inout Checker
  ) {
    let order = machine.geometry.hugeOrder
    guard let recorded = dump.hstates?.first(where: { $0.order == order }),
      let pool = machine.hugePool(order: order)
    else { return }
    checker.check("boot nr_huge_pages", recorded.nr_huge_pages, pool.total)
    checker.check("boot max_huge_pages", recorded.max_huge_pages, pool.maximum)
    checker.check("boot surplus_huge_pages", recorded.surplus_huge_pages, pool.surplus)
    let model = machine.freeHugePages(order: order).map(\.index)
    let movable = machine.zone(ZoneIndex.movable.rawValue).range
    checker.check(
      "boot pool in ZONE_MOVABLE", recorded.free.filter { movable.contains(PFN($0)) },
      model.filter { movable.contains(PFN($0)) })
    let chunk = Machine.bootHugePageChunk(pages: pool.maximum, nodes: machine.nodeCount)
    let first = Self.inOrderOfAllocation(recorded.free, chunk: chunk)
    let second = Self.inOrderOfAllocation(model, chunk: chunk)
    let here = Set(first)
    let there = Set(second)
    checker.check(
      "boot order of allocation for the pool", first.filter(there.contains),
      second.filter(here.contains))
  }

  /// Chunks were added one before the other, the last of which may be a shorter one.
  private static func inOrderOfAllocation(_ list: [Int], chunk: Int) -> [Int] {
    var result: [Int] = []
    var end = list.count
    while end > 0 {
      let start = max(0, end - chunk)
      result += list[start..<end]
      end = start
    }
    return result
  }

  /// Watermarks and everything else that follows from `managed` as it was when they were computed.
  private func compareSizes(
    _ dump: RecordingRecord, _ image: MachineImage, _ checker: inout Checker
  ) throws(MemoryError) {
    var sized = image
    sized.allocations = []
    sized.hugePools = []
    sized.lruAddBatches = []
    sized.settings = Machine.Settings()
    sized.settings.transparentHugePages = hasHugePages
    for index in sized.zones.indices {
      let zone = sized.zones[index]
      // The kernel image and the initrd lie in DMA32 on these machines.
      if zone.index == .dma32 { sized.zones[index].managed -= freedLate }
      sized.zones[index].watermarks = [0, 0, 0, 0]
      sized.zones[index].watermarkBoost = 0
      sized.zones[index].percpuDriftMark = 0
      sized.zones[index].freeLists = []
      sized.zones[index].perCPU = []
    }
    var machine = try Machine.restore(sized)
    machine.sizeAsAtBoot()
    for zone in dump.zones ?? [] {
      let model = machine.zone(zone.idx)
      let marks = [zone.wmark.min, zone.wmark.low, zone.wmark.high, zone.wmark.promo]
      checker.check("\(zone.name) watermarks", marks, (0..<4).map { model.watermarks[$0] })
      checker.check(
        "\(zone.name) lowmem_reserve", zone.lowmem_reserve,
        (0..<ZoneIndex.count).map { model.lowmemReserve[$0] })
      checker.check("\(zone.name) high_min", zone.pageset.high_min, model.highMin)
      checker.check("\(zone.name) high_max", zone.pageset.high_max, model.highMax)
      checker.check("\(zone.name) batch", zone.pageset.batch, model.batch)
      checker.check(
        "\(zone.name) stat_threshold", zone.pcp.first?.stat_threshold ?? 0, model.statThreshold)
      checker.check("\(zone.name) percpu_drift_mark", zone.percpu_drift_mark, model.percpuDriftMark)
    }
    if let system = dump.sys {
      checker.check("min_free_kbytes", system.min_free_kbytes, machine.settings.minFreeKbytes)
    }
  }
}

/// The whole allocator state of a machine as plain values: what a recording or a capture holds.
///
/// ``Machine/restore(_:)`` builds a machine from it. Lists run from head to tail.
public struct MachineImage {
  public var geometry: Geometry = .x86_64
  public var kernel: Kernel = .v6_12
  public var cpuNodes: [Int] = [0]
  public var hasCMA = true
  public var settings = Machine.Settings()
  public var memory: [PFNRange] = []
  public var reserved: [PFNRange] = []
  public var zones: [ZoneImage] = []
  public var cmaAreas: [Machine.CMAArea] = []
  /// For each area, the runs of bits that are set in its bitmap; areas left out have none.
  public var cmaSetRuns: [[Range<Int>]] = []
  public var allocations: [Allocation] = []
  /// Pages that wait for the LRU lists, by CPU, oldest first.
  public var lruAddBatches: [[Int]] = []
  public var hugePools: [HugePoolImage] = []
  public var isMobilityGroupingDisabled = false
  public var events: [String: Int] = [:]
  public var nodeItems: [String: Int] = [:]

  public init() {}

  /// A block that somebody holds.
  public struct Allocation {
    public var pfn: Int
    public var order: Int
    /// Class letter of the recording, see ``FrameState/owner``.
    public var owner: UInt8
    public var isLRU: Bool
    public var isDriverMovable: Bool

    public init(pfn: Int, order: Int, owner: UInt8, isLRU: Bool, isDriverMovable: Bool) {
      self.pfn = pfn
      self.order = order
      self.owner = owner
      self.isLRU = isLRU
      self.isDriverMovable = isDriverMovable
    }
  }

  public struct ZoneImage {
    public var node = 0
    public var index: ZoneIndex
    public var start = 0
    public var spanned = 0
    public var present = 0
    public var managed = 0
    public var cmaPages = 0
    public var watermarks = [0, 0, 0, 0]
    public var watermarkBoost = 0
    public var lowmemReserve = [0, 0, 0, 0, 0]
    public var reservedHighAtomic = 0
    public var freeHighAtomic = 0
    public var flags: ZoneFlags = []
    public var isolatedPageblocks = 0
    public var percpuDriftMark = 0
    public var highMin = 0
    public var highMax = 0
    public var batch = 0
    public var statThreshold = 0
    public var freePages = 0
    public var freeCMAPages = 0
    /// Free lists by order, then by type.
    public var freeLists: [[MigrateType: [Int]]] = []
    public var perCPU: [PerCPUImage] = []
    public var pageblocks: [(start: Int, count: Int, type: MigrateType)] = []
    public var compaction = ZoneCompaction()
    /// Pageblocks that compaction skips.
    public var skippedPageblocks: [(start: Int, count: Int)] = []

    public init(_ index: ZoneIndex) { self.index = index }
  }

  public struct PerCPUImage {
    public var count = 0
    public var high = 0
    public var highMin = 0
    public var highMax = 0
    public var batch = 0
    public var flags = 0
    public var allocFactor = 0
    public var expire = 0
    public var freeCount = 0
    public var freeDiff = 0
    public var freeCMADiff = 0
    /// Of the counters of the LRU lists and of locked pages, by name.
    public var itemDiffs: [String: Int] = [:]
    public var lists: [Int: [Int]] = [:]
    /// Types that kernels up to 6.9 remember for pages on these lists, by pfn.
    public var rememberedTypes: [Int: MigrateType] = [:]

    public init() {}
  }
}

extension Machine {
  /// Builds a machine that is in the given state.
  ///
  /// - Throws: `.configuration` when a list names a frame outside of its zone, a misaligned block,
  ///   or a frame twice.
  public static func restore(_ image: MachineImage) throws(MemoryError) -> Machine {
    try image.validate()
    let nodes = (image.zones.map(\.node).max() ?? 0) + 1
    var machine = try Machine(
      geometry: image.geometry, kernel: image.kernel, nodeCount: nodes, cpuNodes: image.cpuNodes,
      hasCMA: image.hasCMA, distances: nil, memory: image.memory.normalized(),
      reserved: image.reserved.normalized(), settings: image.settings)
    for id in 0..<machine.zoneCount {
      machine.zoneTable[id].node = id / ZoneIndex.count
      machine.zoneTable[id].indexRawValue = id % ZoneIndex.count
      if machine.zoneTable[id].index == .movable {
        machine.zoneTable[id].watermarks = [32, 32, 32, 32]
      }
    }
    for zone in image.zones { try machine.load(zone) }
    machine.buildZonelists()
    machine.isMobilityGroupingDisabled = image.isMobilityGroupingDisabled
    machine.cmaAreas = image.cmaAreas
    // A recorded state counts shmem pages but does not mark them.
    let isFileMemory =
      image.nodeItems["nr_shmem"] ?? 0 > 0
      && image.nodeItems["nr_shmem"] == image.nodeItems["nr_file_pages"]
    for block in image.allocations {
      let pfn = PFN(block.pfn)
      guard block.pfn + 1 << block.order <= machine.frames.count,
        machine.frames.head(pfn).kind == .none
      else {
        throw MemoryError(
          .configuration, "\(pfn) is both free and allocated in the recorded state")
      }
      var state = FrameState(.allocated, order: block.order)
      state.owner = block.owner
      state.isLRU = block.isLRU
      state.isDriverMovable = block.isDriverMovable
      machine.frames.setHead(pfn, state)
      machine.adopt(Folio(pfn, order: block.order), state, isFileMemory: isFileMemory)
    }
    try machine.loadHugePools(image)
    for (area, runs) in zip(machine.cmaAreas, image.cmaSetRuns) {
      for run in runs { machine.restoreReserved(run, area) }
    }
    for (cpu, pages) in image.lruAddBatches.enumerated() where cpu < machine.cpuCount {
      for pfn in pages.prefix(machine.lruBatchCapacity - 1) {
        guard pfn < machine.frames.count, machine.frames.head(PFN(pfn)).kind == .allocated else {
          throw MemoryError(
            .configuration, "\(PFN(pfn)) waits for the LRU lists, but is not an allocated page")
        }
        let batch = cpu * LRUBatchKind.count
        machine.lruBatches[batch].pages[machine.lruBatches[batch].count] = PFN(pfn)
        machine.lruBatches[batch].count += 1
        machine.addReferences(machine.folio(of: PFN(pfn))!, 1)
      }
    }
    for (index, name) in VMStatNames.events.enumerated() {
      machine.events[index] = image.events[name] ?? 0
    }
    for (index, name) in VMStatNames.nodeItems.enumerated() {
      machine.nodeItems[index] = image.nodeItems[name] ?? 0
    }
    for zone in image.zones { machine.loadItemDifferences(zone) }
    machine.calculateTotalReserve()
    return machine
  }

  /// Makes a recorded user page a folio of a process that the model does not hold: mapped once, and
  /// cached when it is a file's.
  ///
  /// - Parameter isFileMemory: All files are shmem, such as those of a root file system in memory.
  private mutating func adopt(
    _ folio: Folio, _ recorded: FrameState, isFileMemory: Bool
  ) {
    let isFile = [UInt8(ascii: "F"), UInt8(ascii: "f")].contains(recorded.owner)
    let isAnonymous =
      [UInt8(ascii: "A"), UInt8(ascii: "a")].contains(recorded.owner) || recorded.isLRU && !isFile
    guard isAnonymous || isFile else { return }
    var state = recorded
    state.flags.insert(
      isAnonymous || isFileMemory ? [.folio, .swapBacked, .active] : .folio)
    frames.setHead(folio.head, state)
    folios.setOwner(folio, isAnonymous ? .unknownAnonymous : .unknownFile, index: 0)
    folios.addReferences(folio, isAnonymous ? 1 : 1 + folio.pages)
    folios.addPageMapping(folio.head, of: folio, 1)
    if state.isLRU { linkLRU(folio, state) }
  }

  /// Pages of their own behind set bits are a buffer of `cma_alloc()`; where a bit stands for several
  /// pages, those behind the end of a buffer cannot be told from it.
  private mutating func restoreReserved(_ bits: Range<Int>, _ area: CMAArea) {
    cmaBitmap.set(bits, area)
    let first = area.base + bits.lowerBound << area.orderPerBit
    for pfn in first..<first + bits.count << area.orderPerBit {
      var state = frames.head(PFN(pfn))
      guard state.kind == .allocated, state.order == 0, !state.isLRU else { continue }
      state.owner = FrameState.cmaOwner
      frames.setHead(PFN(pfn), state)
    }
  }

  private mutating func load(_ image: MachineImage.ZoneImage) throws(MemoryError) {
    let id = image.node * ZoneIndex.count + image.index.rawValue
    zoneTable[id].start = image.start
    zoneTable[id].spanned = image.spanned
    zoneTable[id].present = image.present
    zoneTable[id].managed = image.managed
    zoneTable[id].cmaPages = image.cmaPages
    for mark in 0..<4 { zoneTable[id].watermarks[mark] = image.watermarks[mark] }
    zoneTable[id].watermarkBoost = image.watermarkBoost
    for upper in 0..<ZoneIndex.count {
      zoneTable[id].lowmemReserve[upper] = image.lowmemReserve[upper]
    }
    zoneTable[id].reservedHighAtomic = image.reservedHighAtomic
    zoneTable[id].freeHighAtomic = image.freeHighAtomic
    zoneTable[id].flags = image.flags
    zoneTable[id].isolatedPageblocks = image.isolatedPageblocks
    zoneTable[id].percpuDriftMark = image.percpuDriftMark
    zoneTable[id].highMin = image.highMin
    zoneTable[id].highMax = image.highMax
    zoneTable[id].batch = image.batch
    zoneTable[id].statThreshold = image.statThreshold
    zoneTable[id].compaction = image.compaction
    if image.spanned == 0 { return }
    guard image.start >= 0, image.spanned > 0, image.start + image.spanned <= frames.count else {
      throw MemoryError(
        .configuration,
        "zone \(image.index.name) ends at 0x\(hex(image.start + image.spanned)), behind all memory")
    }
    let order = geometry.pageblockOrder
    let mask = geometry.pageblockPages - 1
    frames.assignZone(
      id, blocks: image.start >> order..<(image.start + image.spanned + mask) >> order)
    for run in image.pageblocks {
      let first = run.start >> order
      guard first >= 0, first + run.count <= frames.pageblockCount else {
        throw MemoryError(.configuration, "pageblock at 0x\(hex(run.start)) is outside memory")
      }
      frames.fillMigrateTypes(first..<first + run.count, run.type)
    }
    for run in image.skippedPageblocks {
      for block in run.start >> order..<run.start >> order + run.count
      where block >= 0 && block < frames.pageblockCount {
        frames.setSkipHint(PFN(block << order), true)
      }
    }
    for (order, lists) in image.freeLists.enumerated() {
      for type in MigrateType.allCases {
        for start in lists[type] ?? [] {
          try checkPlaceable(start, order: order, zone: id)
          insertFree(id, PFN(start), order: order, type, atTail: true)
        }
      }
    }
    for (cpu, source) in image.perCPU.enumerated() where cpu < cpuCount {
      try load(source, zone: id, cpu: cpu)
    }
    zoneTable[id].freePages = image.freePages
    zoneTable[id].freeCMAPages = image.freeCMAPages
  }

  private mutating func load(
    _ image: MachineImage.PerCPUImage, zone: Int, cpu: Int
  ) throws(MemoryError) {
    let local = zone * cpuCount + cpu
    perCPU[local].count = image.count
    perCPU[local].high = image.high
    perCPU[local].highMin = image.highMin
    perCPU[local].highMax = image.highMax
    perCPU[local].batch = image.batch
    perCPU[local].flags = PerCPUPages.Flags(rawValue: image.flags)
    perCPU[local].allocFactor = image.allocFactor
    perCPU[local].expire = image.expire
    perCPU[local].freeCount = image.freeCount
    perCPU[local].freeDiff = image.freeDiff
    perCPU[local].freeCMADiff = image.freeCMADiff
    for (index, list) in image.lists {
      guard (0..<PerCPUPages.listCount).contains(index) else {
        throw MemoryError(.configuration, "there is no per-CPU list \(index)")
      }
      let order = PerCPUList.order(index, pageblockOrder: geometry.pageblockOrder)
      for start in list {
        try checkPlaceable(start, order: order, zone: zone)
        frames.pushTail(&perCPU[local].lists[index], PFN(start), order: order)
        let type = image.rememberedTypes[start] ?? frames.migrateType(PFN(start))
        frames.setHead(PFN(start), FrameState(.perCPU, order: order, listed: type))
      }
    }
  }

  private mutating func loadItemDifferences(_ image: MachineImage.ZoneImage) {
    let id = image.node * ZoneIndex.count + image.index.rawValue
    for (cpu, source) in image.perCPU.enumerated() where cpu < cpuCount {
      for (item, name) in VMStatNames.zoneItems.enumerated() {
        perCPU[id * cpuCount + cpu].itemDiffs[item] = Int8(clamping: source.itemDiffs[name] ?? 0)
      }
    }
  }

  private func checkPlaceable(_ start: Int, order: Int, zone: Int) throws(MemoryError) {
    guard start >= 0, start + 1 << order <= frames.count, start % (1 << order) == 0,
      frames.zone(of: PFN(start)) == zone
    else {
      throw MemoryError(
        .configuration,
        "block of order \(order) at 0x\(hex(start)) does not fit zone "
          + zoneTable[zone].index.name)
    }
    guard frames.head(PFN(start)).kind == .none else {
      throw MemoryError(.configuration, "0x\(hex(start)) is on two free lists")
    }
  }
}

// Invariant: `fields` names everything of a machine that is in no table; with the tables it is all of
// its state. A new field of a machine belongs here, or a fork and a step back lose it.

extension Machine {
  /// Everything of a machine that lies outside of its tables.
  ///
  /// Arrays share their memory with the machine until either is written.
  struct Fields: Sendable, Codable {
    var kernel: Kernel
    var zonelists: [[Int]]
    var settings: Settings
    var memory: [PFNRange]
    var reserved: [PFNRange]
    var offlineMemory: [PFNRange]
    var cmaAreas: [CMAArea]
    var cmaBuffers: [CMABuffer]
    var lastCMABuffer: Int
    var isCMAMutexHeld: Bool
    var operationsInProgress: Int
    var log: KernelLog
    var isMobilityGroupingDisabled: Bool
    var totalReserve: Int
    var currentCPU: Int
    var kswapdWakeups: Int
    var background: BackgroundQueue
    var kswapds: [Kswapd]
    var currentSpace: Int?
    var kcompactd: [Kcompactd]
    var compacting: CompactControl?
    var capture: Capture
    var reclaimDepth: Int
    var failAllocation: Int
    var foreign: ForeignRequests
    var hugePools: [HugePool]
    var hugeReservations: [HugeReservation]
    var lruDisableCount: Int
    var spaces: [AddressSpace]
    var regions: [AnonymousRegion]
    var files: [MemoryFile]
    var pins: [PinRecord]
    var temporaryReferences: [TemporaryReference]
    var cacheHolds: [PFN]
    var devices: DeviceTable
    var operation: Int
    var pressures: [PressureRecord]
    var lastPressure: Int
    var killOrder: [KilledProcess]
    var lastPin: Int
    var lastTemporaryReference: Int
    var zeroPage: PFN?
    var hugeZeroPage: PFN?
    var deferredSplits: [PFN]
    var lastTaken: MigrateType
    var violations: [String]
    var lostIsolations: [PFN]
    var pageTables: TableExtent
    var pageCache: TableExtent
    var swap: SwapSpace.Extent
    var pinWords: PinWords.Extent
    var trace: TraceRing.Extent
  }

  var fields: Fields {
    get {
      Fields(
        kernel: kernel, zonelists: zonelists, settings: settings, memory: memory,
        reserved: reserved, offlineMemory: offlineMemory, cmaAreas: cmaAreas,
        cmaBuffers: cmaBuffers, lastCMABuffer: lastCMABuffer,
        isCMAMutexHeld: isCMAMutexHeld, operationsInProgress: operationsInProgress, log: log,
        isMobilityGroupingDisabled: isMobilityGroupingDisabled, totalReserve: totalReserve,
        currentCPU: currentCPU, kswapdWakeups: kswapdWakeups,
        background: background, kswapds: kswapds, currentSpace: currentSpace, kcompactd: kcompactd,
        compacting: compacting, capture: capture, reclaimDepth: reclaimDepth,
        failAllocation: failAllocation,
        foreign: foreign, hugePools: hugePools, hugeReservations: hugeReservations,
        lruDisableCount: lruDisableCount, spaces: spaces, regions: regions, files: files,
        pins: pins, temporaryReferences: temporaryReferences, cacheHolds: cacheHolds,
        devices: devices,
        operation: operation, pressures: pressures, lastPressure: lastPressure,
        killOrder: killOrder,
        lastPin: lastPin, lastTemporaryReference: lastTemporaryReference, zeroPage: zeroPage,
        hugeZeroPage: hugeZeroPage, deferredSplits: deferredSplits, lastTaken: lastTaken,
        violations: violations, lostIsolations: lostIsolations,
        pageTables: pageTables.extent, pageCache: pageCache.extent,
        swap: swap.extent, pinWords: pinWords.extent, trace: trace.extent)
    }
    set {
      kernel = newValue.kernel
      zonelists = newValue.zonelists
      settings = newValue.settings
      memory = newValue.memory
      reserved = newValue.reserved
      offlineMemory = newValue.offlineMemory
      cmaAreas = newValue.cmaAreas
      cmaBuffers = newValue.cmaBuffers
      lastCMABuffer = newValue.lastCMABuffer
      isCMAMutexHeld = newValue.isCMAMutexHeld
      operationsInProgress = newValue.operationsInProgress
      log = newValue.log
      isMobilityGroupingDisabled = newValue.isMobilityGroupingDisabled
      totalReserve = newValue.totalReserve
      currentCPU = newValue.currentCPU
      kswapdWakeups = newValue.kswapdWakeups
      background = newValue.background
      kswapds = newValue.kswapds
      currentSpace = newValue.currentSpace
      kcompactd = newValue.kcompactd
      compacting = newValue.compacting
      capture = newValue.capture
      reclaimDepth = newValue.reclaimDepth
      failAllocation = newValue.failAllocation
      foreign = newValue.foreign
      hugePools = newValue.hugePools
      hugeReservations = newValue.hugeReservations
      lruDisableCount = newValue.lruDisableCount
      spaces = newValue.spaces
      regions = newValue.regions
      files = newValue.files
      pins = newValue.pins
      temporaryReferences = newValue.temporaryReferences
      cacheHolds = newValue.cacheHolds
      devices = newValue.devices
      operation = newValue.operation
      pressures = newValue.pressures
      lastPressure = newValue.lastPressure
      killOrder = newValue.killOrder
      lastPin = newValue.lastPin
      lastTemporaryReference = newValue.lastTemporaryReference
      zeroPage = newValue.zeroPage
      hugeZeroPage = newValue.hugeZeroPage
      deferredSplits = newValue.deferredSplits
      lastTaken = newValue.lastTaken
      violations = newValue.violations
      lostIsolations = newValue.lostIsolations
      pageTables.extent = newValue.pageTables
      pageCache.extent = newValue.pageCache
      swap.restore(newValue.swap)
      pinWords.extent = newValue.pinWords
      trace.extent = newValue.trace
    }
  }

  /// A moment to which ``rollBack(to:)`` returns.
  package struct Mark: Sendable {
    /// Boxed, because a search copies marks more often than it makes them.
    fileprivate let saved: SavedFields
    fileprivate let position: Int
  }

  fileprivate final class SavedFields: Sendable {
    let fields: Fields
    init(_ fields: Fields) { self.fields = fields }
  }

  /// Whether writes are noted; then everything is done page by page.
  package var isNoting: Bool { journal != nil }

  /// Begins to note what is overwritten, so that a mark can be returned to.
  package mutating func beginNoting() {
    precondition(journal == nil, "one search at a time")
    note(in: Journal())
  }

  /// Ends it; what was written stays.
  package mutating func endNoting() {
    let ended = journal
    note(in: nil)
    ended?.free()
  }

  private mutating func note(in journal: Journal?) {
    self.journal = journal
    frames.note(in: journal)
    zoneTable.note(in: journal)
    perCPU.note(in: journal)
    lruBatches.note(in: journal)
    lruLists.note(in: journal)
    folios.note(in: journal)
    pageTables.note(in: journal)
    pageCache.note(in: journal)
    swap.note(in: journal)
    pinWords.note(in: journal)
    hugeFlags.note(in: journal)
    cmaBitmap.note(in: journal)
    trace.note(in: journal)
    zoneItems.note(in: journal, isStatistic: true)
    numaItems.note(in: journal, isStatistic: true)
    nodeItems.note(in: journal, isStatistic: true)
    events.note(in: journal, isStatistic: true)
  }

  /// This moment.
  ///
  /// - Precondition: ``isNoting``.
  package func mark() -> Mark {
    guard let journal else { preconditionFailure("marks need beginNoting()") }
    return Mark(saved: SavedFields(fields), position: journal.position)
  }

  /// Takes back everything since a mark.
  package mutating func rollBack(to mark: Mark) {
    journal?.rollBack(to: mark.position)
    fields = mark.saved.fields
  }

  /// How the digest of the tables has changed since a mark; counters of events are no part of it.
  package func digestChange(since mark: Mark, _ seen: inout Digest) -> UInt64 {
    journal?.digestChange(since: mark.position, &seen.writes) ?? 0
  }

  /// What computing a digest needs again and again.
  package struct Digest {
    var writes = WriteSet()
    package init() {}
  }

  /// A hash of what lies outside of the tables and tells states apart.
  package func fieldsDigest() -> Int {
    var hasher = Hasher()
    for space in spaces {
      hasher.combine(space.mmapLock)
      hasher.combine(space.writeProtectSequence)
      hasher.combine(space.isAlive)
      hasher.combine(space.hasPinned)
      hasher.combine(space.areas.count)
      hasher.combine(space.root)
    }
    for pin in pins {
      hasher.combine(pin.id)
      hasher.combine(pin.words)
      hasher.combine(pin.pages)
    }
    for reference in temporaryReferences { hasher.combine(reference.id) }
    for head in deferredSplits { hasher.combine(head) }
    for head in lostIsolations { hasher.combine(head) }
    for pressure in pressures {
      hasher.combine(pressure.id)
      hasher.combine(pressure.pages.count)
    }
    for device in devices.attachments {
      for mapping in device.mappings {
        hasher.combine(mapping.id)
        hasher.combine(mapping.pin)
        hasher.combine(mapping.users)
        hasher.combine(mapping.charged)
      }
    }
    for file in files { hasher.combine(file.cachedPages) }
    for pool in hugePools {
      hasher.combine(pool.total)
      hasher.combine(pool.free)
      hasher.combine(pool.surplus)
      hasher.combine(pool.reserved)
    }
    hasher.combine(isCMAMutexHeld)
    hasher.combine(operationsInProgress)
    hasher.combine(lruDisableCount)
    hasher.combine(offlineMemory.count)
    hasher.combine(pageTables.extent)
    hasher.combine(pageCache.extent)
    hasher.combine(swap.extent)
    return hasher.finalize()
  }
}

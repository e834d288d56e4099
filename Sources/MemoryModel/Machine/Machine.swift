// Invariant: a machine owns all of its state, in flat tables addressed by index. It never calls
// out, but to ask whether it is to stop: what happened is in the trace ring and in the counters.
// Copying the tables copies the machine.

/// A modelled machine: nodes, zones, frames and per-CPU lists under one kernel.
public struct Machine: ~Copyable {
  public let geometry: Geometry
  public internal(set) var kernel: Kernel
  public let nodeCount: Int
  public let cpuCount: Int
  public let cpuNodes: [Int]
  public let hasCMA: Bool
  let distances: [[Int]]?
  /// Makes a method that only reads get the address of the machine: without it, each call from a
  /// method that writes copied all 760 bytes, a sixth of what an allocation took.
  private let passedByAddress: any Sendable = ()

  public internal(set) var frames: FrameTable
  /// Zone `node * ZoneIndex.count + index`, populated or not.
  package var zoneTable: Arena<Zone>
  /// Entry `zone * cpuCount + cpu`.
  package var perCPU: Arena<PerCPUPages>
  /// For each node, the populated zones in the order in which a request tries them (rule A1.13).
  var zonelists: [[Int]]

  public package(set) var settings: Settings
  /// Frames that are memory at all, and those among them that boot kept back.
  public internal(set) var memory: [PFNRange]
  public internal(set) var reserved: [PFNRange]
  /// Memory blocks that were taken offline; they are no part of ``memory``.
  public internal(set) var offlineMemory: [PFNRange] = []
  public internal(set) var cmaAreas: [CMAArea] = []
  package var cmaBitmap: CMABitmap
  /// What scripts got from `cma_alloc()`, oldest first.
  public internal(set) var cmaBuffers: [CMABuffer] = []
  var lastCMABuffer = 0
  /// Whether a `cma_alloc()` is between c2 and c12 of P10.4.
  ///
  /// Kernel: `cma_mutex`.
  package var isCMAMutexHeld = false
  /// Contiguous allocations that have begun and not ended; while there are any, pageblocks may be
  /// isolated and bits of areas set for pages that nobody has (I10).
  package var operationsInProgress = 0
  /// Rule A1.12.
  ///
  /// Kernel: `page_group_by_mobility_disabled`.
  public internal(set) var isMobilityGroupingDisabled = false
  /// Rule A1.18, in pages.
  public internal(set) var totalReserve = 0

  /// The CPU that runs the next operation.
  public internal(set) var currentCPU = 0

  /// `LRUBatchKind.count` a CPU.
  package var lruBatches: Arena<LRUBatch>
  /// Entry `node * LRUList.count + list`.
  package var lruLists: Arena<FrameList>
  /// Raised while every page goes to the LRU lists at once (rule P1.25).
  ///
  /// Kernel: `lru_disable_count`.
  public package(set) var lruDisableCount = 0

  package var folios: FolioTable
  package var pageTables: PageTables
  package var pageCache: PageCache
  /// Empty when the machine has no swap space.
  package var swap: SwapSpace
  public var pinWords: PinWords
  public package(set) var spaces: [AddressSpace] = []
  public package(set) var regions: [AnonymousRegion] = []
  public package(set) var files: [MemoryFile] = []
  /// What devices hold.
  public package(set) var devices = DeviceTable()
  public package(set) var pins: [PinRecord] = []
  public package(set) var temporaryReferences: [TemporaryReference] = []
  /// The first frames of folios that a drop_caches under way has looked up: a reference each.
  public package(set) var cacheHolds: [PFN] = []
  /// Operations begun since boot; holders say since which one they hold.
  public package(set) var operation = 0
  public package(set) var pressures: [PressureRecord] = []
  package var lastPressure = 0
  /// The processes that the OOM killer chose, in order.
  public internal(set) var killOrder: [KilledProcess] = []
  package var lastPin = 0
  package var lastTemporaryReference = 0
  /// The frames of the zero pages: 4 KiB, and 2 MiB once it is used.
  public package(set) var zeroPage: PFN?
  public package(set) var hugeZeroPage: PFN?
  /// Folios whose pages are not all mapped any more, oldest first (rule P2.23).
  public package(set) var deferredSplits: [PFN] = []
  /// The list that the last block was taken from, which kernels up to 6.9 remember (rule A9.6).
  var lastTaken = MigrateType.movable
  package var zoneItems: Arena<Int>
  package var numaItems: Arena<Int>
  package var nodeItems: Arena<Int>
  package var events: Arena<Int>

  public internal(set) var trace: TraceRing
  /// Whether single pages are drained in runs; a test that compares with pages drained one by one
  /// turns it off.
  var drainsRuns = true
  /// What the kernel has printed since boot, as far as the model says it.
  public internal(set) var log = KernelLog()
  /// One a node.
  public package(set) var kswapds: [Kswapd]
  /// The process whose task runs the operation; nil for a kernel thread or a script of the machine.
  ///
  /// Kernel: `current->mm`.
  public package(set) var currentSpace: Int?
  /// How often a node's kswapd was woken.
  public internal(set) var kswapdWakeups = 0
  /// Woken threads that wait for their turn.
  public package(set) var background = BackgroundQueue()
  /// What each node's kcompactd was asked for.
  var kcompactd: [Kcompactd]
  /// The compaction whose migration runs now: its targets come from it.
  var compacting: CompactControl?
  /// The block that the compacting task waits for.
  var capture = Capture()
  /// Reclaim and compaction that run now, one inside the other: a request from in there may use the
  /// reserves, and must not reclaim again.
  ///
  /// Kernel: `PF_MEMALLOC`.
  var reclaimDepth = 0
  /// Gigantic pages first.
  package var hugePools: [HugePool]
  /// One a pageblock, ``HugePageFlags``.
  package var hugeFlags: Arena<UInt8>
  /// Promises to private hugetlb mappings; areas name them by index.
  var hugeReservations: [HugeReservation] = []
  /// The n-th page allocation from now on fails, for fault injection; 0 is off.
  public var failAllocation = 0
  /// Requests of others in the middle of an operation; only a replay has them.
  var foreign = ForeignRequests()
  /// What a kernel without one of its protections has broken, in words that begin with the invariant.
  public internal(set) var violations: [String] = []
  /// Folios that the inverted test of 6.1.0 has isolated, and put on no list (rule P3.46).
  package var lostIsolations: [PFN] = []
  /// Where writes are noted while a search may take them back.
  var journal: Journal?
  /// Asked in the middle of what is one step and may take seconds, as the ageing of long lists may.
  ///
  /// True once, it says so until it is taken away. It is no state of the machine.
  package var shouldStop: (() -> Bool)?

  /// The values under /proc/sys/vm that the allocator reads.
  public struct Settings: Sendable, Equatable, Codable {
    public var minFreeKbytes = 0
    /// What a user wrote, or -1.
    public var userMinFreeKbytes = -1
    /// In hundredths of a per cent.
    public var watermarkScaleFactor = 10
    public var watermarkBoostFactor = 15000
    public var percpuPagelistHighFraction = 0
    public var lowmemReserveRatio = [256, 256, 32, 0, 0]
    public var transparentHugePages = true
    /// `enabled` is `madvise`: only areas with MADV_HUGEPAGE get huge pages (rule P2.10).
    public var hugePagesOnlyAdvised = false
    /// `use_zero_page`: a read of empty memory may map the huge zero page (rule P2.11).
    public var usesHugeZeroPage = true
    public var freeHighBatch = true
    /// Multi-generational LRU, on in Debian's kernels: an access only sets a flag (rule P1.27).
    ///
    /// Kernel: `lru_gen_enabled()`, /sys/kernel/mm/lru_gen/enabled.
    public var usesGenerations = true
    /// vm.swappiness, from 0 (anonymous memory is never swapped) to 200.
    public var swappiness = 60
    /// vm.compaction_proactiveness, from 0 (off) to 100.
    public var compactionProactiveness = 20

    public init() {}
  }

  init(
    geometry: Geometry, kernel: Kernel, nodeCount: Int, cpuNodes: [Int], hasCMA: Bool,
    distances: [[Int]]?, memory: [PFNRange], reserved: [PFNRange], settings: Settings,
    frameCount: Int? = nil, swapPages: Int = 0
  ) throws(MemoryError) {
    let zones = nodeCount * ZoneIndex.count
    let frames = try FrameTable(count: frameCount ?? memory.last?.end ?? 0, geometry: geometry)
    let zoneTable = try Arena<Zone>(count: zones)
    let perCPU = try Arena<PerCPUPages>(count: zones * cpuNodes.count)
    let lruBatches = try Arena<LRUBatch>(count: cpuNodes.count * LRUBatchKind.count)
    let lruLists = try Arena<FrameList>(count: nodeCount * LRUList.count)
    let folios = try FolioTable(frameCount: frames.count, pageblockOrder: geometry.pageblockOrder)
    let pageTables = try PageTables(frameCount: frames.count)
    let pageCache = try PageCache(frameCount: frames.count, holdsSwapped: swapPages > 0)
    let swap = try SwapSpace(count: swapPages, frameCount: frames.count)
    let pinWords = try PinWords(frameCount: frames.count)
    let zoneItems = try Arena<Int>(count: zones * VMStatNames.zoneItems.count)
    let numaItems = try Arena<Int>(count: zones * VMStatNames.numaItems.count)
    let nodeItems = try Arena<Int>(count: nodeCount * VMStatNames.nodeItems.count)
    let events = try Arena<Int>(count: VMStatNames.events.count)
    let hugeFlags = try Arena<UInt8>(count: frames.pageblockCount)
    let trace = try TraceRing()
    let cmaBitmap = try CMABitmap(frames: frames.count)
    self.geometry = geometry
    self.kernel = kernel
    self.nodeCount = nodeCount
    self.cpuNodes = cpuNodes
    self.hasCMA = hasCMA
    self.distances = distances
    self.memory = memory
    self.reserved = reserved
    self.settings = settings
    cpuCount = cpuNodes.count
    zonelists = Array(repeating: [], count: nodeCount)
    kcompactd = Array(repeating: Kcompactd(), count: nodeCount)
    self.frames = frames
    self.zoneTable = zoneTable
    self.perCPU = perCPU
    self.lruBatches = lruBatches
    self.lruLists = lruLists
    self.folios = folios
    self.pageTables = pageTables
    self.pageCache = pageCache
    self.swap = swap
    self.pinWords = pinWords
    self.zoneItems = zoneItems
    self.numaItems = numaItems
    self.nodeItems = nodeItems
    self.events = events
    hugePools = [geometry.giganticOrder, geometry.hugeOrder].map {
      HugePool(order: $0, nodeCount: nodeCount)
    }
    kswapds = Array(repeating: Kswapd(), count: nodeCount)
    self.hugeFlags = hugeFlags
    self.trace = trace
    self.cmaBitmap = cmaBitmap
  }

  /// A second machine in the same state.
  ///
  /// Costs the memory that was touched.
  ///
  /// - Parameter goesOn: Asked every 16 MiB; false gives up.
  public func fork(goesOn: () -> Bool = { true }) throws(MemoryError) -> Machine {
    var copy = try Machine(
      geometry: geometry, kernel: kernel, nodeCount: nodeCount, cpuNodes: cpuNodes, hasCMA: hasCMA,
      distances: distances, memory: memory, reserved: reserved, settings: settings,
      frameCount: frames.count, swapPages: swap.count)
    copy.assign(from: self, goesOn: goesOn)
    guard goesOn() else { throw MemoryError(.stopped, "the script was stopped; no copy was made") }
    return copy
  }

  /// Puts this machine into the state of one that it was forked from, or that was forked from it.
  ///
  /// Costs as a fork does, but for the page faults: the tables are there already.
  public mutating func assign(from other: borrowing Machine) {
    assign(from: other, goesOn: { true })
  }

  /// ``assign(from:)``, of which only a part is done when `goesOn` says no.
  private mutating func assign(from other: borrowing Machine, goesOn: () -> Bool) {
    hugeFlags.assign(from: other.hugeFlags, goesOn: goesOn)
    frames.assign(from: other.frames, goesOn: goesOn)
    zoneTable.assign(from: other.zoneTable, goesOn: goesOn)
    perCPU.assign(from: other.perCPU, goesOn: goesOn)
    lruBatches.assign(from: other.lruBatches, goesOn: goesOn)
    lruLists.assign(from: other.lruLists, goesOn: goesOn)
    folios.assign(from: other.folios, goesOn: goesOn)
    pageTables.assign(from: other.pageTables, goesOn: goesOn)
    pageCache.assign(from: other.pageCache, goesOn: goesOn)
    swap.assign(from: other.swap, goesOn: goesOn)
    pinWords.assign(from: other.pinWords, goesOn: goesOn)
    zoneItems.assign(from: other.zoneItems, goesOn: goesOn)
    numaItems.assign(from: other.numaItems, goesOn: goesOn)
    nodeItems.assign(from: other.nodeItems, goesOn: goesOn)
    events.assign(from: other.events, goesOn: goesOn)
    trace.assign(from: other.trace, goesOn: goesOn)
    cmaBitmap.assign(from: other.cmaBitmap, goesOn: goesOn)
    fields = other.fields
  }

  // MARK: Reading

  public var zoneCount: Int { zoneTable.count }

  public func zone(_ id: Int) -> Zone { zoneTable[id] }

  /// Ids of the zones with memory, node by node, ascending.
  public var populatedZones: [Int] { (0..<zoneCount).filter { zoneTable[$0].isPopulated } }

  public func perCPUPages(zone: Int, cpu: Int) -> PerCPUPages { perCPU[zone * cpuCount + cpu] }

  public func event(_ event: VMEvent) -> Int { events[event.rawValue] }

  /// The counter of this name in /proc/vmstat's event part; 0 for an unknown name.
  public func event(named name: String) -> Int {
    VMStatNames.events.firstIndex(of: name).map { events[$0] } ?? 0
  }

  /// Whether `pfn` is memory at all; holes and frames behind the end are not.
  public func isMemory(_ pfn: PFN) -> Bool { memory.contains { $0.contains(pfn) } }

  public func isReserved(_ pfn: PFN) -> Bool { reserved.contains { $0.contains(pfn) } }

  /// The block that `pfn` lies in, found at its first frame; nil when no block covers it.
  public func block(containing pfn: PFN) -> (start: PFN, state: FrameState)? {
    for order in 0...max(geometry.maxOrder, geometry.giganticOrder) {
      let start = pfn.roundedDown(toOrder: order)
      let state = frames.head(start)
      if state.kind != .none, state.order >= order { return (start, state) }
    }
    return nil
  }

  /// The populated zones in the order in which a request from `node` tries them (rule A1.13).
  public func zonelist(node: Int) -> [Int] { zonelists[node] }

  public mutating func clearTrace() { trace.clear() }

  public mutating func clearLog() { log.clear() }

  /// Chooses the CPU that runs the next operation.
  public mutating func run(onCPU cpu: Int) {
    precondition(cpu >= 0 && cpu < cpuCount, "no such CPU")
    currentCPU = cpu
  }
}

// Invariant: `freePages` is the number of pages on `freeLists`; their frames belong to no block meanwhile,
// so that both scanners step over them page by page. `list` holds isolated folios.

/// One compaction at work: its request, its scanners and what they hold.
///
/// Kernel: `struct compact_control`, mm/internal.h.
struct CompactControl: Sendable, Codable {
  /// The order that is wanted; -1 compacts for its own sake.
  let order: Int
  let gfp: GFPFlags
  let mode: MigrateMode
  /// Of the request, for the look at whether its block is there already.
  var flags: AllocationFlags = []
  var highest = ZoneIndex.movable
  /// A task compacts for its own request.
  var isDirect = false
  var isProactive = false
  /// Set, too, when a compaction with cached positions happens to begin at the start.
  var wholeZone = false
  var ignoresSkipHints = false
  var ignoresBlockTypes = false

  var zone = 0
  var type = MigrateType.unmovable
  /// The next frame of the migrate scanner, which ascends.
  var migrate = 0
  /// The next frame of the free scanner, which descends by pageblocks.
  var free = 0
  /// The lowest block that a fast search found: linear scanning begins there; nil from then on.
  var fastStart: Int? = 0
  /// The order whose list the next fast search for targets begins with.
  var searchOrder: Int
  /// Fast searches that failed one after the other.
  var failedSearches = 0
  /// The rest of the pageblock is scanned to its end, however much is found.
  var finishesPageblock = false
  /// How many pageblocks are scanned until the thread loses its CPU; nil when it keeps it.
  var scansLeft: Int?
  /// Where it goes on then.
  var position: SourcePosition?

  /// Free blocks taken as targets, by order, head first.
  var freeLists: [[PFN]]
  var freePages = 0
  /// Isolated folios in the order in which they move: found last, moved first.
  var list: [PFN] = []
  /// Pages that still want a target.
  var pages = 0
  var scannedSources = 0
  var scannedTargets = 0

  init(order: Int, gfp: GFPFlags, mode: MigrateMode, orderCount: Int) {
    self.order = order
    self.gfp = gfp
    self.mode = mode
    searchOrder = order
    freeLists = Array(repeating: [], count: orderCount)
  }

  /// It was asked for by /proc/sys/vm/compact_memory or works ahead.
  ///
  /// Kernel: `is_via_compact_memory()`.
  var wantsEverything: Bool { order == -1 }

  /// Entries of free lists that a fast search may look at, fewer after each failure.
  ///
  /// Kernel: `freelist_scan_limit()`.
  var searchLimit: Int { Machine.collectedPagesLimit >> min(failedSearches, 63) + 1 }
}

/// A pageblock that the migrate scanner is about to look at.
struct SourcePosition: Sendable, Codable {
  var low: Int
  var blockStart: Int
  var blockEnd: Int
  /// The fast search has looked at the hint already.
  var isChecked: Bool
}

/// A task's wish to get the block that its compaction makes before anybody else does (rule A3.13).
///
/// Kernel: `struct capture_control`.
struct Capture: Sendable, Codable {
  /// -1 when nobody waits for a block.
  var order = -1
  var zone = 0
  var type = MigrateType.unmovable
  var page: PFN?
}

extension Machine {
  /// Hands a block that was just freed or merged to the compacting task (rule A3.13).
  ///
  /// Kernel: `compaction_capture()`.
  ///
  /// - Returns: False when it is not wanted.
  mutating func isCaptured(_ zone: Int, _ pfn: PFN, order: Int, _ type: MigrateType) -> Bool {
    guard zone == capture.zone, background.running == nil, type != .cma, type != .isolate else {
      return false
    }
    if order < geometry.pageblockOrder, type == .movable, capture.type != .movable { return false }
    capture.page = pfn
    capture.order = -1
    account(zone, -(1 << order), type)
    return true
  }
}

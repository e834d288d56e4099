// Invariant: positions outside of the zone mean "start anew", which is how a zone boots; a shift never
// exceeds its limit.

/// What a zone remembers between two compactions.
///
/// Kernel: the `compact_*` fields of `struct zone`.
public struct ZoneCompaction: BitwiseCopyable, Sendable, Equatable {
  /// Where the free scanner goes on, a frame number.
  public var cachedFree = 0
  /// Where the migrate scanner goes on in asynchronous compaction, which gives up earlier.
  public var cachedMigrateAsync = 0
  public var cachedMigrateSync = 0
  /// Where the scanners began when skip hints were last cleared.
  public var initialMigrate = 0
  public var initialFree = 0
  /// Compactions put off since the last failure (rule A7.3).
  public var considered = 0
  /// `1 << deferShift` compactions are put off after a failure.
  public var deferShift = 0
  /// The lowest order that failed.
  public var orderFailed = 0
  /// A direct compaction has seen the whole zone, so kswapd clears the hints before it sleeps.
  public var flushesSkipHints = false

  public init() {}

  /// As many compactions as 64 are put off.
  ///
  /// Kernel: `COMPACT_MAX_DEFER_SHIFT`.
  static let maxDeferShift = 6

  /// Puts off compactions of this order and above after one that failed (rule A7.3).
  ///
  /// Kernel: `defer_compaction()`.
  mutating func putOff(order: Int) {
    considered = 0
    deferShift = min(deferShift + 1, Self.maxDeferShift)
    orderFailed = min(orderFailed, order)
  }

  /// Whether this compaction is put off; asking counts.
  ///
  /// Kernel: `compaction_deferred()`.
  mutating func isPutOff(order: Int) -> Bool {
    if order < orderFailed { return false }
    considered += 1
    guard considered >= 1 << deferShift else { return true }
    considered = 1 << deferShift
    return false
  }

  /// Forgets failures of this order.
  ///
  /// Kernel: `compaction_defer_reset()`.
  ///
  /// - Parameter succeeded: The allocation has its block, and not only a good chance.
  mutating func resume(order: Int, succeeded: Bool) {
    if succeeded {
      considered = 0
      deferShift = 0
    }
    if order >= orderFailed { orderFailed = order + 1 }
  }

  /// Whether a compaction comes after many that were put off.
  ///
  /// Kernel: `compaction_restarting()`.
  func isRestarting(order: Int) -> Bool {
    order >= orderFailed && deferShift == Self.maxDeferShift && considered >= 1 << deferShift
  }
}

/// What a compaction came to; the higher, the better (rule A7.1).
///
/// Kernel: `enum compact_result`.
public enum CompactResult: Int, Sendable, Comparable {
  case notSuitableZone, skipped, deferred, noSuitablePage, `continue`, complete, partialSkipped
  case contended, success

  public static func < (one: CompactResult, other: CompactResult) -> Bool {
    one.rawValue < other.rawValue
  }

  /// As the trace event prints it.
  public var name: String {
    switch self {
    case .notSuitableZone: "not_suitable_zone"
    case .skipped: "skipped"
    case .deferred: "deferred"
    case .noSuitablePage: "no_suitable_page"
    case .continue: "continue"
    case .complete: "complete"
    case .partialSkipped: "partial_skipped"
    case .contended: "contended"
    case .success: "success"
    }
  }
}

/// How hard a direct compaction tries, the hardest first.
///
/// Kernel: `enum compact_priority`.
enum CompactPriority: Int, Sendable {
  case syncFull, syncLight, async
}

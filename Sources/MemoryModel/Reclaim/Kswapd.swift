// Invariant: `order` and `highest` are what wakers asked for since the last run began. A kswapd that is
// neither asleep nor napping is in the queue of background threads, or runs.

/// A node's kswapd: what it was asked for, and how it went (rules A7.31 to A7.35).
///
/// Kernel: the `kswapd_*` fields of `struct pglist_data`, and the variables of `kswapd()`.
public struct Kswapd: Sendable, Equatable, Codable {
  public enum Rest: Sendable, Equatable, Codable {
    /// Until somebody wakes it.
    case asleep
    /// For a tenth of a second after a run that left the node balanced, or hopeless.
    case napping
    /// Woken, and not run yet; `early` when it was napping.
    case woken(early: Bool)
    case running
  }

  /// The largest order that wakers asked for.
  public package(set) var order = 0
  /// The highest zone that wakers asked for; nil when nobody did since the last run began.
  ///
  /// Kernel: `kswapd_highest_zoneidx`, MAX_NR_ZONES for nobody.
  public package(set) var highest: ZoneIndex?
  /// Runs in a row that reclaimed nothing; from ``failureLimit`` on the node is hopeless.
  public package(set) var failures = 0
  public package(set) var rest = Rest.asleep

  /// The highest zone of the last run.
  var lastHighest = ZoneIndex.device
  /// The order that the last run was asked for, and the one that it ended with.
  var allocationOrder = 0
  var reclaimedOrder = 0

  /// Kernel: `MAX_RECLAIM_RETRIES`.
  static let failureLimit = 16

  /// Nothing more is expected of it: direct reclaim is left alone (rule A7.34).
  public var isHopeless: Bool { failures >= Self.failureLimit }

  /// Kernel: `waitqueue_active(&pgdat->kswapd_wait)`.
  var isResting: Bool { rest == .asleep || rest == .napping }

  /// Kernel: `kswapd_highest_zoneidx()`.
  var requestedHighest: ZoneIndex { highest ?? lastHighest }
}

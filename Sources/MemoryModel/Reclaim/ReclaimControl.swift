/// One attempt to reclaim memory.
///
/// Kernel: `struct scan_control`, mm/vmscan.c.
struct ReclaimControl {
  enum Reclaimer {
    case kswapd, direct
  }

  let gfp: GFPFlags
  let reclaimer: Reclaimer
  /// Of the block that is wanted; kswapd lowers it to 0 when it has reclaimed enough.
  var order: Int
  /// Folios of higher zones do not help.
  let highest: ZoneIndex
  /// A pass looks at this share of the lists, as a power of two.
  var priority = firstPriority
  /// Pages to be reclaimed.
  var goal = 0
  /// Boosted reclaim writes nothing, which under MGLRU means that it does nothing.
  var mayWrite = true
  var reclaimed = 0
  var scanned = 0
  /// Some zone needs no more free pages for its compaction.
  var isReadyToCompact = false

  /// Kernel: `DEF_PRIORITY`.
  static let firstPriority = 12
  /// What direct reclaim asks for.
  ///
  /// Kernel: `SWAP_CLUSTER_MAX`.
  static let cluster = 32

  init(_ gfp: GFPFlags, order: Int, highest: ZoneIndex, by reclaimer: Reclaimer) {
    self.gfp = gfp
    self.order = order
    self.highest = highest
    self.reclaimer = reclaimer
  }

  var isKswapd: Bool { reclaimer == .kswapd }
}

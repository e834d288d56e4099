// Invariant (AI.5, AI.6): `freeCounts[k]` is the number of blocks on the lists of order k, and
// `freePages` plus this zone's per-CPU differences is the number of pages on all lists but
// Isolate's; the same for `freeCMAPages` and the CMA lists.

/// One zone of one node: its extent, its marks, its counters and its free lists.
///
/// Kernel: `struct zone`, include/linux/mmzone.h.
public struct Zone: BitwiseCopyable {
  public internal(set) var node: Int
  public internal(set) var indexRawValue: Int
  public internal(set) var start: Int
  public internal(set) var spanned: Int
  public internal(set) var present: Int
  public internal(set) var managed: Int
  public internal(set) var cmaPages: Int

  /// min, low, high, promo without the boost.
  ///
  /// Kernel: `_watermark[]`.
  public internal(set) var watermarks: InlineArray<4, Int>
  public internal(set) var watermarkBoost: Int
  /// Pages held back from requests that could have used zone j (rule A1.21).
  public internal(set) var lowmemReserve: InlineArray<5, Int>
  public internal(set) var reservedHighAtomic: Int
  public internal(set) var freeHighAtomic: Int
  public internal(set) var flags: ZoneFlags
  public internal(set) var isolatedPageblocks: Int
  /// Pages of HighAtomic pageblocks that were isolated: they come back as another type, and the
  /// kernel leaves them in ``reservedHighAtomic``.
  var lostHighAtomic: Int
  public internal(set) var percpuDriftMark: Int

  public internal(set) var highMin: Int
  public internal(set) var highMax: Int
  public internal(set) var batch: Int
  public internal(set) var statThreshold: Int

  /// Where compaction stands.
  public internal(set) var compaction: ZoneCompaction

  /// The global part of NR_FREE_PAGES, which lags behind (rule A0.4).
  public internal(set) var freePages: Int
  /// The global part of NR_FREE_CMA_PAGES.
  public internal(set) var freeCMAPages: Int

  /// Free blocks of each order over all types.
  ///
  /// Kernel: `free_area[].nr_free`.
  public internal(set) var freeCounts: InlineArray<11, Int>
  var freeLists: InlineArray<66, FrameList>

  public var index: ZoneIndex { ZoneIndex(rawValue: indexRawValue)! }
  public var end: Int { start + spanned }
  public var range: PFNRange { PFNRange(start, end) }
  public var isPopulated: Bool { present > 0 }

  /// A watermark with the boost, as everything but rules A3.26, A3.30 and A4.11 reads it (A1.17).
  public func watermark(_ index: Int) -> Int { watermarks[index] + watermarkBoost }

  /// The free list of one order and type.
  public func freeList(order: Int, _ type: MigrateType) -> FrameList {
    freeLists[order * MigrateType.count + Int(type.rawValue)]
  }

  /// Where that list stands in a zone's bytes.
  static func freeListOffset(order: Int, _ type: MigrateType) -> Int {
    // Behind the last list stand other bytes, which nobody checks.
    precondition(order >= 0 && order <= 10, "no such order")
    return MemoryLayout<Zone>.offset(of: \.freeLists)!
      + (order * MigrateType.count + Int(type.rawValue)) * MemoryLayout<FrameList>.stride
  }

  /// `zone_page_state()`: the global counter, never negative.
  var visibleFree: Int { max(freePages, 0) }
  var visibleFreeCMA: Int { max(freeCMAPages, 0) }
}

/// Kernel: `enum zone_flags`.
public struct ZoneFlags: OptionSet, BitwiseCopyable, Sendable {
  public let rawValue: Int

  public init(rawValue: Int) { self.rawValue = rawValue }

  public static let boostedWatermark = ZoneFlags(rawValue: 1)
  public static let reclaimActive = ZoneFlags(rawValue: 2)
  public static let belowHigh = ZoneFlags(rawValue: 4)
}

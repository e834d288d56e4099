/// The state of one zone in a dump.
public struct DumpZone: Decodable, Sendable {
  public struct Watermarks: Decodable, Sendable {
    public let min: Int
    public let low: Int
    public let high: Int
    public let promo: Int
  }

  public struct FreeArea: Decodable, Sendable {
    public let order: Int
    public let nr_free: Int
    public let Unmovable: [Int]?
    public let Movable: [Int]?
    public let Reclaimable: [Int]?
    public let HighAtomic: [Int]?
    public let CMA: [Int]?
    public let Isolate: [Int]?

    /// The lists by migratetype number.
    public var lists: [[Int]] {
      [Unmovable, Movable, Reclaimable, HighAtomic, CMA, Isolate].map { $0 ?? [] }
    }
  }

  public struct PerCPU: Decodable, Sendable {
    public let cpu: Int
    public let count: Int
    public let high: Int
    public let high_min: Int
    public let high_max: Int
    public let batch: Int
    public let flags: Int
    public let alloc_factor: Int
    public let expire: Int
    public let free_count: Int
    public let stat_threshold: Int
    public let free_diff: Int
    public let free_cma_diff: Int
    public let lists: [String: [Int]]
  }

  public struct Pageset: Decodable, Sendable {
    public let high_min: Int
    public let high_max: Int
    public let batch: Int
  }

  /// Where compaction stands.
  public struct Compact: Decodable, Sendable {
    public let cached_free_pfn: Int
    /// For asynchronous compaction, and for the others.
    public let cached_migrate_pfn: [Int]
    public let init_migrate_pfn: Int
    public let init_free_pfn: Int
    public let considered: Int
    public let defer_shift: Int
    public let order_failed: Int
    public let blockskip_flush: Int
  }

  /// `[start_pfn, n_blocks, migratetype, skip_bit]`.
  public struct PageblockRun: Decodable, Sendable {
    public let start: Int
    public let count: Int
    public let type: String
    /// Whether compaction skips these pageblocks.
    public let skip: Bool

    public init(from decoder: any Decoder) throws {
      var container = try decoder.unkeyedContainer()
      start = try container.decode(Int.self)
      count = try container.decode(Int.self)
      type = try container.decode(String.self)
      skip = container.isAtEnd ? false : try container.decode(Int.self) != 0
    }
  }

  public let name: String
  public let idx: Int
  public let start_pfn: Int
  public let spanned: Int
  public let present: Int
  public let managed: Int
  public let cma_pages: Int
  public let wmark: Watermarks
  public let watermark_boost: Int
  public let lowmem_reserve: [Int]
  public let nr_reserved_highatomic: Int
  public let nr_free_highatomic: Int
  public let flags: Int
  public let nr_isolate_pageblock: Int
  public let percpu_drift_mark: Int
  public let pageset: Pageset
  public let compact: Compact?
  public let stat: [String: [Int]]
  public let free_area: [FreeArea]
  public let pcp: [PerCPU]
  public let pageblocks: [PageblockRun]
}

/// `[pfn, n_units, class, order]`: n blocks of 2^order pages of one class.
public struct PageRun: Decodable, Sendable {
  public let pfn: Int
  public let count: Int
  public let classLetter: String
  public let order: Int

  public init(from decoder: any Decoder) throws {
    var container = try decoder.unkeyedContainer()
    pfn = try container.decode(Int.self)
    count = try container.decode(Int.self)
    classLetter = try container.decode(String.self)
    order = try container.decode(Int.self)
  }
}

public struct DumpCMA: Decodable, Sendable {
  public let name: String
  public let base_pfn: Int
  public let count: Int
  public let order_per_bit: Int
  public let set_runs: [[Int]]
}

/// One pool of huge pages; `free` runs in list order.
public struct DumpHugePool: Decodable, Sendable {
  public let order: Int
  public let nr_huge_pages: Int
  public let free_huge_pages: Int
  /// An unsigned long that a promise taken back too early leaves below 0.
  private let resv_huge_pages_unsigned: UInt64
  public var resv_huge_pages: Int { Int(truncatingIfNeeded: resv_huge_pages_unsigned) }
  public let surplus_huge_pages: Int
  public let max_huge_pages: Int
  public let nr_overcommit: Int
  public let free: [Int]

  private enum CodingKeys: String, CodingKey {
    case order, nr_huge_pages, free_huge_pages, surplus_huge_pages, max_huge_pages, nr_overcommit
    case free
    case resv_huge_pages_unsigned = "resv_huge_pages"
  }
}

public struct DumpLRUBatch: Decodable, Sendable {
  public let cpu: Int
  public let b: [String: [Int]]
}

public struct DumpSystem: Decodable, Sendable {
  public let min_free_kbytes: Int
  public let user_min_free_kbytes: Int
  public let watermark_boost_factor: Int
  public let watermark_scale_factor: Int
  public let totalreserve_pages: Int
  public let online_cpus: Int
  public let page_group_by_mobility_disabled: Int
  /// Bit 1 always, bit 2 madvise.
  public let thp_flags: Int
  /// Of node 0; the recordings' kernels have no other.
  public let kswapd_order: Int?
  public let kswapd_failures: Int?
}

// Invariant (AI.7): `count` is the number of pages on the lists; a block on list i has the order of
// list i.

/// The pages that one CPU keeps of one zone (rule A5.1).
///
/// Kernel: `struct per_cpu_pages`.
public struct PerCPUPages: BitwiseCopyable {
  public internal(set) var count: Int
  public internal(set) var high: Int
  public internal(set) var highMin: Int
  public internal(set) var highMax: Int
  public internal(set) var batch: Int
  public internal(set) var flags: Flags
  public internal(set) var allocFactor: Int
  public internal(set) var expire: Int
  public internal(set) var freeCount: Int
  /// This CPU's pending part of NR_FREE_PAGES (rule A0.4).
  public internal(set) var freeDiff: Int
  /// This CPU's pending part of NR_FREE_CMA_PAGES.
  public internal(set) var freeCMADiff: Int
  /// This CPU's pending part of the zone's other counters, by ``VMStatNames/zoneItems``: of those of the
  /// LRU lists and of locked pages.
  public internal(set) var itemDiffs: InlineArray<10, Int8>
  var lists: InlineArray<14, FrameList>

  public struct Flags: OptionSet, BitwiseCopyable, Sendable {
    public let rawValue: Int

    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let previousFreeHighOrder = Flags(rawValue: 1)
    public static let freeHighBatch = Flags(rawValue: 2)
  }

  public static let listCount = 14

  public func list(_ index: Int) -> FrameList { lists[index] }
}

/// Which per-CPU list a block belongs to (rule A5.2).
public enum PerCPUList {
  /// List 3·order + type for orders 0 to 3; 12 and 13 for pageblock-sized blocks, non-movable and
  /// movable.
  ///
  /// Kernel: `order_to_pindex()`.
  static func index(_ type: MigrateType, order: Int) -> Int {
    if order > 3 { return type == .movable ? 13 : 12 }
    return order * 3 + Int(type.rawValue)
  }

  /// The order of the blocks on list `index`.
  ///
  /// Kernel: `pindex_to_order()`.
  public static func order(_ index: Int, pageblockOrder: Int) -> Int {
    index >= 12 ? pageblockOrder : index / 3
  }
}

// Invariant (checked by `Machine.check()`): `total` is the number of pages that carry the hugetlb
// flag, `free` the number of those on the nodes' lists, and every counter is the sum over the nodes.

/// The huge pages of one size that the kernel keeps for hugetlbfs.
///
/// Pages on the lists belong to nobody, but the buddy does not have them. The default size is one
/// pageblock; a gigantic one is larger than the buddy's largest block.
///
/// Kernel: `struct hstate`, include/linux/hugetlb.h.
public struct HugePool: Sendable, Equatable, Codable {
  /// log2 of the base pages in a huge page.
  public let order: Int
  /// Huge pages of this size, free or in use, with those above the pool's size.
  ///
  /// Kernel: `nr_huge_pages`.
  public internal(set) var total = 0
  /// Kernel: `free_huge_pages`.
  public internal(set) var free = 0
  /// Free pages that mappings were promised and have not touched yet.
  ///
  /// Kernel: `resv_huge_pages`.
  public internal(set) var reserved = 0
  /// Pages beyond the pool's size: they go back to the buddy when nobody uses them.
  ///
  /// Kernel: `surplus_huge_pages`.
  public internal(set) var surplus = 0
  /// What the last write to nr_hugepages reached.
  ///
  /// Kernel: `max_huge_pages`.
  public internal(set) var maximum = 0
  /// How many surplus pages may exist.
  ///
  /// Kernel: `nr_overcommit_huge_pages`.
  public internal(set) var overcommit = 0
  /// Promises that came back when their page, pinned until then, went to the buddy as surplus: so many
  /// more may be promised than are free, as in the kernel.
  var homeless = 0
  /// Promises that ``Machine/fillHole(_:page:inPinScope:)`` took from others and nobody could make up
  /// for, because the page was still pinned when it left its file: so many fewer are counted.
  var missing = 0
  /// One a node.
  public internal(set) var nodes: [Node]
  /// The nodes whose turn it is.
  ///
  /// Kernel: `next_nid_to_alloc`, `next_nid_to_free`.
  var nextToAllocate = 0
  var nextToFree = 0

  /// The part of a pool that lies on one node.
  public struct Node: Sendable, Equatable, Codable {
    public internal(set) var total = 0
    public internal(set) var free = 0
    public internal(set) var surplus = 0
    /// Free pages; the head is taken first, and what comes back becomes the head.
    ///
    /// Kernel: `hugepage_freelists[]`.
    var list = FrameList.empty
  }

  init(order: Int, nodeCount: Int) {
    self.order = order
    nodes = Array(repeating: Node(), count: nodeCount)
  }

  /// Pages that stay when nobody uses them.
  ///
  /// Kernel: `persistent_huge_pages()`.
  public var persistent: Int { total - surplus }

  /// Free pages that nobody was promised.
  ///
  /// Kernel: `available_huge_pages()`.
  public var available: Int { free - reserved }
}

/// What the kernel remembers of one huge page, besides that it is one.
///
/// Kernel: `enum hugetlb_page_flags`.
public struct HugePageFlags: OptionSet, BitwiseCopyable, Sendable {
  public let rawValue: UInt8

  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// In the pool, or taken from it.
  public static let hugetlb = HugePageFlags(rawValue: 1)
  /// In use, and isolated by nobody: migration may take it (rule P1.31).
  public static let migratable = HugePageFlags(rawValue: 2)
  /// Made for a migration: it goes to the buddy and not to the pool (rule P4.15).
  public static let temporary = HugePageFlags(rawValue: 4)
  /// It was taken for a promise that must be given back if the page is freed unused.
  public static let restoreReserve = HugePageFlags(rawValue: 8)
}

extension Geometry {
  /// The order of a huge page of the default size: 2 MiB on x86_64, 16 MiB on ppc64.
  public var hugeOrder: Int { pageblockOrder }

  /// The order of a gigantic page: 1 GiB on x86_64, 16 GiB on ppc64.
  public var giganticOrder: Int { 18 }
}

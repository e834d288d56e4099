public import MemoryModel

/// Why a page is where it is: where it lies, what it is part of, who holds it, and what could be
/// done with it now.
public struct PageExplanation: Sendable {
  /// What a frame is part of.
  public enum State: String, Sendable {
    case hole, reserved, free, perCPU = "pcp", pool, allocated
  }

  public struct FolioFacts: Sendable {
    public var folio: Folio
    /// In words, such as "anonymous page" or "shmem page of vm0-ram".
    public var kind: String
    public var references: Int
    /// What mappings and caches account for (rule P1.7).
    public var expectedReferences: Int
    public var mappings: Int
    public var pins: Int
    public var flags: [String]
    /// The LRU list it is on; nil for none.
    public var list: LRUList?
  }

  /// A place where a page table shows the page.
  public struct Place: Sendable, Equatable {
    public var space: Int
    public var name: String
    public var address: Int
    public var level: PageTableLevel
    public var isMigrationEntry: Bool
    /// The entry names the page's slot in swap space; the page itself is still in the swap cache.
    public var isSwapEntry = false
  }

  /// Somebody with references that mappings do not account for.
  public struct Holder: Sendable, Equatable {
    public enum Kind: String, Sendable {
      case pin, get, reference, isolation, batch, kernel, unknown
    }
    public var kind: Kind
    /// In words: "pin #1 of vm0, long-term", "the lru_add batch of CPU 0".
    public var text: String
    public var references: Int
    /// Since which operation; nil when nobody counts.
    public var operation: Int?
  }

  /// Whether something could be done with the page now.
  public struct Verdict: Sendable, Equatable {
    public var isPossible: Bool
    public var reason: String
    public var rule: String
    /// The kernel function that decides it.
    public var function: String
  }

  public var pfn: PFN
  public var state: State
  public var node = 0
  /// There are other nodes, too.
  public var hasNodes = false
  public var zone: String?
  public var pageblockType = MigrateType.movable
  /// The free or kernel block around it: its first frame and order.
  public var block: (start: PFN, order: Int)?
  public var cmaArea: String?
  public var facts: FolioFacts?
  public var places: [Place] = []
  public var holders: [Holder] = []
  /// Whether it could be migrated now.
  public var migration: Verdict?
  /// Whether a long-term pin could stay on it, and what a pin would do.
  public var pinning: Verdict?
}

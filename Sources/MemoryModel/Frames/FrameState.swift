/// What the model knows of one block, kept at its first frame.
///
/// ```
/// bit  31     24 23     16 15            10   9    8 7      3 2      0
///     [ flags  ][ owner  ][ type or flags ][mv][lru][ order  ][  kind  ]
/// ```
/// Bits 10 to 12 of a free block are the type of its list; of an allocated one they are flags.
///
/// Zero means: not the first frame of any block. Such a frame is the inside of a block, reserved,
/// in a hole, or was never touched.
public struct FrameState: BitwiseCopyable, Sendable, Equatable {
  public enum Kind: UInt8, Sendable {
    case none = 0
    /// On a free list of the buddy allocator.
    case free = 1
    /// On a per-CPU list.
    case perCPU = 2
    /// Handed out.
    case allocated = 3
    /// A free huge page on a list of hugetlb's pool; the buddy handed it out.
    case hugePool = 4
  }

  public var rawValue: UInt32

  public init(rawValue: UInt32 = 0) { self.rawValue = rawValue }

  public init(_ kind: Kind, order: Int) {
    rawValue = UInt32(kind.rawValue) | UInt32(order) << 3
  }

  init(_ kind: Kind, order: Int, listed type: MigrateType) {
    rawValue = UInt32(kind.rawValue) | UInt32(order) << 3 | UInt32(type.rawValue) << 10
  }

  public var kind: Kind { Kind(rawValue: UInt8(rawValue & 7)) ?? .none }
  public var order: Int { Int(rawValue >> 3 & 31) }

  /// The type of the free list that a free block is on; on a per-CPU list, the type that kernels up
  /// to 6.9 remember for it (rule A9.6).
  public var listedType: MigrateType {
    MigrateType(rawValue: UInt8(rawValue >> 10 & 7)) ?? .movable
  }

  /// On an LRU list, so migration and the claim rule see a movable page.
  ///
  /// Kernel: `PageLRU`.
  public var isLRU: Bool {
    get { rawValue & 0x100 != 0 }
    set { rawValue = newValue ? rawValue | 0x100 : rawValue & ~0x100 }
  }

  /// A driver can move it.
  ///
  /// Kernel: `__PageMovable`.
  public var isDriverMovable: Bool {
    get { rawValue & 0x200 != 0 }
    set { rawValue = newValue ? rawValue | 0x200 : rawValue & ~0x200 }
  }

  /// What it was allocated for, as a page class of a recording (`A` anon, `S` slab, …); 0 unknown.
  public var owner: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue >> 16) }
    set { rawValue = rawValue & 0xFF00_FFFF | UInt32(newValue) << 16 }
  }

  /// Flags of an allocated block.
  public struct Flags: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Its references are counted in the ``FolioTable``.
    public static let folio = Flags(rawValue: 1 << 10)
    public static let locked = Flags(rawValue: 1 << 11)
    /// Off the LRU on somebody's own list, with a reference (rule P1.30).
    public static let isolated = Flags(rawValue: 1 << 12)
    public static let dirty = Flags(rawValue: 1 << 13)
    public static let active = Flags(rawValue: 1 << 14)
    public static let mlocked = Flags(rawValue: 1 << 15)
    /// Anonymous or shmem: reclaimed by swapping.
    public static let swapBacked = Flags(rawValue: 1 << 24)
    /// On the list of deferred splits (rule P2.23).
    public static let partiallyMapped = Flags(rawValue: 1 << 25)
    public static let referenced = Flags(rawValue: 1 << 26)
    public static let writeback = Flags(rawValue: 1 << 27)
    public static let hugetlb = Flags(rawValue: 1 << 28)
    public static let unevictable = Flags(rawValue: 1 << 29)
    /// Its content was written by its owner; a split keeps such pages (rule P4.21).
    public static let written = Flags(rawValue: 1 << 30)
    /// On the active list of files, in the second youngest generation; nowhere else.
    public static let aged = Flags(rawValue: 1 << 31)
  }

  public var flags: Flags {
    get { Flags(rawValue: rawValue & 0xFF00_FC00) }
    set { rawValue = rawValue & 0x00FF_03FF | newValue.rawValue }
  }
}

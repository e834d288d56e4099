/// What the model knows of one block, kept at its first frame.
///
/// ```
/// bit  31        16 15  13 12   10   9    8 7      4 3      0
///     [   owner   ][     ][ type ][mv][lru][ order  ][  kind  ]
/// ```
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
    rawValue = UInt32(kind.rawValue) | UInt32(order) << 4
  }

  init(_ kind: Kind, order: Int, listed type: MigrateType) {
    rawValue = UInt32(kind.rawValue) | UInt32(order) << 4 | UInt32(type.rawValue) << 10
  }

  public var kind: Kind { Kind(rawValue: UInt8(rawValue & 15)) ?? .none }
  public var order: Int { Int(rawValue >> 4 & 15) }

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
    set { rawValue = rawValue & 0x0000_FFFF | UInt32(newValue) << 16 }
  }
}

/// One entry of a page table, at any level; zero is "none".
///
/// ```
/// bit  63          32 31        11  10    9      8        7     6     5   4   3    2     1    0
///     [  pfn / table ][           ][swp][mig][protnone][table][leaf][sp][ex][young][dirty][wr][pres]
/// ```
/// `exclusive` is the kernel's PageAnonExclusive: only one mapping of an exclusive page exists, so
/// the bit can live in it (rule P2.3). `part` marks a page of a large folio that is mapped by
/// itself, so that a walker need not look at the frame to tell.
public struct PageTableEntry: BitwiseCopyable, Sendable, Hashable {
  public var rawValue: UInt64

  public init(rawValue: UInt64 = 0) { self.rawValue = rawValue }

  public static let none = PageTableEntry()

  public struct Flags: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let present = Flags(rawValue: 1)
    public static let write = Flags(rawValue: 1 << 1)
    public static let dirty = Flags(rawValue: 1 << 2)
    public static let young = Flags(rawValue: 1 << 3)
    public static let exclusive = Flags(rawValue: 1 << 4)
    /// No `struct page` may be taken from it: the zero page, device memory.
    public static let special = Flags(rawValue: 1 << 5)
    /// A leaf at the PMD or PUD level.
    public static let leaf = Flags(rawValue: 1 << 6)
    /// Points to a lower table.
    public static let table = Flags(rawValue: 1 << 7)
    public static let protNone = Flags(rawValue: 1 << 8)
    public static let migration = Flags(rawValue: 1 << 9)
    public static let swap = Flags(rawValue: 1 << 10)
    public static let part = Flags(rawValue: 1 << 11)
    /// Device memory without a frame in the model.
    public static let device = Flags(rawValue: 1 << 12)
  }

  public init(_ pfn: PFN, _ flags: Flags) {
    rawValue = UInt64(pfn.rawValue) << 32 | UInt64(flags.rawValue)
  }

  init(table: Int) { rawValue = UInt64(table) << 32 | UInt64(Flags.table.rawValue) }

  public var flags: Flags {
    get { Flags(rawValue: UInt32(truncatingIfNeeded: rawValue)) }
    set { rawValue = rawValue & 0xFFFF_FFFF_0000_0000 | UInt64(newValue.rawValue) }
  }

  public var pfn: PFN { PFN(UInt32(truncatingIfNeeded: rawValue >> 32)) }
  var table: Int { Int(rawValue >> 32) }

  public var isNone: Bool { rawValue == 0 }
  public var isPresent: Bool { rawValue & 1 != 0 }
  public var isTable: Bool { rawValue & 0x80 != 0 }
  public var isMigration: Bool { rawValue & 0x200 != 0 }
  public var isSwap: Bool { rawValue & 0x400 != 0 }
  public var isLeaf: Bool { rawValue & 0x40 != 0 }

  /// The same entry for another frame.
  public func moved(to pfn: PFN) -> PageTableEntry { PageTableEntry(pfn, flags) }
}

/// The level of a page-table entry, named as the kernel names the tables.
public enum PageTableLevel: Int, Sendable, Comparable {
  case pte = 0
  case pmd = 1
  case pud = 2
  case pgd = 3

  /// log2 of the pages that one entry covers.
  public var order: Int { rawValue * 9 }

  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
}

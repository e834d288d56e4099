/// How pages are asked for, with the bits of 6.12 (rule P3.15).
public struct GUPFlags: OptionSet, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let write = GUPFlags(rawValue: 1 << 0)
  public static let get = GUPFlags(rawValue: 1 << 1)
  public static let force = GUPFlags(rawValue: 1 << 3)
  public static let noWait = GUPFlags(rawValue: 1 << 4)
  /// Absent pages are an error instead of a fault.
  public static let noFault = GUPFlags(rawValue: 1 << 5)
  public static let hwPoison = GUPFlags(rawValue: 1 << 6)
  public static let longTerm = GUPFlags(rawValue: 1 << 8)
  public static let splitPMD = GUPFlags(rawValue: 1 << 9)
  public static let pciP2PDMA = GUPFlags(rawValue: 1 << 10)
  /// Any signal ends retries, not only a fatal one.
  public static let interruptible = GUPFlags(rawValue: 1 << 11)
  /// A protnone entry counts as absent.
  public static let honorNUMAFault = GUPFlags(rawValue: 1 << 12)
  /// Mark accessed and dirty.
  public static let touch = GUPFlags(rawValue: 1 << 16)
  public static let tried = GUPFlags(rawValue: 1 << 17)
  public static let remote = GUPFlags(rawValue: 1 << 18)
  public static let pin = GUPFlags(rawValue: 1 << 19)
  /// Never fall back to the slow path.
  public static let fastOnly = GUPFlags(rawValue: 1 << 20)
  /// The fault handler may drop mmap_lock.
  public static let unlockable = GUPFlags(rawValue: 1 << 21)
  public static let madvisePopulate = GUPFlags(rawValue: 1 << 22)

  /// Bits that callers may not pass.
  ///
  /// Kernel: `INTERNAL_GUP_FLAGS`, mm/internal.h.
  public static let internalFlags: GUPFlags = [
    .touch, .tried, .remote, .pin, .fastOnly, .unlockable, .madvisePopulate,
  ]

  public static let names: [(name: String, flag: GUPFlags)] = [
    ("FOLL_WRITE", .write), ("FOLL_GET", .get), ("FOLL_FORCE", .force), ("FOLL_NOWAIT", .noWait),
    ("FOLL_NOFAULT", .noFault), ("FOLL_HWPOISON", .hwPoison), ("FOLL_LONGTERM", .longTerm),
    ("FOLL_SPLIT_PMD", .splitPMD), ("FOLL_PCI_P2PDMA", .pciP2PDMA),
    ("FOLL_INTERRUPTIBLE", .interruptible), ("FOLL_HONOR_NUMA_FAULT", .honorNUMAFault),
    ("FOLL_TOUCH", .touch), ("FOLL_TRIED", .tried), ("FOLL_REMOTE", .remote), ("FOLL_PIN", .pin),
    ("FOLL_FAST_ONLY", .fastOnly), ("FOLL_UNLOCKABLE", .unlockable),
    ("FOLL_MADV_POPULATE", .madvisePopulate),
  ]

  /// Flags by their names, joined by `|` and with or without `FOLL_`; nil when one is unknown.
  public init?(names text: String) {
    self = []
    for word in text.split(whereSeparator: { $0 == "|" || $0 == " " }) {
      let name = word.hasPrefix("FOLL_") ? String(word) : "FOLL_" + word.uppercased()
      guard let found = Self.names.first(where: { $0.name == name }) else { return nil }
      insert(found.flag)
    }
  }

  /// Names joined by `|`.
  public var description: String {
    Self.names.filter { contains($0.flag) }.map(\.name).joined(separator: "|")
  }
}

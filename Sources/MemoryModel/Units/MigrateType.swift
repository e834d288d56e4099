/// What a pageblock is for, numbered as a kernel with CONFIG_CMA numbers it (rule A0.2).
public enum MigrateType: UInt8, CaseIterable, Sendable, Codable {
  case unmovable = 0
  case movable = 1
  case reclaimable = 2
  case highAtomic = 3
  case cma = 4
  case isolate = 5

  public static let count = 6

  /// The name that /proc/pagetypeinfo prints.
  public var name: String {
    switch self {
    case .unmovable: "Unmovable"
    case .movable: "Movable"
    case .reclaimable: "Reclaimable"
    case .highAtomic: "HighAtomic"
    case .cma: "CMA"
    case .isolate: "Isolate"
    }
  }

  public init?(name: some StringProtocol) {
    guard let match = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = match
  }

  /// Whether blocks of this type may merge with blocks of another mergeable type (rule A0.2).
  ///
  /// Kernel: `migratetype_is_mergeable()`.
  public var isMergeable: Bool { rawValue < 3 }

  /// The types that may lend to a request of this type, first choice first (rule A3.16).
  ///
  /// Kernel: `fallbacks[]`, mm/page_alloc.c.
  var fallbacks: (MigrateType, MigrateType)? {
    switch self {
    case .unmovable: (.reclaimable, .movable)
    case .movable: (.reclaimable, .unmovable)
    case .reclaimable: (.unmovable, .movable)
    case .highAtomic, .cma, .isolate: nil
    }
  }
}

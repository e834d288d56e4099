/// What a folio belongs to: nothing, an anonymous region, or a file.
///
/// Kernel: `folio->mapping` with its low bits.
public struct MappingID: Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let none = MappingID(rawValue: 0)
  /// An anonymous page of a process that the model does not hold, as in a recorded state: its
  /// mapping counts, but nobody can look it up.
  public static let unknownAnonymous = MappingID(rawValue: 0xFFFF_FFFF)
  /// A page-cache page of a file that the model does not hold.
  public static let unknownFile = MappingID(rawValue: 0x7FFF_FFFF)

  public static func anonymous(_ region: Int) -> MappingID {
    MappingID(rawValue: 0x8000_0000 | UInt32(region))
  }

  public static func file(_ file: Int) -> MappingID { MappingID(rawValue: UInt32(file) + 1) }

  public var isAnonymous: Bool { rawValue & 0x8000_0000 != 0 }
  public var isFile: Bool { rawValue != 0 && rawValue & 0x8000_0000 == 0 }

  /// The index of the anonymous region, if the model holds it.
  public var region: Int? {
    isAnonymous && self != .unknownAnonymous ? Int(rawValue & 0x7FFF_FFFF) : nil
  }

  /// The index of the file, if the model holds it.
  public var fileIndex: Int? {
    isFile && self != .unknownFile ? Int(rawValue) - 1 : nil
  }
}

/// The zones of a node, in the kernel's order (rule A1.1).
public enum ZoneIndex: Int, CaseIterable, Sendable, Comparable, Codable {
  case dma = 0
  case dma32 = 1
  case normal = 2
  case movable = 3
  case device = 4

  public static let count = 5

  /// The name in /proc/buddyinfo and /proc/zoneinfo.
  public var name: String {
    switch self {
    case .dma: "DMA"
    case .dma32: "DMA32"
    case .normal: "Normal"
    case .movable: "Movable"
    case .device: "Device"
    }
  }

  public init?(name: some StringProtocol) {
    guard let match = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = match
  }

  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }
}

/// A page frame number: the index of one base page of physical memory.
///
/// A separate type keeps a frame number from being passed where a page count or an array offset
/// is meant. 32 bits reach 16 TiB in 4 KiB pages.
public struct PFN: Hashable, Comparable, Sendable, BitwiseCopyable, Codable {
  public let rawValue: UInt32

  public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  public init(_ value: Int) { self.rawValue = UInt32(value) }

  public static func < (lhs: Self, rhs: Self) -> Bool { lhs.rawValue < rhs.rawValue }

  /// The number as an array index.
  public var index: Int { Int(rawValue) }

  /// The other half of the block of the next order that contains this block (rule A3.3).
  ///
  /// Two buddies differ in exactly one bit, bit `order` of their first frame.
  /// Kernel: `__find_buddy_pfn()`, mm/internal.h.
  public func buddy(_ order: Int) -> PFN { PFN(rawValue ^ (1 << UInt32(order))) }

  /// The start of the aligned block of `order` that contains this frame.
  public func roundedDown(toOrder order: Int) -> PFN {
    PFN(rawValue & ~((1 << UInt32(order)) &- 1))
  }

  /// Whether a block of `order` may start at this frame.
  @inline(__always)
  public func isAligned(toOrder order: Int) -> Bool {
    rawValue & ((1 << UInt32(order)) &- 1) == 0
  }

  public static func + (lhs: Self, rhs: Int) -> PFN { PFN(lhs.index + rhs) }
}

extension PFN {
  public init(from decoder: any Decoder) throws {
    rawValue = try decoder.singleValueContainer().decode(UInt32.self)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(rawValue)
  }
}

extension PFN: CustomStringConvertible {
  public var description: String { "pfn 0x" + String(rawValue, radix: 16) }
}

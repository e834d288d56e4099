/// A block of pages that is counted, mapped and moved as one: its first frame and its order.
///
/// Kernel: `struct folio`.
public struct Folio: Hashable, Sendable, BitwiseCopyable {
  public let head: PFN
  public let order: Int

  public init(_ head: PFN, order: Int) {
    self.head = head
    self.order = order
  }

  public var pages: Int { 1 << order }

  public func contains(_ pfn: PFN) -> Bool { pfn >= head && pfn.index < head.index + pages }
}

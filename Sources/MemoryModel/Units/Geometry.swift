/// The sizes that an architecture fixes: pages, blocks, and where its zones end.
///
/// Source: rules A0.1, A1.1, P0.1.
public struct Geometry: Sendable, Equatable {
  public var name: String
  /// log2 of the bytes in a base page.
  public var pageShift: Int
  /// The order of the largest free block.
  ///
  /// Kernel: `MAX_PAGE_ORDER`.
  public var maxOrder: Int
  /// The order of a pageblock.
  ///
  /// Kernel: `pageblock_order`.
  public var pageblockOrder: Int
  /// First frame after ZONE_DMA; 0 when the architecture has no such zone.
  public var dmaEnd: Int
  /// First frame after ZONE_DMA32; 0 when the architecture has no such zone.
  public var dma32End: Int

  /// 4 KiB pages, 2 MiB pageblocks, 4 MiB largest block.
  public static let x86_64 = Geometry(
    name: "x86_64", pageShift: 12, maxOrder: 10, pageblockOrder: 9, dmaEnd: 4096,
    dma32End: 1 << 20)

  /// 64 KiB pages, 16 MiB pageblocks, which are the largest blocks, too.
  ///
  /// All memory is Normal.
  public static let ppc64 = Geometry(
    name: "ppc64", pageShift: 16, maxOrder: 8, pageblockOrder: 8, dmaEnd: 0, dma32End: 0)

  public static let all: [Geometry] = [.x86_64, .ppc64]

  public var pageSize: Int { 1 << pageShift }
  /// Pages of a memory block, the unit that goes offline: 128 MiB on x86_64 machines below 64 GiB,
  /// 256 MiB on ppc64 (rule P0.1).
  public var memoryBlockPages: Int { (dmaEnd > 0 ? 128 << 20 : 256 << 20) >> pageShift }
  public var pageblockPages: Int { 1 << pageblockOrder }
  public var maxBlockPages: Int { 1 << maxOrder }
  public var orderCount: Int { maxOrder + 1 }
}

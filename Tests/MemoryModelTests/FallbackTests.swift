import ModelTesting
import Testing

@testable import MemoryModel

/// The vectors AV.12: scattered free blocks in Movable pageblocks, and what kernel requests take,
/// by the two fallback regimes.
@Suite struct FallbackTests {
  let zone = ZoneIndex.dma32.rawValue

  /// S(n) without free memory, then `blocks` freed to the buddy in this order.
  private func scattered(
    pages: Int, _ kernel: Kernel, boostFactor: Int = 15000, plain: Range<Int> = 0..<0,
    _ blocks: [(pfn: Int, order: Int)]
  ) throws -> Machine {
    var image = MachineImage.singleAllocated(pages: pages, kernel: kernel)
    image.settings.watermarkBoostFactor = boostFactor
    for index in image.allocations.indices where plain.contains(image.allocations[index].pfn) {
      image.allocations[index].isLRU = false
    }
    var machine = try Machine.restore(image)
    let singles = stride(from: 4608, through: 4856, by: 8).map { ($0, 0) }
    for (pfn, order) in singles + [(5120, 5), (5152, 4)] + blocks {
      for frame in pfn..<pfn + 1 << order { machine.frames.clearHead(PFN(frame), order: 0) }
      machine.freeOnePage(zone, PFN(pfn), order: order)
    }
    return machine
  }

  @Test("AV.12a, AP.8: claims fail and boost; then nothing passes the boosted marks")
  func boostOnFailure() throws {
    for (kernel, expected) in [(Kernel.v6_12, 4856), (.v6_12_0, 7168)] {
      var machine = try scattered(
        pages: 8192, kernel, [(6144, 7), (6272, 6), (6336, 3), (7168, 7), (7424, 5)])
      #expect(machine.zone(zone).freePages == 440)
      #expect(machine.perCPUPages(zone: zone, cpu: 0).freeDiff == 0)

      let first = machine.allocate(1, order: 0, .plain)
      #expect(first == [expected], "\(kernel.name)")
      #expect(machine.zone(zone).watermarkBoost == 512)
      #expect(machine.perCPUPages(zone: zone, cpu: 0).freeDiff == -1)
      #expect(machine.perCPUPages(zone: zone, cpu: 0).allocFactor == 1)
      #expect(machine.perCPUPages(zone: zone, cpu: 0).high == 227)

      let second = machine.allocate(1, order: 0, .plain)
      #expect(second == [-1], "\(kernel.name)")
      #expect(machine.zone(zone).flags.contains(.belowHigh))
      #expect(machine.check() == nil)
    }
  }

  private static let halves = [
    (6144, 7), (6272, 6), (6336, 3), (8192, 7), (8704, 7), (9216, 7), (9728, 7),
  ]

  @Test("AV.12b, AP.21, AP.22: 6.12.29 steals the smallest block and stays with stealing")
  func stealsSmallest() throws {
    var machine = try scattered(pages: 16384, .v6_12, boostFactor: 0, Self.halves)
    let singles = machine.allocate(4, order: 0, .plain)
    #expect(singles == [4856, 4848, 4840, 4832])
    #expect(machine.perCPUBlocks(zone, list: 0) == [4824, 4816, 4808, 4800, 4792])
    let pair = machine.allocate(1, order: 1, .plain)
    #expect(pair == [6336])
    #expect(machine.perCPUBlocks(zone, list: 3) == [6338])
    let direct = machine.allocate(1, order: 4, .plain)
    #expect(direct == [5152])
    let huge = machine.allocate(1, order: 9, .plainMovable)
    #expect(huge == [-1])
    for pageblock in stride(from: 4096, to: 20480, by: 512) {
      #expect(machine.frames.migrateType(PFN(pageblock)) == .movable)
    }
    #expect(machine.check() == nil)
  }

  @Test("AV.12b [12.0]: a failed claim takes from the largest block")
  func takesFromLargest() throws {
    var machine = try scattered(pages: 16384, .v6_12_0, boostFactor: 0, Self.halves)
    let singles = machine.allocate(4, order: 0, .plain)
    #expect(singles == [9728, 9216, 8704, 8192])
    #expect(machine.perCPUBlocks(zone, list: 0) == [6144, 6208, 8256, 8768, 9280])
    let pair = machine.allocate(1, order: 1, .plain)
    #expect(pair == [9792])
    #expect(machine.perCPUBlocks(zone, list: 3) == [6272])
    let direct = machine.allocate(1, order: 4, .plain)
    #expect(direct == [6304])
    #expect(machine.check() == nil)
  }

  private static let halfUsed = [
    (6144, 6), (6208, 5), (6272, 6), (6336, 3), (8192, 7), (8704, 7), (9216, 7), (9728, 7),
  ]

  @Test("AV.12c, AP.7: a claim succeeds through one block and returns another")
  func claimReturnsAnotherBlock() throws {
    var machine = try scattered(
      pages: 16384, .v6_12, boostFactor: 0, plain: 6400..<6500, Self.halfUsed)
    let singles = machine.allocate(4, order: 0, .plain)
    #expect(singles == [6336, 6337, 6338, 6339])
    #expect(machine.perCPUBlocks(zone, list: 0) == [6340, 6341, 6342, 6343, 6208])
    #expect(machine.frames.migrateType(PFN(6144)) == .unmovable)
    #expect(machine.freeBlocks(zone, order: 6, .unmovable) == [6144, 6272])
    #expect(machine.check() == nil)
  }

  @Test("AV.12c [12.0]: the claim comes after the large blocks ran out")
  func claimAfterLargeBlocks() throws {
    var machine = try scattered(
      pages: 16384, .v6_12_0, boostFactor: 0, plain: 6400..<6500, Self.halfUsed)
    let singles = machine.allocate(4, order: 0, .plain)
    #expect(singles == [9728, 9216, 8704, 8192])
    #expect(machine.perCPUBlocks(zone, list: 0) == [8256, 8768, 9280, 9792, 6336])
    #expect(machine.frames.migrateType(PFN(6144)) == .unmovable)
    #expect(machine.check() == nil)
  }
}

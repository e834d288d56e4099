import ModelTesting
import Testing

@testable import MemoryModel

/// The real free lists beside plain arrays: the same blocks on the same lists in the same order.
@Suite struct ListBuddyTests {
  private struct Held {
    var pfn: Int
    var order: Int
  }

  /// A zone in which no watermark can fail.
  private func image(
    _ kernel: Kernel, cma: PFNRange?, index: ZoneIndex, threshold: Int
  ) -> MachineImage {
    var image = MachineImage.single(pages: 8192, cma: cma, kernel: kernel)
    image.settings.watermarkBoostFactor = 0
    image.zones[0].watermarks = [0, 0, 0, 0]
    image.zones[0].index = index
    image.zones[0].statThreshold = threshold
    return image
  }

  @Test(
    "A3.1 to A3.25, AP.18, AP.19: orders 4 to 8 and 10, which skip the per-CPU lists",
    arguments: Seeds.list(1...24))
  func directOrders(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let kernel = seed % 2 == 0 ? Kernel.v6_12 : .v6_12_0
    let cma = seed % 3 == 0 ? PFNRange(8192, 12288) : nil
    let index = seed % 4 < 2 ? ZoneIndex.dma32 : .normal
    var machine = try Machine.restore(
      image(kernel, cma: cma, index: index, threshold: seed % 5 == 0 ? 40 : 0))
    let zone = index.rawValue
    var arrays = ListBuddy(machine, zone: zone)
    var held: [Held] = []
    for step in 0..<Seeds.steps(400) {
      // Fill up and empty in turn, so that every list runs dry and every block merges again.
      if held.isEmpty || random.below(10) < (step / 100 % 2 == 0 ? 7 : 3) {
        let order = [4, 4, 5, 5, 6, 7, 8, 10][random.below(8)]
        let type = [MigrateType.unmovable, .movable, .reclaimable][random.below(3)]
        let gfp: [GFPFlags] = [.kernel, [.kernel, .movable], [.kernel, .reclaimable]]
        let real = machine.allocatePages(order: order, gfp: gfp[Int(type.rawValue)]).pfn?.index
        let naive = arrays.allocate(
          order: order, type, cma: type == .movable, noFragment: index == .normal)
        try #require(real == naive, "seed \(seed), step \(step): order \(order) \(type.name)")
        guard let pfn = real else { continue }
        held.append(Held(pfn: pfn, order: order))
        if type == .movable, random.below(2) == 0 {
          machine.addToLRU(PFN(pfn))
          for frame in pfn..<pfn + 1 << order { arrays.isMovable[frame] = true }
        }
      } else {
        let block = held.remove(at: random.below(held.count))
        try machine.freePages(PFN(block.pfn), order: block.order)
        arrays.giveBack(block.pfn, order: block.order)
      }
      let difference = arrays.difference(from: machine, zone: zone)
      try #require(difference == nil, "seed \(seed), step \(step)")
    }
  }

  @Test(
    "A3.1 to A3.25: every order, below the per-CPU lists", arguments: Seeds.list(101...116))
  func everyOrder(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let kernel = seed % 2 == 0 ? Kernel.v6_12 : .v6_12_0
    let cma = seed % 3 == 0 ? PFNRange(8192, 10240) : nil
    var machine = try Machine.restore(image(kernel, cma: cma, index: .dma32, threshold: 2))
    let zone = ZoneIndex.dma32.rawValue
    var arrays = ListBuddy(machine, zone: zone)
    var held: [Held] = []
    for step in 0..<Seeds.steps(500) {
      if held.isEmpty || random.below(10) < (step / 125 % 2 == 0 ? 7 : 3) {
        let order = random.below(11)
        let type = [MigrateType.unmovable, .movable, .reclaimable][random.below(3)]
        let avoids = random.below(4) == 0
        var flags: AllocationFlags = type == .movable ? [.cma] : []
        if avoids { flags.insert(.noFragment) }
        var mode = Machine.TakeMode.normal
        let real = machine.take(zone, order: order, type, flags, mode: &mode)
        let naive = arrays.take(
          order: order, type, cma: type == .movable, noFragment: avoids)
        try #require(real?.index == naive, "seed \(seed), step \(step): order \(order) \(type)")
        guard let pfn = real else { continue }
        var state = FrameState(.allocated, order: order)
        state.isLRU = type == .movable && random.below(2) == 0
        machine.frames.setHead(pfn, state)
        for frame in pfn.index..<pfn.index + 1 << order { arrays.isMovable[frame] = state.isLRU }
        held.append(Held(pfn: pfn.index, order: order))
      } else {
        let block = held.remove(at: random.below(held.count))
        machine.frames.clearHead(PFN(block.pfn), order: block.order)
        machine.freeOnePage(zone, PFN(block.pfn), order: block.order)
        arrays.giveBack(block.pfn, order: block.order)
      }
      let difference = arrays.difference(from: machine, zone: zone)
      try #require(difference == nil, "seed \(seed), step \(step)")
    }
    #expect(machine.check() == nil)
  }
}

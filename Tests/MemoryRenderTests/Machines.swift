import MemoryModel

/// The machines that the goldens show, each made by the same few steps on every run.
enum Machines {
  /// A booted x86_64 machine.
  static func booted(
    _ sizes: [Int], cma: Int = 0, movable: Int = 0, cpus: Int = 1, hasCMA: Bool = true
  ) throws -> Machine {
    var configuration = MachineConfiguration()
    configuration.cpuNodes = (0..<cpus).map { $0 % sizes.count }
    configuration.hasCMA = hasCMA
    try configuration.layOut(bytesPerNode: sizes)
    if cma > 0 {
      configuration.cmaAreas = [.init(name: "reserved", pages: cma >> 12)]
    }
    if movable > 0 { configuration.movablecore = .pages(movable >> 12) }
    return try Machine.boot(configuration)
  }

  /// 5 GiB with 256 MiB of CMA, used by small kernel blocks and by user blocks of all sizes.
  static func busy() throws -> Machine {
    var machine = try booted([5 << 30], cma: 256 << 20, cpus: 2)
    var random = SplitMix64(seed: 7)
    var held: [(pfn: PFN, order: Int)] = []
    for _ in 0..<6000 {
      let order = random.below(8) == 0 ? 9 : random.below(4)
      let gfp: GFPFlags = random.below(4) == 0 ? .kernel : .highUserMovable
      if let pfn = machine.allocatePages(order: order, gfp: gfp).pfn { held.append((pfn, order)) }
      if random.below(3) == 0 && !held.isEmpty {
        let block = held.remove(at: random.below(held.count))
        try machine.freePages(block.pfn, order: block.order)
      }
    }
    return machine
  }
}

import MemoryModel
import ModelTesting
import Testing

/// Long seeded runs on machines of many shapes.
///
/// `PINLAB_SEED=n` repeats one, `PINLAB_STEPS=n` makes it longer.
@Suite struct RandomRunTests {
  enum Shape: String, CaseIterable, Sendable {
    case plain, firstKernel, movableZone, cma, cmaHalf, smp, numa, numaMovable, ppc64, tiny
    case threshold, noCMAConfig
  }

  static func machine(_ shape: Shape) throws -> Machine {
    var configuration = MachineConfiguration()
    let mib = 1 << 20
    switch shape {
    case .plain: try configuration.layOut(bytesPerNode: [32 * mib])
    case .firstKernel:
      configuration.kernel = .v6_12_0
      try configuration.layOut(bytesPerNode: [32 * mib])
    case .movableZone:
      try configuration.layOut(bytesPerNode: [48 * mib])
      configuration.movablecore = .pages(16 * mib >> 12)
    case .cma:
      try configuration.layOut(bytesPerNode: [40 * mib])
      configuration.cmaAreas = [.init(name: "reserved", pages: 2048)]
    case .cmaHalf:
      configuration.kernel = .v6_12_0
      try configuration.layOut(bytesPerNode: [48 * mib])
      configuration.cmaAreas = [
        .init(name: "one", pages: 3584), .init(name: "two", pages: 1536),
      ]
    case .smp:
      try configuration.layOut(bytesPerNode: [48 * mib])
      configuration.cpuNodes = [0, 0, 0, 0]
      configuration.freeHighBatch = false
    case .numa:
      try configuration.layOut(bytesPerNode: [24 * mib, 24 * mib, 16 * mib])
      configuration.cpuNodes = [0, 1, 1]
    case .numaMovable:
      try configuration.layOut(bytesPerNode: [32 * mib, 32 * mib])
      configuration.cpuNodes = [0, 1]
      configuration.kernelcore = .percent(50)
      configuration.cmaAreas = [.init(name: "reserved", pages: 1024, base: 0x1000)]
    case .ppc64:
      configuration.geometry = .ppc64
      try configuration.layOut(bytesPerNode: [256 * mib, 256 * mib])
      configuration.cpuNodes = [0, 0, 1]
      configuration.cmaAreas = [.init(name: "reserved", pages: 512)]
    case .tiny: try configuration.layOut(bytesPerNode: [4 * mib])
    case .threshold:
      // Enough memory for a HIGHATOMIC reserve: a hundredth is more than a pageblock (A3.29).
      try configuration.layOut(bytesPerNode: [256 * mib])
    case .noCMAConfig:
      configuration.hasCMA = false
      try configuration.layOut(bytesPerNode: [24 * mib])
    }
    return try Machine.boot(configuration)
  }

  @Test(
    "AI.1 to AI.8, AI.11 to AI.14, AI.19, AI.20, AI.23: random operations",
    arguments: Shape.allCases)
  func randomOperations(shape: Shape) throws {
    var refusals = 0
    let seeds = Seeds.list(1...6)
    for seed in seeds {
      var run = RandomRun(try Self.machine(shape), seed: seed)
      let broken = try run.run(steps: Seeds.steps(1000), interval: 50)
      #expect(broken == nil, "\(shape.rawValue)")
      refusals += run.refusals
    }
    // Otherwise the machine is too large for the steps, and the edge was never tested.
    #expect(refusals > 0 || seeds.count == 1)
  }
}

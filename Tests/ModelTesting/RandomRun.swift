public import MemoryModel

/// Seeded random operations on a machine, with the naive model beside it.
public struct RandomRun: ~Copyable {
  public private(set) var machine: Machine
  public private(set) var oracle: FrameOracle
  private var random: SplitMix64
  private let seed: UInt64
  /// Refusals so far, the injected ones apart: a run without any never saw the edge.
  public private(set) var refusals = 0
  public private(set) var allocations = 0

  public init(_ machine: consuming Machine, seed: UInt64) {
    oracle = FrameOracle(machine)
    self.machine = machine
    self.seed = seed
    random = SplitMix64(seed: seed)
  }

  private static let requests: [GFPFlags] = [
    .kernel, .kernel, .plain, .plainMovable, .plainMovable, .highUserMovable, .highUserMovable,
    .plainReclaimable, .atomic, [.atomic, .noMemalloc], [.kernel, .movable], [.kernel, .dma],
    [.kernel, .dma32], [.kernel, .memalloc], [.kernel, .thisNode], .transHuge, .noWait,
  ]

  /// Runs `steps` operations.
  ///
  /// - Parameter interval: Steps between two comparisons of every frame.
  /// - Returns: What went wrong, with seed, step and operation; nil if nothing did.
  public mutating func run(
    steps: Int, interval: Int
  ) throws(MemoryError) -> String? {
    for step in 0..<steps {
      // Fill up and empty in turn.
      let phase = max(1, steps / 8)
      let fills = step / phase % 2 == 0
      var broken = fills && step % phase == 0 ? grabMost() : nil
      let operation = try self.step(fills: fills)
      broken = broken ?? operation.broken
      if broken == nil, step % interval == interval - 1 || step == steps - 1 {
        broken = machine.check() ?? oracle.difference(from: machine)
      }
      if let broken { return "seed \(seed), step \(step), \(operation.name): \(broken)" }
    }
    return nil
  }

  /// Takes large blocks until a few pages are left, so that a run soon works at the watermarks.
  private mutating func grabMost() -> String? {
    while true {
      let free = machine.populatedZones.reduce(0) { $0 + machine.freePagesSnapshot($1) }
      if free < 1500 { return nil }
      let order = machine.geometry.maxOrder - random.below(4)
      let gfp: GFPFlags = random.below(3) == 0 ? .plain : .plainMovable
      guard let pfn = machine.allocatePages(order: order, gfp: gfp).pfn else { return nil }
      if let broken = oracle.take(pfn.index, order: order, gfp, from: machine) { return broken }
    }
  }

  private mutating func step(
    fills: Bool
  ) throws(MemoryError) -> (name: String, broken: String?) {
    let kind = random.below(1000)
    switch kind {
    case 0..<920:
      if oracle.held.isEmpty || random.below(100) < (fills ? 90 : 25) { return allocate() }
      return ("free", try free())
    case 920..<950:
      machine.run(onCPU: random.below(machine.cpuCount))
      return ("run(onCPU: \(machine.currentCPU))", nil)
    case 950..<960:
      machine.drainAllPages()
      let left = machine.populatedZones.first { zone in
        (0..<machine.cpuCount).contains { machine.perCPUPages(zone: zone, cpu: $0).count != 0 }
      }
      return ("drainAllPages", left.map { "AI.14: zone \($0) still has per-CPU pages" })
    case 960..<970:
      let zones = machine.populatedZones
      machine.drainAllPages(zone: zones[random.below(zones.count)])
      return ("drainAllPages(zone:)", nil)
    case 970..<980:
      machine.runStatisticsWorker(cpu: random.below(machine.cpuCount))
      return ("runStatisticsWorker", nil)
    case 980..<985:
      machine.foldStatistics(cpu: random.below(machine.cpuCount))
      return ("foldStatistics", nil)
    case 985..<990:
      let cpu = random.below(machine.cpuCount)
      machine.drainLRU(cpu: cpu)
      oracle.leaveLRUBatch(cpu: cpu)
      return ("drainLRU", nil)
    case 990..<994:
      machine.failAllocation = 1 + random.below(3)
      return ("failAllocation", nil)
    default: return (try writeSetting(), nil)
    }
  }

  private mutating func allocate() -> (name: String, broken: String?) {
    let limit = machine.geometry.maxOrder
    let order: Int
    switch random.below(16) {
    case 0..<9: order = 0
    case 9..<13: order = 1 + random.below(3)
    case 13: order = min(limit, 4 + random.below(5))
    case 14: order = machine.geometry.pageblockOrder
    default: order = random.below(limit + 1)
    }
    let gfp = Self.requests[random.below(Self.requests.count)]
    let pins = random.below(8) == 0
    let filtered = pins ? gfp.subtracting(.movable) : gfp
    // A run of requests, as a task that faults in memory makes them.
    let count = order == 0 ? 1 + random.below(40) : 1
    let name = "allocate(order: \(order), \(filtered.description))"
    for _ in 0..<count {
      let result = machine.allocatePages(order: order, gfp: gfp, inPinScope: pins)
      guard let pfn = result.pfn else {
        if case .refused(let refusal) = result, refusal.rule != "H18" { refusals += 1 }
        break
      }
      allocations += 1
      if let broken = oracle.take(pfn.index, order: order, filtered, from: machine) {
        return (name, broken)
      }
      if filtered.contains(.movable), random.below(2) == 0 {
        let cpu = machine.currentCPU
        machine.addToLRU(pfn)
        if machine.lruBatch(cpu: cpu).isEmpty {
          oracle.leaveLRUBatch(cpu: cpu)
        } else {
          oracle.setLRU(at: oracle.held.count - 1, cpu: cpu)
        }
      }
    }
    return (name, nil)
  }

  private mutating func free() throws(MemoryError) -> String? {
    for _ in 0..<1 + random.below(30) where !oracle.held.isEmpty {
      let block = oracle.giveBack(at: random.below(oracle.held.count))
      if let cpu = block.lruCPU {
        machine.drainLRU(cpu: cpu)
        oracle.leaveLRUBatch(cpu: cpu)
      }
      try machine.freePages(PFN(block.pfn), order: block.order)
    }
    return nil
  }

  private mutating func writeSetting() throws(MemoryError) -> String {
    let choices: [(Sysctl, [String])] = [
      (.minFreeKbytes, ["128", "1024", "4096"]),
      (.watermarkScaleFactor, ["10", "1", "200"]),
      (.percpuPagelistHighFraction, ["0", "8", "64"]),
      (.lowmemReserveRatio, ["256 256 32 0 0", "1 1 1", "0"]),
    ]
    let (setting, values) = choices[random.below(choices.count)]
    let value = values[random.below(values.count)]
    if random.below(4) == 0 {
      machine.setTransparentHugePages(random.below(2) == 0)
      return "setTransparentHugePages"
    }
    try machine.write(setting, value)
    return "\(setting.rawValue) = \(value)"
  }
}

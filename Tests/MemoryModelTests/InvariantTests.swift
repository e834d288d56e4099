import ModelTesting
import Testing

@testable import MemoryModel

/// The invariants AI.14 to AI.23 that speak of an operation rather than of a state.
@Suite struct InvariantTests {
  private func machine(cma: Bool = false, _ kernel: Kernel = .v6_12) throws -> Machine {
    var configuration = MachineConfiguration()
    configuration.kernel = kernel
    try configuration.layOut(bytesPerNode: [40 << 20])
    configuration.movablecore = .pages(2048)
    if cma { configuration.cmaAreas = [.init(name: "reserved", pages: 1024)] }
    return try Machine.boot(configuration)
  }

  private func freeFrames(_ machine: borrowing Machine) -> (frames: Set<Int>, blocks: Set<[Int]>) {
    var frames: Set<Int> = []
    var blocks: Set<[Int]> = []
    for zone in machine.populatedZones {
      for order in 0...machine.geometry.maxOrder {
        for type in MigrateType.allCases {
          for pfn in machine.freeBlocks(zone, order: order, type) {
            blocks.insert([pfn, order])
            frames.formUnion(pfn..<pfn + 1 << order)
          }
        }
      }
    }
    return (frames, blocks)
  }

  @Test("AI.14: a drain leaves nothing on any CPU's lists, and loses nothing")
  func drain() throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [48 << 20])
    configuration.cpuNodes = [0, 0, 0]
    var machine = try Machine.boot(configuration)
    let zone = ZoneIndex.dma32.rawValue
    for cpu in 0..<3 {
      machine.run(onCPU: cpu)
      for order in [9, 3, 1, 0] {
        try machine.free(machine.allocate(3, order: order, .highUserMovable), order: order)
        try machine.free(machine.allocate(3, order: order, .kernel), order: order)
      }
      #expect(machine.perCPUPages(zone: zone, cpu: cpu).count > 0)
    }
    machine.run(onCPU: 1)
    machine.drainAllPages()
    for cpu in 0..<3 {
      #expect(machine.perCPUPages(zone: zone, cpu: cpu).count == 0)
      for list in 0..<PerCPUPages.listCount {
        #expect(machine.perCPUBlocks(zone, cpu: cpu, list: list).isEmpty)
      }
    }
    #expect(machine.currentCPU == 1)
    #expect(machine.check() == nil)
  }

  @Test("AI.15: allocate anything, free all, drain: the same blocks are free")
  func roundTrip() throws {
    for seed in Seeds.list(1...8) {
      for cma in [false, true] {
        var machine = try machine(cma: cma, seed % 2 == 0 ? .v6_12 : .v6_12_0)
        machine.drainAllPages()
        let before = freeFrames(machine)
        var random = SplitMix64(seed: seed)
        var held: [(pfn: Int, order: Int)] = []
        for _ in 0..<Seeds.steps(800) {
          let order = random.below(4) == 0 ? random.below(11) : 0
          let gfp: [GFPFlags] = [.kernel, .highUserMovable, .plainReclaimable]
          if let pfn = machine.allocatePages(order: order, gfp: gfp[random.below(3)]).pfn {
            held.append((pfn.index, order))
          }
        }
        while !held.isEmpty {
          let block = held.remove(at: random.below(held.count))
          try machine.freePages(PFN(block.pfn), order: block.order)
        }
        machine.drainAllPages()
        let after = freeFrames(machine)
        #expect(after.frames == before.frames, "seed \(seed), cma \(cma)")
        if !cma { #expect(after.blocks == before.blocks, "seed \(seed)") }
        #expect(machine.check() == nil)
      }
    }
  }

  @Test("AI.16: a refusal changes no list and no pageblock", arguments: [Kernel.v6_12, .v6_12_0])
  func refusal(kernel: Kernel) throws {
    for seed in Seeds.list(1...6) {
      var machine = try machine(cma: seed % 2 == 0, kernel)
      var random = SplitMix64(seed: seed)
      var held: [(pfn: Int, order: Int)] = []
      var refusals = 0
      let requests: [GFPFlags] = [
        .plain, .plainMovable, .plainReclaimable, .atomic, .kernel, [.kernel, .memalloc],
      ]
      for step in 0..<1500 {
        let gfp = requests[random.below(requests.count)]
        let order = random.below(11)
        let before = ListSnapshot(machine)
        if let pfn = machine.allocatePages(order: order, gfp: gfp).pfn {
          held.append((pfn.index, order))
        } else {
          refusals += 1
          let changed = ListSnapshot(machine).difference(from: before)
          try #require(changed == nil, "seed \(seed), step \(step), order \(order)")
        }
        if step % 3 == 0, held.count > 20 {
          let block = held.remove(at: random.below(held.count))
          try machine.freePages(PFN(block.pfn), order: block.order)
        }
        if refusals > 150 { break }
      }
      #expect(refusals > 50)
      #expect(machine.check() == nil)
    }
  }

  @Test("AI.20: smallest() gives the lowest part of the head block", arguments: 0...10)
  func lowestPart(order: Int) throws {
    var machine = try Machine.restore(.single(pages: 4096))
    let zone = ZoneIndex.dma32.rawValue
    for _ in 0..<3 {
      var head: Int?
      for current in order...10 where head == nil {
        head = machine.freeBlocks(zone, order: current, .movable).first
      }
      let pfn = machine.takeSmallest(zone, order: order, .movable)
      #expect(pfn?.index == head)
    }
  }

  @Test("AI.22: requests change pageblocks only among the three per-CPU types")
  func pageblockTypes() throws {
    for seed in Seeds.list(1...6) {
      var machine = try machine(cma: true, seed % 2 == 0 ? .v6_12 : .v6_12_0)
      var random = SplitMix64(seed: seed)
      var types = ListSnapshot(machine).types
      let cma = types.count { $0 == .cma }
      #expect(cma == 2)
      var changes = 0
      for step in 0..<1000 {
        let gfp: [GFPFlags] = [.kernel, .plainMovable, .plainReclaimable]
        _ = machine.allocatePages(order: random.below(8), gfp: gfp[random.below(3)])
        let now = ListSnapshot(machine).types
        for (old, new) in zip(types, now) where old != new {
          changes += 1
          #expect(old.isMergeable && new.isMergeable, "seed \(seed), step \(step)")
        }
        types = now
      }
      #expect(changes > 0)
      // AI.10: the CMA pageblocks are those of boot.
      #expect(types.count { $0 == .cma } == cma)
    }
  }

  @Test("AI.23: zone Movable serves movable requests alone, and its pageblocks stay Movable")
  func movableZone() throws {
    var machine = try machine()
    let movable = machine.zone(ZoneIndex.movable.rawValue).range
    #expect(movable.count > 0)
    let requests: [GFPFlags] = [.kernel, [.kernel, .movable], .plainReclaimable, .highUserMovable]
    var inside = [0, 0, 0, 0]
    for step in 0..<4000 {
      guard let pfn = machine.allocatePages(order: step / 4 % 4, gfp: requests[step % 4]).pfn else {
        continue
      }
      if movable.contains(pfn) { inside[step % 4] += 1 }
    }
    #expect(inside[0] == 0 && inside[1] == 0 && inside[2] == 0)
    #expect(inside[3] > 100)
    for at in stride(from: movable.start, to: movable.end, by: 512) {
      #expect(machine.frames.migrateType(PFN(at)) == .movable)
    }
    // PF_MEMALLOC_PIN takes the same request out of the zone (A2.5).
    let pinned = machine.allocatePages(order: 0, gfp: .highUserMovable, inPinScope: true).pfn
    if let pinned { #expect(!movable.contains(pinned)) }
  }
}

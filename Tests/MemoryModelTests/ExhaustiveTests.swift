import MemoryModel
import ModelTesting
import Testing

/// Every sequence of a few operations on tiny machines, each step compared with the naive model.
@Suite struct ExhaustiveTests {
  /// Runs every sequence of allocations, frees and drains.
  ///
  /// - Returns: The number of sequences.
  private func visitAll(
    steps: Int, orders: [Int], _ requests: [GFPFlags], _ make: () throws -> Machine
  ) throws -> Int {
    let blank = try make()
    var runs = 0
    // Shorter sequences first: the first failure is the shortest, and only last steps need a look.
    for length in 1...steps { runs += try visitAll(blank, length, orders, requests) }
    return runs
  }

  private func visitAll(
    _ blank: borrowing Machine, _ steps: Int, _ orders: [Int], _ requests: [GFPFlags]
  ) throws -> Int {
    try forEveryChoice { choices in
      var machine = try blank.fork()
      var oracle = FrameOracle(machine)
      for step in 1...steps {
        let kinds = orders.count * requests.count
        let choice = choices.choose(below: kinds + oracle.held.count + 1)
        if choice < kinds {
          let order = orders[choice / requests.count]
          let gfp = requests[choice % requests.count]
          let before = step == steps ? ListSnapshot(machine) : nil
          let result = machine.allocatePages(order: order, gfp: gfp)
          if let pfn = result.pfn {
            let broken = oracle.take(pfn.index, order: order, gfp, from: machine)
            try #require(broken == nil, "\(choices.description)")
          } else if let before {
            // AI.16: a refusal leaves every list and every pageblock as it was.
            let changed = ListSnapshot(machine).difference(from: before)
            try #require(changed == nil, "\(choices.description)")
          }
        } else if choice < kinds + oracle.held.count {
          let block = oracle.giveBack(at: choice - kinds)
          try machine.freePages(PFN(block.pfn), order: block.order)
        } else {
          machine.drainAllPages()
        }
      }
      let broken = machine.check() ?? oracle.difference(from: machine)
      try #require(broken == nil, "\(choices.description)")
    }
  }

  @Test("One zone of 2,048 frames, kernel and movable requests of orders 0, 9 and 10")
  func oneZone() throws {
    let runs = try visitAll(steps: 4, orders: [0, 9, 10], [.plain, .plainMovable]) {
      var image = MachineImage.single(pages: 2048)
      image.zones[0].perCPU[0].highMax = 64
      return try Machine.restore(image)
    }
    #expect(runs > 2000)
  }

  @Test("Half of the zone is CMA: orders 3 and 9")
  func cmaHalf() throws {
    let runs = try visitAll(steps: 4, orders: [3, 9], [.plain, .plainMovable, .plainReclaimable]) {
      try Machine.restore(.single(pages: 2048, cma: PFNRange(5120, 6144)))
    }
    #expect(runs > 2000)
  }

  @Test("The fallback of 6.12.0, around half a pageblock")
  func firstKernel() throws {
    let runs = try visitAll(steps: 4, orders: [7, 8], [.plain, .plainMovable, .plainReclaimable]) {
      var image = MachineImage.single(pages: 1024, kernel: .v6_12_0)
      image.settings.watermarkBoostFactor = 0
      return try Machine.restore(image)
    }
    #expect(runs > 2000)
  }

  @Test("A1.12: a machine of 1 MiB, whose types are not kept apart")
  func tinyMachine() throws {
    let runs = try visitAll(steps: 4, orders: [0, 3, 5], [.kernel, .plainMovable]) {
      var configuration = MachineConfiguration()
      try configuration.layOut(bytesPerNode: [1 << 20])
      return try Machine.boot(configuration)
    }
    #expect(runs > 2000)
  }

  @Test("One largest block of ppc64 beside a second one: orders 0, 3 and 8")
  func ppc64() throws {
    let runs = try visitAll(steps: 4, orders: [0, 3, 8], [.kernel, .plainMovable]) {
      var configuration = MachineConfiguration()
      configuration.geometry = .ppc64
      configuration.nodes = [.init(memory: [PFNRange(0, 512)])]
      return try Machine.boot(configuration)
    }
    #expect(runs > 2000)
  }

  @Test("The choices visit every combination once")
  func everyCombination() {
    var seen: [[Int]] = []
    let runs = forEveryChoice { choices in
      let first = choices.choose(below: 3)
      seen.append([first, first == 1 ? choices.choose(below: 2) : 0])
    }
    #expect(runs == 4)
    #expect(seen == [[0, 0], [1, 0], [1, 1], [2, 0]])
  }
}

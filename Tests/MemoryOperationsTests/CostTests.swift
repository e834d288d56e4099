@testable import MemoryModel
import MemoryOperations
import ModelTesting
import Testing

/// What operations count must be what rules P8.1 to P8.8 say, design by design.
@Suite struct CostTests {
  /// `small` tables of 4 KiB pages followed by `huge` PMD leaves, nothing to migrate.
  private func guest(small: Int, huge: Int) throws -> PinningProcess {
    var process = try PinningProcess(megabytes: 256, cma: 0, thp: true)
    let start = try process.machine.mapArea(
      process.id, start: 0x7f000_0000, pages: (small + huge) * 512, [.read, .write], .anonymous
    ).get()
    _ = try process.machine.advise(process.id, start..<start + small * 512, .noHugePage).get()
    let run = process.machine.faultRange(process.id, start..<start + (small + huge) * 512, .write)
    try #require(run.done == (small + huge) * 512)
    process.machine.drainAllLRU()
    return process
  }

  private let start = 0x7f000_0000

  /// Pins the whole guest in calls of `batch` pages and unpins it; the sum of what was counted.
  private func costs(
    _ process: inout PinningProcess, pages: Int, batch: Int, fast: Bool
  ) throws -> OperationCosts {
    var sum = OperationCosts()
    var pins: [Int] = []
    for page in stride(from: start, to: start + pages, by: batch) {
      let outcome = try process.pin(page, min(batch, start + pages - page), fast: fast)
      sum += outcome.costs
      pins.append(try #require(outcome.pin))
    }
    for pin in pins {
      guard let record = process.machine.pin(pin) else { continue }
      var unpin = UnpinOperation(pin: record, dirty: false)
      sum += unpin.run(&process.machine) ?? OperationCosts()
    }
    return sum
  }

  @Test(
    "P8.2: designs D1, D4, D5 and D6 at several shares of huge leaves and sizes of a call",
    arguments: [(4, 0), (0, 4), (2, 3), (1, 1)], [512, 1024, 1 << 20])
  func designs(shape: (small: Int, huge: Int), batch: Int) throws {
    let pages = (shape.small + shape.huge) * 512
    let small = shape.small * 512
    let leaves = shape.huge
    let hugePages = leaves * 512
    let calls = (pages + batch - 1) / batch
    let context: Comment = "\(shape), \(batch) pages a call"

    var process = try guest(small: shape.small, huge: shape.huge)
    let d5 = try costs(&process, pages: pages, batch: batch, fast: false)
    #expect(d5.calls == calls && d5.walks == small + leaves, context)
    #expect(d5.entryReads == 4 * (small + leaves), context)
    #expect(d5.pinAtomics == small + 4 * leaves, context)
    #expect(d5.arrayWrites == pages && d5.rescanReads == pages, context)
    #expect(d5.lookups == small + leaves && d5.unpinAtomics == small + 2 * leaves, context)

    let d6 = try costs(&process, pages: pages, batch: batch, fast: true)
    #expect(d6.calls == calls && d6.walks == 0, context)
    #expect(d6.entryReads == 3 * small + small / 512 + 2 * leaves + 2 * calls, context)
    #expect(d6.pinAtomics == 2 * small + 2 * leaves, context)
    #expect(d6.arrayWrites == pages && d6.rescanReads == 0, context)
    #expect(d6.lookups == small + leaves && d6.unpinAtomics == small + 2 * leaves, context)

    var kernel = process.machine.kernel
    kernel.pinning.slowBatch = false
    kernel.pinning.scan = .headCompare
    process.machine.setKernel(kernel)
    let d4 = try costs(&process, pages: pages, batch: batch, fast: false)
    #expect(d4.walks == pages && d4.entryReads == 4 * pages, context)
    #expect(d4.pinAtomics == small + 2 * hugePages, context)
    #expect(d4.arrayWrites == pages && d4.rescanReads == pages, context)
    #expect(d4.lookups == small + leaves && d4.unpinAtomics == small + 2 * leaves, context)
  }

  @Test("P8.2 D1: one page a call")
  func pageAtATime() throws {
    var process = try guest(small: 1, huge: 1)
    let d1 = try costs(&process, pages: 1024, batch: 1, fast: false)
    #expect(d1.calls == 1024 && d1.walks == 1024 && d1.entryReads == 4096)
    #expect(d1.pinAtomics == 512 + 2 * 512 && d1.unpinAtomics == 512 + 2 * 512)
    #expect(d1.arrayWrites == 1024 && d1.rescanReads == 1024 && d1.lookups == 1024)
  }

  @Test("P8.3: a round that had to move something costs its pages twice, and their unpinning")
  func extraRound() throws {
    var process = try PinningProcess(megabytes: 256, cma: 128)
    let start = try process.populatedInCMA(64)
    let outcome = try process.pin(start, 64)
    #expect(outcome.costs.rounds == 2 && outcome.costs.walks == 128)
    #expect(outcome.costs.pinAtomics == 128 && outcome.costs.unpinAtomics == 64)
    #expect(outcome.costs.migratedPages == 64)
  }

  @Test(
    "Many calls in one operation count and leave what single calls do",
    arguments: ["4.2", "5.1", "5.3", "5.10", "5.13", "6.6", "6.12", "integrated", "scatter"],
    [1, 7, 300, 512])
  func chunks(name: String, chunk: Int) throws {
    var kernel = Kernel.named(name) ?? .v6_12
    if name == "integrated" { kernel.pinning.walker = .integrated }
    if name == "scatter" { kernel.pinning.output = .scatter }
    for fast in [false, true] {
      let context: Comment = "\(name), \(chunk) pages a call, fast: \(fast)"
      var together = try guest(small: 1, huge: 2)
      together.machine.setKernel(kernel)
      var stepped = try guest(small: 1, huge: 2)
      stepped.machine.setKernel(kernel)
      let request = PinRequest(
        space: together.id, startPage: start, pages: 1500, flags: [.write, .longTerm],
        entryPoint: fast ? .fast : .remote, callPages: chunk)
      var pin = Pin(request)
      pin.run(&together.machine)
      var steps = Pin(request)
      while steps.advance(&stepped.machine, .step) == .running {}
      let outcome = try #require(pin.outcome)
      let other = try #require(steps.outcome)
      #expect(outcome.pages == 1500 && other.pages == 1500, context)
      #expect(outcome.costs == other.costs, context)
      let problem = together.machine.checkMemory()
      #expect(problem == nil, context)
      for page in stride(from: start, to: start + 1500, by: 97) {
        let pfn = together.machine.entry(together.id, page: page).entry.pfn
        let same = stepped.machine.entry(stepped.id, page: page).entry.pfn
        #expect(pfn == same, context)
        guard let folio = together.machine.folio(of: pfn) else { continue }
        let references = together.machine.references(folio)
        let others = stepped.machine.references(folio)
        #expect(references == others, context)
      }
    }
  }
}

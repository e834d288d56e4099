@testable import MemoryModel
import MemoryOperations
import ModelTesting
import Testing

@Suite struct PinTests {
  @Test("S1.1, P1.6: 64 pages in CMA move before the pin returns")
  func basicMove() throws {
    var process = try PinningProcess()
    let start = try process.populatedInCMA(64)
    let before = Deltas(process.machine)
    let pinned = try process.pin(start, 64)
    #expect(pinned.pages == 64 && pinned.refusal == nil)
    #expect(process.inCMA(start, 64) == 0)
    #expect(before("pgmigrate_success", process.machine) == 64)
    #expect(before("nr_foll_pin_acquired", process.machine) == 128)
    #expect(before("nr_foll_pin_released", process.machine) == 64)
    #expect(pinned.costs.rounds == 2)
    #expect(process.sound == nil)
  }

  @Test("P3.1: no pinned page lies in CMA, also where a pageblock is not 512 pages")
  func smallPageblocks() throws {
    var configuration = MachineConfiguration()
    configuration.geometry = .ppc64
    try configuration.layOut(bytesPerNode: [256 << 20])
    configuration.cmaAreas = [.init(name: "reserved", pages: 2560)]
    var machine = try Machine.boot(configuration)
    let created = machine.createSpace(name: "vm0")
    let space = try #require(created)
    let pages = 1200
    let start = try machine.mapArea(space, pages: pages, [.read, .write], .anonymous).get()
    let run = machine.faultRange(space, start..<start + pages, .write)
    try #require(run.done == pages)
    var pin = Pin(
      PinRequest(
        space: space, startPage: start, pages: pages, flags: [.write, .longTerm],
        entryPoint: .fast))
    let outcome = try finish(&pin, &machine)
    #expect(outcome.pages == pages && outcome.costs.migratedPages > 0)
    for page in start..<start + pages {
      let shown = machine.frame(space, page: page)
      let pfn = try #require(shown)
      #expect(machine.frames.migrateType(pfn) != .cma, "page \(page - start)")
    }
    let broken = machine.check() ?? machine.checkMemory()
    #expect(broken == nil)
  }

  @Test("S1.20, P4.32: one reference too many: ENOMEM, the other 63 have moved, nothing is pinned")
  func heldPage() throws {
    var process = try PinningProcess()
    let start = try process.populatedInCMA(64)
    let shown = process.machine.frame(process.id, page: start + 3)
    let held = try #require(shown)
    let taken = process.machine.takeTemporaryReference(held, holder: "test")
    let reference = try #require(taken)
    let before = Deltas(process.machine)
    let pinned = try process.pin(start, 64)
    #expect(pinned.pages == 0 && pinned.refusal?.errno == .ENOMEM)
    #expect(pinned.stuck == [held])
    #expect(before("pgmigrate_success", process.machine) == 63)
    #expect(before("pgmigrate_fail", process.machine) == 1)
    #expect(process.inCMA(start, 64) == 1)
    #expect(process.machine.pins.isEmpty)
    process.machine.putTemporaryReference(reference)
    let again = try process.pin(start, 64)
    #expect(again.pages == 64)
    #expect(before("pgmigrate_success", process.machine) == 64)
    #expect(process.sound == nil)
  }

  @Test("S4.8: a reference that goes after attempt t lets the pin succeed while t <= 9")
  func retries() throws {
    let template = try { () throws -> PinningProcess in
      var process = try PinningProcess()
      _ = try process.populatedInCMA(1)
      return process
    }()
    let areas = template.machine.spaces[template.id].areas
    let area = try #require(areas.last)
    for attempt in 1...10 {
      var process = try PinningProcess(template)
      let shown = process.machine.frame(process.id, page: area.start)
      let held = try #require(shown)
      let taken = process.machine.takeTemporaryReference(held, holder: "test")
      let reference = try #require(taken)
      var pin = Pin(
        PinRequest(
          space: process.id, startPage: area.start, pages: 1, flags: [.write, .longTerm]))
      // Every attempt compares the references once (m6).
      var attempts = 0
      while true {
        let isAttempt = pin.nextStep(process.machine).id == "m6"
        if pin.advance(&process.machine, .step) == .finished { break }
        if isAttempt && pin.nextStep(process.machine).id != "m7" {
          attempts += 1
          if attempts == attempt { process.machine.putTemporaryReference(reference) }
        }
      }
      #expect((pin.outcome?.pages == 1) == (attempt <= 9), "released after attempt \(attempt)")
      #expect(attempts == (attempt <= 9 ? attempt : 10))
      #expect(process.sound == nil)
    }
  }

  @Test("P1.26, P4.6: locked pages move and stay on the unevictable list", arguments: [1, 31, 70])
  func lockedPages(pages: Int) throws {
    var process = try PinningProcess(cpus: 2)
    let start = try process.populatedInCMA(pages)
    try process.machine.mlock(process.id, start..<start + pages).get()
    process.machine.drainAllLRU()
    #expect(process.machine.lruCount(node: 0, .unevictable) == pages)
    let pinned = try process.pin(start, pages)
    #expect(pinned.pages == pages && process.inCMA(start, pages) == 0)
    #expect(process.sound == nil)
    process.machine.drainAllLRU()
    #expect(process.machine.lruCount(node: 0, .unevictable) == pages)
    #expect(process.sound == nil)
  }

  @Test("S1.15: one page of a THP in CMA is pinned, and the THP moves whole")
  func partOfTHP() throws {
    var process = try PinningProcess(megabytes: 1024, cma: 512, thp: true)
    let start = try process.populatedInCMA(512)
    let before = Deltas(process.machine)
    let pinned = try process.pin(start + 100, 1)
    #expect(pinned.pages == 1)
    #expect(before("pgmigrate_success", process.machine) == 512)
    #expect(before("thp_migration_success", process.machine) == 1)
    #expect(process.machine.entry(process.id, page: start).level == .pmd)
    #expect(process.sound == nil)
  }

  @Test("S5.7: of three THPs the held one stays, the outer ones move")
  func outerOnesMove() throws {
    var process = try PinningProcess(megabytes: 1024, cma: 512, thp: true)
    let start = try process.populatedInCMA(1536)
    let shown = process.machine.frame(process.id, page: start + 512)
    let held = try #require(shown)
    _ = process.machine.takeTemporaryReference(held, holder: "test")
    let before = Deltas(process.machine)
    let pinned = try process.pin(start, 1536)
    #expect(pinned.pages == 0 && pinned.refusal?.errno == .ENOMEM)
    #expect(before("pgmigrate_success", process.machine) == 1024)
    #expect(before("pgmigrate_fail", process.machine) == 512)
    #expect(before("thp_migration_success", process.machine) == 2)
    #expect(before("thp_migration_fail", process.machine) == 1)
    #expect(before("thp_split_page_failed", process.machine) == 0)
    #expect(process.inCMA(start, 1536) == 512)
    #expect(process.sound == nil)
  }

  @Test("P4.32, S4.5: no block for a held THP: ten split attempts, all in vain")
  func heldTHPWithoutDestination() throws {
    for isHeld in [true, false] {
      var process = try PinningProcess(megabytes: 1024, cma: 512, thp: true)
      let start = try process.populatedInCMA(512)
      // Pages of the THP that were written are kept by a split (rule P4.21).
      _ = process.machine.faultRange(process.id, start..<start + 512, .write, writes: true)
      let shownHead = process.machine.frame(process.id, page: start)
      let head = try #require(shownHead)
      if isHeld { _ = process.machine.takeTemporaryReference(head, holder: "test") }
      // Take every block that an order-9 request could have, and leave single pages.
      var singles: [PFN] = []
      for _ in 0..<2048 {
        if let pfn = process.machine.allocatePages(order: 0, gfp: .user).pfn { singles.append(pfn) }
      }
      while process.machine.allocatePages(order: 9, gfp: [.user, .noWarn, .noRetry]).pfn != nil {}
      for (index, pfn) in singles.enumerated() where index % 2 == 0 {
        try process.machine.freePages(pfn, order: 0)
      }
      let before = Deltas(process.machine)
      let pinned = try process.pin(start, 512)
      if isHeld {
        #expect(pinned.refusal?.errno == .ENOMEM)
        #expect(before("pgmigrate_fail", process.machine) == 512)
        #expect(before("thp_migration_fail", process.machine) == 1)
        #expect(before("thp_split_page_failed", process.machine) == 10)
      } else {
        #expect(pinned.pages == 512 && pinned.refusal == nil)
        #expect(before("pgmigrate_success", process.machine) == 512)
        #expect(before("thp_migration_fail", process.machine) == 1)
        #expect(before("thp_migration_split", process.machine) == 1)
        #expect(before("thp_split_page", process.machine) == 1)
        #expect(before("thp_split_pmd", process.machine) == 1)
      }
      #expect(process.sound == nil)
    }
  }

  @Test("S1.14: a partially mapped THP in CMA is split before it moves")
  func partiallyMapped() throws {
    var process = try PinningProcess(megabytes: 1024, cma: 512, thp: true)
    let start = try process.populatedInCMA(512)
    _ = process.machine.faultRange(process.id, start..<start + 512, .write, writes: true)
    _ = try process.machine.advise(process.id, start + 10..<start + 11, .dontNeed).get()
    _ = process.machine.faultRange(process.id, start + 10..<start + 11, .write, writes: true)
    process.machine.drainAllLRU()
    #expect(process.inCMA(start + 10, 1) == 1)
    let before = Deltas(process.machine)
    let pinned = try process.pin(start, 512)
    #expect(pinned.pages == 512)
    #expect(before("pgmigrate_success", process.machine) == 513)
    #expect(before("thp_migration_fail", process.machine) == 1)
    #expect(before("thp_migration_split", process.machine) == 1)
    #expect(before("thp_split_page", process.machine) == 1)
    #expect(process.inCMA(start, 512) == 0)
    #expect(process.machine.entry(process.id, page: start).level == .pte)
    #expect(process.sound == nil)
  }

  @Test("S1.18: walks, reads and atomics of two THPs are what P8 says")
  func batching() throws {
    var process = try PinningProcess(megabytes: 1024, cma: 0, thp: true)
    let start = try process.populated(1024)
    let slow = try process.pin(start, 1024)
    #expect(slow.costs.walks == 2 && slow.costs.entryReads == 8 && slow.costs.pinAtomics == 8)
    let fast = try process.pin(start, 1024, fast: true)
    #expect(fast.costs.entryReads == 4 + 2 && fast.costs.pinAtomics == 4)
    var kernel = process.machine.kernel
    kernel.pinning.slowBatch = false
    process.machine.setKernel(kernel)
    let old = try process.pin(start, 1024)
    #expect(old.costs.walks == 1024 && old.costs.entryReads == 4096)
    #expect(old.costs.pinAtomics == 2048)
    #expect(process.sound == nil)
  }

  @Test("S1.19: what the pin faults in never lies in CMA and never moves")
  func faultedByThePin() throws {
    var process = try PinningProcess(megabytes: 1024, cma: 512, thp: true)
    let start = try process.machine.mapArea(process.id, pages: 2048, [.read, .write], .anonymous)
      .get()
    let before = Deltas(process.machine)
    let pinned = try process.pin(start, 2048)
    #expect(pinned.pages == 2048)
    #expect(before("thp_fault_alloc", process.machine) == 4)
    #expect(before("pgmigrate_success", process.machine) == 0)
    #expect(process.inCMA(start, 2048) == 0)
    #expect(process.sound == nil)
  }

  @Test("S1.2: the fast walk keeps the good pages, the slow path moves the others")
  func fastThenSlow() throws {
    var process = try PinningProcess()
    let good = try process.machine.mapArea(process.id, pages: 16, [.read, .write], .anonymous).get()
    // The first eight from a long-term fault, so that they may stay; the others from CMA.
    _ = process.machine.faultRange(process.id, good..<good + 8, .write, inPinScope: true)
    var filler: [PFN] = []
    while process.inCMA(good + 8, 8) < 8 {
      filler.append(
        contentsOf: process.machine.allocatePages(order: 0, gfp: .highUserMovable).pfn.map { [$0] }
          ?? [])
      _ = try process.machine.advise(process.id, good + 8..<good + 16, .dontNeed).get()
      _ = process.machine.faultRange(process.id, good + 8..<good + 16, .write)
    }
    process.machine.drainAllLRU()
    let before = Deltas(process.machine)
    let pinned = try process.pin(good, 16, fast: true)
    #expect(pinned.pages == 16)
    #expect(before("nr_foll_pin_acquired", process.machine) == 24)
    #expect(before("nr_foll_pin_released", process.machine) == 8)
    #expect(before("pgmigrate_success", process.machine) == 8)
    #expect(process.sound == nil)
  }

  @Test("P3.11 to P3.13: what may not be pinned says which errno and which rule")
  func refusals() throws {
    var process = try PinningProcess()
    let start = try process.machine.mapArea(process.id, pages: 8, [.read], .anonymous).get()
    #expect(try process.pin(start, 1).refusal?.errno == .EFAULT)
    #expect(try process.pin(start + 100, 1).refusal?.errno == .EFAULT)
    #expect(try process.pin(AddressSpace.endPage, 1).refusal?.rule == "P3.11")
    #expect(try process.pin(start, 1, [.longTerm, .get]).refusal?.errno == .EINVAL)
    let file = try process.machine.createFile(.regular, name: "disk", pages: 8).get()
    let shared = try process.machine.mapArea(
      process.id, pages: 8, [.read, .write, .shared], .file(file, offset: 0)
    ).get()
    #expect(try process.pin(shared, 8).refusal?.rule == "P3.13")
    let dax = try process.machine.createFile(.fsdax, name: "dax", pages: 8).get()
    let mapped = try process.machine.mapArea(
      process.id, pages: 8, [.read, .write, .shared], .file(dax, offset: 0)
    ).get()
    #expect(try process.pin(mapped, 8).refusal?.errno == .EOPNOTSUPP)
    #expect(process.machine.pins.isEmpty)
    #expect(process.sound == nil)
  }

  @Test("D3: step by step and in slices a pin leaves the same machine", arguments: [false, true])
  func stepsAndSlices(fast: Bool) throws {
    let template = try { () throws -> PinningProcess in
      var process = try PinningProcess(megabytes: 1024, cma: 512, thp: true, cpus: 2)
      _ = try process.populatedInCMA(1200)
      return process
    }()
    let areas = template.machine.spaces[template.id].areas
    let area = try #require(areas.last)
    var stepped = try PinningProcess(template)
    var sliced = try PinningProcess(template)
    let request = PinRequest(
      space: template.id, startPage: area.start + 3, pages: 1190, flags: [.write, .longTerm],
      entryPoint: fast ? .fast : .locked)
    var one = Pin(request)
    var steps = 0
    while one.advance(&stepped.machine, .step) != .finished {
      steps += 1
      if steps % 97 == 0 { #expect(stepped.machine.check() == nil) }
    }
    var other = Pin(request)
    other.run(&sliced.machine)
    #expect(one.outcome == other.outcome)
    #expect(steps > 100)
    let differs = difference(stepped.machine, sliced.machine)
    #expect(differs == nil, "\(differs ?? "")")
  }
}

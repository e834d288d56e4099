import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

@Suite struct HugeMigrationTests {
  /// Huge pages in CMA, all faulted in; the pool has nothing else.
  private func inCMA(_ pages: Int, shared: Bool = false) throws -> HugeProcess {
    var process = try HugeProcess(megabytes: 256, pool: pages, cma: 128 << 8)
    let (start, _) = try process.map(pages, shared: shared)
    let run = process.fault(start..<start + pages * 512)
    try #require(run.refusal == nil)
    for page in 0..<pages {
      let pfn = try process.folio(start + page * 512).head
      try #require(process.machine.frames.migrateType(pfn) == .cma)
    }
    process.start = start
    return process
  }

  @Test("P4.15: six huge pages of CMA move to fresh ones, and the pool keeps its size")
  func moveToFresh() throws {
    for shared in [false, true] {
      for pace in [Pace.slice, .step] {
        var process = try inCMA(6, shared: shared)
        let start = process.start
        let counts = try process.counts()
        let outcome = process.pin(start..<start + 3072, [.write, .longTerm], .fast, pace)
        #expect(outcome?.pages == 3072 && outcome?.refusal == nil)
        #expect(process.event("pgmigrate_success") == 3072)
        #expect(process.event("pgmigrate_fail") == 0)
        #expect(process.event("thp_migration_success") == 0)
        #expect(try process.counts() == counts)
        #expect(process.machine.total(.isolatedAnon) == 0)
        let folio = try process.folio(start)
        #expect(process.machine.frames.migrateType(folio.head) != .cma)
        #expect(process.machine.pinCount(folio) == 512)
        #expect(process.machine.references(folio) == 512 + (shared ? 513 : 1))
        #expect(process.sound == nil)
        process.unpin(try #require(outcome?.pin))
        process.machine.exit(process.id)
        #expect(try process.counts() == [6, 6, 0, 0])
        #expect(process.sound == nil)
      }
    }
  }

  @Test("P4.15: a held huge page is tried ten times, with ten targets, and fails the pin")
  func held() throws {
    var process = try inCMA(2)
    let start = process.start
    let folio = try process.folio(start)
    process.machine.addReferences(folio, 1)
    let made = process.event("htlb_buddy_alloc_success")
    let outcome = process.pin(start..<start + 1024)
    #expect(outcome?.pages == 0 && outcome?.refusal?.errno == .ENOMEM)
    #expect(outcome?.stuck == [folio.head])
    #expect(process.event("pgmigrate_success") == 512)
    #expect(process.event("pgmigrate_fail") == 512)
    #expect(process.event("htlb_buddy_alloc_success") - made == 11)
    #expect(try process.folio(start) == folio)
    #expect(try process.counts() == [2, 0, 0, 0])
    process.machine.putReferences(folio, 1)
    #expect(process.sound == nil)
    let again = process.pin(start..<start + 1024)
    #expect(again?.pages == 1024)
    #expect(process.sound == nil)
  }

  @Test("P4.5: a huge page that somebody else pinned is never unmapped")
  func pinned() throws {
    for shared in [false, true] {
      var process = try inCMA(1, shared: shared)
      let start = process.start
      let short = process.pin(start..<start + 1, .write)
      let folio = try process.folio(start)
      let outcome = process.pin(start..<start + 512)
      #expect(outcome?.refusal?.errno == .ENOMEM)
      #expect(process.event("pgmigrate_fail") == 512)
      #expect(try process.folio(start) == folio)
      #expect(process.sound == nil)
      process.unpin(try #require(short?.pin))
      #expect(process.pin(start..<start + 512)?.pages == 512)
      #expect(process.sound == nil)
    }
  }

  @Test("P4.15: pages of the pool that may be pinned are targets, and sources return to the pool")
  func moveToPool() throws {
    var process = try inCMA(4)
    let start = process.start
    // Pages that lie elsewhere come into the pool while CMA is used up.
    var taken: [PFN] = []
    while let pfn = process.machine.allocatePages(order: 9, gfp: [.highUserMovable, .comp]).pfn,
      process.machine.frames.migrateType(pfn) == .cma
    {
      taken.append(pfn)
    }
    try process.machine.setHugePages(order: 9, count: 8)
    let free = process.machine.freeHugePages(order: 9).filter {
      process.machine.frames.migrateType($0) != .cma
    }
    try #require(!free.isEmpty)
    let made = process.event("htlb_buddy_alloc_success")
    #expect(process.pin(start..<start + 2048)?.pages == 2048)
    #expect(process.event("htlb_buddy_alloc_success") - made == max(0, 4 - free.count))
    #expect(try process.folio(start).head == free[0])
    #expect(try process.counts() == [8, 4, 0, 0])
    #expect(process.sound == nil)
  }

  @Test("P2.36, finding 13: a pin ends short at the first page that the pool cannot give")
  func unfaulted() throws {
    var process = try HugeProcess(megabytes: 256, pool: 4, cma: 128 << 8)
    let (start, _) = try process.map(4)
    _ = process.fault(start..<start + 1024)
    let faults = process.machine.event(.pgfault)
    let outcome = process.pin(start..<start + 2048)
    #expect(outcome?.pages == 1024)
    // Once in the round that moves the pages, once in the round that keeps them.
    #expect(process.machine.event(.pgfault) - faults == 2)
    let other = process.pin(start + 1024..<start + 2048)
    #expect(other?.pages == 0 && other?.refusal?.errno == .EFAULT)
    #expect(try process.counts() == [4, 2, 2, 0])
    #expect(process.sound == nil)
  }

  @Test("S0.1: a THP, a huge page and 512 small pages of CMA all move, and CMA is free afterwards")
  func compoundPages() throws {
    var process = try HugeProcess(megabytes: 512, pool: 1, cma: 320 << 8, thp: true)
    process.machine.settings.hugePagesOnlyAdvised = true
    let (huge, _) = try process.map(1)
    let small = try process.machine.mapArea(
      process.id, start: huge + 512, pages: 512, [.read, .write], .anonymous
    ).get()
    let thp = try process.machine.mapArea(
      process.id, start: small + 512, pages: 512, [.read, .write, .hugePage], .anonymous
    ).get()
    try process.fillUntilCMA(huge, small, thp)
    let before = process.event("pgmigrate_success")
    let outcome = process.pin(huge..<huge + 1536)
    #expect(outcome?.pages == 1536)
    #expect(process.event("pgmigrate_success") - before == 1536)
    #expect(process.event("thp_migration_success") == 1)
    #expect(process.event("pgmigrate_fail") == 0)
    #expect(process.sound == nil)
  }

  @Test("S5.8: a held huge page fails the pin, but the THP beside it has moved")
  func hugeAndTHP() throws {
    var process = try HugeProcess(megabytes: 512, pool: 1, cma: 320 << 8, thp: true)
    let (huge, _) = try process.map(1)
    let thp = try process.machine.mapArea(
      process.id, start: huge + 512, pages: 512, [.read, .write], .anonymous
    ).get()
    try process.fillUntilCMA(huge, thp, thp)
    let held = try process.folio(huge)
    let moved = try process.folio(thp)
    process.machine.addReferences(held, 1)
    let outcome = process.pin(huge..<huge + 1024)
    #expect(outcome?.refusal?.errno == .ENOMEM)
    #expect(process.event("pgmigrate_success") == 512)
    #expect(process.event("pgmigrate_fail") == 512)
    #expect(process.event("thp_migration_success") == 1)
    #expect(process.event("thp_migration_fail") == 0)
    #expect(try process.folio(thp) != moved)
    #expect(try process.folio(huge) == held)
    process.machine.putReferences(held, 1)
    #expect(process.sound == nil)
  }

  @Test("P3.15: FOLL_SPLIT_PMD is refused, and a pin may begin inside of a huge page")
  func edges() throws {
    var process = try inCMA(2)
    let start = process.start
    let split = process.pin(start..<start + 1, [.splitPMD], .locked)
    #expect(split?.refusal?.errno == .EOPNOTSUPP)
    let outcome = process.pin(start + 100..<start + 900, .write)
    #expect(outcome?.pages == 800)
    let record = process.machine.pin(try #require(outcome?.pin))
    let runs = process.machine.pinnedRuns(try #require(record))
    #expect(runs.map(\.pages) == [412, 388])
    let first = try process.folio(start)
    #expect(runs[0].first == first.head + 100)
    #expect(process.machine.pinCount(first) == 412)
    #expect(process.sound == nil)
  }

  @Test("P3.14: a read pin of a page shared with a child makes a page of its own first")
  func unshare() throws {
    var process = try HugeProcess(pool: 3)
    let (start, _) = try process.map(1)
    _ = process.fault(start..<start + 512)
    var fork = ForkOperation(parent: process.id, name: "child")
    let child = try #require(try fork.run(&process.machine)?.get())
    let shared = try process.folio(start)
    let outcome = process.pin(start..<start + 512, .longTerm)
    #expect(outcome?.pages == 512)
    let own = try process.folio(start)
    #expect(own != shared)
    let entry = process.machine.entry(process.id, page: start).entry
    #expect(entry.flags.contains(.exclusive) && !entry.flags.contains(.write))
    #expect(process.machine.frame(child, page: start) == shared.head)
    #expect(process.sound == nil)
  }
}

extension HugeProcess {
  /// Faults areas of 512 pages until all of their pages lie in CMA, moving those that do not.
  mutating func fillUntilCMA(_ starts: Int...) throws {
    for start in starts {
      for _ in 0..<64 {
        let run = fault(start..<start + 512)
        try #require(run.refusal == nil)
        machine.drainAllLRU()
        let misplaced = (start..<start + 512).contains { page in
          machine.frame(id, page: page).map { machine.frames.migrateType($0) != .cma } ?? true
        }
        if !misplaced { break }
        _ = machine.advise(id, start..<start + 512, .dontNeed)
        machine.drainAllPages()
        // What lies elsewhere is used up.
        _ = machine.allocatePages(order: 9, gfp: [.highUser, .comp])
      }
      let misplaced = (start..<start + 512).filter { page in
        machine.frame(id, page: page).map { machine.frames.migrateType($0) != .cma } ?? true
      }
      try #require(misplaced.isEmpty)
    }
  }
}

import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Contiguous allocations that move what is in the way: P5.10 to P5.15, S5.2, S3.3.
@Suite struct ContiguousTests {
  /// A process with pages in CMA, one of them with a reference too many, and nothing that `cma_alloc`
  /// could take below the fourth page before it.
  private struct Held: ~Copyable {
    var process: PinningProcess
    let start: Int
    let held: PFN
    let reference: Int

    init(shmem: Bool = false) throws {
      var made = try PinningProcess()
      var first = 0
      if shmem {
        let file = try made.machine.createFile(.shmem, name: "f", pages: 2000).get()
        first = try made.populated(2000, file: file)
      } else {
        first = try made.populatedInCMA(2000)
      }
      var pages: [PFN] = []
      for page in first..<first + 2000 {
        let shown = made.machine.frame(made.id, page: page)
        let pfn = try #require(shown)
        if made.machine.frames.migrateType(pfn) == .cma { pages.append(pfn) }
      }
      pages.sort()
      let page = pages[100]
      let taken = made.machine.takeTemporaryReference(page, holder: "a reader")
      let id = try #require(taken)
      let area = made.machine.cmaAreas[0]
      let below = try made.machine.cmaAllocate(area: 0, pages: page.index - 4 - area.base)
      try #require(below.pfn?.index == area.base)
      made.machine.clearTrace()
      process = made
      start = first
      held = page
      reference = id
    }
  }

  private func retries(_ machine: borrowing Machine) -> [UInt32] {
    machine.trace.events().filter { $0.kind == .cmaAllocBusyRetry }.map(\.pfn)
  }

  @Test("S5.2, P5.14: a held anonymous page is skipped silently, all others move, EBUSY")
  func heldAnonymous() throws {
    var held = try Held()
    let area = held.process.machine.cmaAreas[0]
    let rest = area.range.end - held.held.index + 4
    let inCMA = held.process.inCMA(held.start, 2000)
    let before = Deltas(held.process.machine)
    var call = try held.process.machine.cmaAllocation(area: 0, pages: rest)
    let outcome = try finish(&call, &held.process.machine)
    // The range fails, and behind it there is no candidate.
    #expect(outcome.attempts == 1 && outcome.busy == held.held)
    #expect(outcome.pfn == nil)
    #expect(before("pgmigrate_fail", held.process.machine) == 0)
    #expect(before("pgmigrate_success", held.process.machine) == outcome.migratedPages)
    // What has moved out came to lie outside of the range: elsewhere than in CMA.
    #expect(held.process.inCMA(held.start, 2000) == 1)
    #expect(outcome.migratedPages == inCMA - 1)
    #expect(held.process.sound == nil)
  }

  @Test("S5.2: a request of 64 pages creeps past it: five retries, success behind it")
  func creeping() throws {
    var held = try Held()
    let result = try held.process.machine.cmaAllocate(area: 0, pages: 64)
    let first = held.held.rawValue - 4
    #expect(retries(held.process.machine) == [first, first + 1, first + 2, first + 3, first + 4])
    #expect(result.pfn == held.held + 1)
    #expect(held.process.sound == nil)
    try held.process.machine.cmaRelease(area: 0, held.held + 1, pages: 64)
    #expect(held.process.sound == nil)
  }

  @Test("P5.11, P5.14: a held shmem page is tried five times, and put back")
  func heldShmem() throws {
    var held = try Held(shmem: true)
    let area = held.process.machine.cmaAreas[0]
    let before = Deltas(held.process.machine)
    var call = try held.process.machine.cmaAllocation(
      area: 0, pages: area.range.end - held.held.index + 4)
    let outcome = try finish(&call, &held.process.machine)
    #expect(outcome.busy == held.held)
    #expect(before("pgmigrate_fail", held.process.machine) == 5)
    #expect(before("nr_isolated_anon", held.process.machine) == 0)
    held.process.machine.drainAllLRU()
    #expect(held.process.machine.frames.head(held.held).isLRU)
    #expect(held.process.sound == nil)
    held.process.machine.putTemporaryReference(held.reference)
    let again = try held.process.machine.cmaAllocate(
      area: 0, pages: area.range.end - held.held.index + 4)
    #expect(again.pfn == PFN(held.held.index - 4))
    #expect(held.process.sound == nil)
  }

  @Test("S3.3: pages that a long-term pin moved out stay out, and the area can be had whole")
  func afterLongTermPin() throws {
    var process = try PinningProcess()
    let start = try process.populatedInCMA(1000)
    let pinned = try process.pin(start, 1000)
    #expect(pinned.pages == 1000 && process.inCMA(start, 1000) == 0)
    let area = process.machine.cmaAreas[0]
    #expect(try process.machine.cmaAllocate(area: 0, pages: area.pages).pfn == PFN(area.base))
    #expect(process.sound == nil)
    try process.machine.cmaRelease(area: 0, PFN(area.base), pages: area.pages)
    let id = try #require(pinned.pin)
    let kept = process.machine.pin(id)
    let record = try #require(kept)
    var costs = OperationCosts()
    _ = process.machine.unpin(
      record.words, .pin, limit: .max >> 1, batched: true, dirty: false, &costs)
    process.machine.removePin(record.id)
    #expect(process.inCMA(start, 1000) == 0)
    let more = try process.populated(600)
    #expect(process.inCMA(more, 600) > 0)
    #expect(process.sound == nil)
  }

  @Test("P5.12: pinned pages stay; a THP moves whole; its pages behind the first are not looked at")
  func hugePages() throws {
    var process = try PinningProcess(megabytes: 1024, cma: 512, thp: true)
    let start = try process.machine.mapArea(
      process.id, pages: 4 * 512, [.read, .write], .anonymous
    )
    .get()
    let run = process.machine.faultRange(process.id, start..<start + 2048, .write)
    #expect(run.done == 2048)
    let shown = process.machine.frame(process.id, page: start)
    let head = try #require(shown)
    let order = process.machine.folio(of: head)?.order
    try #require(order == 9)
    let type = process.machine.frames.migrateType(head)
    try #require(type == .cma)
    let before = Deltas(process.machine)
    // From its second page on it cannot be taken.
    let inside = PFNRange(head.index + 1, head.index + 2)
    #expect(try process.machine.allocateContiguous(inside, .cmaAllocation)?.errno == .EBUSY)
    let blockers = process.machine.blockers(in: inside)
    #expect(blockers.map(\.holder) == [.acrossStart])
    #expect(before("pgmigrate_success", process.machine) == 0)
    let whole = PFNRange(head.index, head.index + 1)
    let none = process.machine.blockers(in: whole)
    #expect(none.isEmpty)
    #expect(try process.machine.allocateContiguous(whole, .cmaAllocation) == nil)
    #expect(before("thp_migration_success", process.machine) == 1)
    let now = process.machine.frame(process.id, page: start)
    #expect(now != head)
    #expect(process.sound == nil)
    try process.machine.freeContiguous(whole)
    #expect(process.sound == nil)
  }

  @Test("P5.13: free huge pages in the area are replaced, the pool keeps its size")
  func freeHugePages() throws {
    var process = try HugeProcess(megabytes: 512, pool: 0, cma: 128 << 8)
    // The pool takes CMA pageblocks: movable pages may.
    try process.machine.setHugePages(order: 9, count: 20)
    let area = process.machine.cmaAreas[0]
    let inArea = process.machine.freeHugePages(order: 9).count { area.range.contains($0) }
    #expect(inArea > 0)
    let result = try process.machine.cmaAllocate(area: 0, pages: area.pages)
    #expect(result.pfn == PFN(area.base))
    #expect(try process.counts() == [20, 20, 0, 0])
    let free = process.machine.freeHugePages(order: 9)
    #expect(free.allSatisfy { !area.range.contains($0) })
    #expect(process.sound == nil)
  }

  @Test("P5.11: clean pages of files are freed instead of moved, dirty ones move")
  func cleanPages() throws {
    var process = try PinningProcess()
    let file = try process.machine.createFile(.regular, name: "f", pages: 4000).get()
    let start = try process.machine.mapArea(
      process.id, pages: 4000, [.read, .write, .shared], .file(file, offset: 0)
    ).get()
    let reading = process.machine.faultRange(process.id, start..<start + 3000, .read)
    #expect(reading.done == 3000)
    let writing = process.machine.faultRange(process.id, start + 3000..<start + 4000, .write)
    #expect(writing.done == 1000)
    process.machine.drainAllLRU()
    let inCMA = process.inCMA(start, 4000)
    try #require(inCMA > 0)
    let cached = process.machine.files[file].cachedPages
    let before = Deltas(process.machine)
    let area = process.machine.cmaAreas[0]
    var call = try process.machine.cmaAllocation(area: 0, pages: area.pages)
    let outcome = try finish(&call, &process.machine)
    #expect(outcome.pfn == PFN(area.base))
    #expect(outcome.reclaimedPages + outcome.migratedPages >= inCMA)
    #expect(outcome.reclaimedPages > 0)
    #expect(process.machine.files[file].cachedPages == cached - outcome.reclaimedPages)
    #expect(before("nr_file_pages", process.machine) == -outcome.reclaimedPages)
    #expect(before("nr_isolated_file", process.machine) == 0)
    #expect(process.sound == nil)
  }

  @Test("Pages in the way are named with whoever holds them")
  func blockers() throws {
    var process = try PinningProcess()
    let start = try process.populatedInCMA(40)
    var frames: [PFN] = []
    for page in start..<start + 40 {
      let shown = process.machine.frame(process.id, page: page)
      frames.append(try #require(shown))
    }
    let pinned = try process.pin(start, 3, [.write])
    let pin = try #require(pinned.pin)
    let taken = process.machine.takeTemporaryReference(frames[5], holder: "a reader")
    let reference = try #require(taken)
    let isIsolated = process.machine.isolateLRU(Folio(frames[7], order: 0))
    #expect(isIsolated)
    process.machine.addReferences(Folio(frames[9], order: 0), 2)
    let range = process.machine.cmaAreas[0].range
    var found: [Blocker.Holder: [PFN]] = [:]
    for blocker in process.machine.blockers(in: range) {
      found[blocker.holder] = blocker.pages.map(\.pfn)
    }
    #expect(found[.pin(pin)] == frames[0..<3].sorted())
    #expect(found[.temporaryReference(reference)] == [frames[5]])
    #expect(found[.isolated] == [frames[7]])
    #expect(found[.reference] == [frames[9]])
    #expect(found.count == 4)
    let words = process.machine.describe(.pin(pin))
    #expect(words.contains("since operation"), "\(words)")
    // What they name is what stays.
    var call = try process.machine.cmaAllocation(area: 0, pages: range.count)
    _ = call.run(&process.machine)
    let left = (range.start..<range.end).map { PFN($0) }.filter {
      process.machine.block(containing: $0)?.state.kind == .allocated
    }
    #expect(left == (found.values.flatMap { $0 }).sorted())
  }
}

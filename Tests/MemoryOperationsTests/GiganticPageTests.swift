import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

@Suite struct GiganticPageTests {
  @Test("S5.1, P4.16: a 1 GiB page of hugetlb_cma is never pinned for long")
  func hugetlbCMA() throws {
    var process = try HugeProcess(megabytes: 3072) { $0.hugetlbCMA = .total(1 << 18) }
    #expect(process.machine.cmaAreas.map(\.name) == ["hugetlb0"])
    #expect(process.machine.cmaAreas[0].base % (1 << 18) == 0)
    #expect(try process.machine.setHugePages(order: 18, count: 2)?.errno == .ENOMEM)
    #expect(try process.counts(18) == [1, 1, 0, 0])
    #expect(process.sound == nil)
    let (start, _) = try process.map(1, order: 18)
    #expect(try process.counts(18) == [1, 1, 1, 0])
    let unfaulted = process.pin(start..<start + 1)
    #expect(unfaulted?.refusal?.errno == .EFAULT)
    let run = process.fault(start..<start + 1 << 18)
    #expect(run.done == 1 << 18 && run.faults == 1)
    let folio = try process.folio(start + 100_000)
    #expect(folio.order == 18)
    #expect(process.machine.entry(process.id, page: start).level == .pud)
    #expect(process.machine.references(folio) == 1)
    #expect(process.sound == nil)
    let faulted = process.pin(start..<start + 1)
    #expect(faulted?.refusal?.errno == .ENOMEM)
    #expect(process.event("pgmigrate_fail") == 262_144)
    #expect(process.event("pgmigrate_success") == 0)
    // A short pin takes any part of the leaf at once.
    let short = process.pin(start + 1000..<start + 201_000, .write)
    #expect(short?.pages == 200_000)
    #expect(process.machine.pinCount(folio) == 200_000)
    #expect(process.sound == nil)
    process.unpin(try #require(short?.pin))
    process.machine.exit(process.id)
    #expect(try process.counts(18) == [1, 1, 0, 0])
    try process.machine.setHugePages(order: 18, count: 0)
    #expect(process.machine.cmaUsed(area: 0) == 0)
    #expect(process.sound == nil)
  }

  @Test("P5.30: without hugetlb_cma a free range serves, and its page can be pinned")
  func contiguousPages() throws {
    var process = try HugeProcess(megabytes: 2560)
    try process.machine.setHugePages(order: 18, count: 1)
    #expect(try process.counts(18) == [1, 1, 0, 0])
    #expect(process.sound == nil)
    let (start, file) = try process.map(1, order: 18, shared: true)
    let outcome = process.pin(start..<start + 1 << 18)
    #expect(outcome?.pages == 1 << 18)
    let folio = try process.folio(start)
    // One for each page in the cache, one for the leaf, and the pins.
    #expect(process.machine.references(folio) == 2 << 18 + 1)
    #expect(process.machine.files[file].cachedPages == 1 << 18)
    #expect(process.sound == nil)
    process.unpin(try #require(outcome?.pin))
    process.machine.exit(process.id)
    try process.machine.setHugePages(order: 18, count: 0)
    #expect(process.machine.files[file].cachedPages == 0)
    #expect(process.sound == nil)
    // All of it is free again.
    try process.machine.setHugePages(order: 18, count: 1)
    #expect(try process.counts(18) == [1, 1, 0, 0])
  }

  @Test("hugetlb_cma of less than a page is refused with what to do")
  func tooSmall() throws {
    #expect(throws: MemoryError.self) {
      _ = try HugeProcess(megabytes: 512) { $0.hugetlbCMA = .total(1 << 17) }
    }
  }

  @Test("P5.30: a range that is in use is emptied first; one with a huge page is passed over")
  func rangesInUse() throws {
    var process = try HugeProcess(megabytes: 3072)
    // Pages and pinned pages lie all over; the pinned ones are in the way.
    let area = try process.machine.mapArea(
      process.id, pages: 300_000, [.read, .write], .anonymous
    ).get()
    let run = process.machine.faultRange(process.id, area..<area + 300_000, .write)
    #expect(run.done == 300_000)
    process.machine.drainAllLRU()
    let before = process.event("pgmigrate_success")
    #expect(try process.machine.setHugePages(order: 18, count: 1) == nil)
    #expect(try process.counts(18) == [1, 1, 0, 0])
    #expect(process.sound == nil)
    let moved = process.event("pgmigrate_success") - before
    var found: Int?
    for pfn in stride(from: 0, to: process.machine.frames.count, by: 1 << 18) {
      let state = process.machine.frames.head(PFN(pfn))
      if state.order == 18, state.kind == .hugePool { found = pfn }
    }
    let head = try #require(found)
    #expect(moved > 0, "the range at \(head) was idle")
    for page in stride(from: area, to: area + 300_000, by: 4099) {
      let pfn = process.machine.frame(process.id, page: page)
      #expect(pfn.map { $0.index < head || $0.index >= head + 1 << 18 } == true)
    }
    try process.machine.setHugePages(order: 18, count: 0)
    #expect(process.sound == nil)
  }

  @Test(
    "P5.30: a gigantic page that cannot be had leaves everything as it was, and can be had later",
    arguments: [true, false])
  func failure(hasArea: Bool) throws {
    // Only the second GiB has no holes and nothing reserved.
    var process = try HugeProcess(megabytes: 2560) {
      if hasArea { $0.hugetlbCMA = .total(1 << 18) }
    }
    let range = PFNRange(1 << 18, 2 << 18)
    // CMA comes last.
    let count = hasArea ? 395_000 : 300_000
    let file = try process.machine.createFile(.shmem, name: "f", pages: count).get()
    let start = try process.machine.mapArea(
      process.id, pages: count, [.read, .write, .shared], .file(file, offset: 0)
    ).get()
    _ = process.machine.faultRange(process.id, start..<start + count, .write)
    let inside = (start..<start + count).filter {
      process.machine.frame(process.id, page: $0).map(range.contains) ?? false
    }
    try #require(inside.count > 40)
    // Room for all that has to move, and for the test to be quick.
    let kept = Set(inside.prefix(20) + inside.suffix(20))
    var page = start
    while page < start + count {
      let end = (page..<start + count).first { kept.contains($0) } ?? start + count
      if end > page {
        _ = try process.machine.unmap(process.id, page..<end).get()
        _ = process.machine.punchHole(file, page - start..<end - start)
      }
      page = end + 1
    }
    process.machine.drainAllLRU()
    process.machine.drainAllPages()
    let before = try MachineFacts(process.machine)
    let last = try #require(inside.last)
    let shown = process.machine.frame(process.id, page: last)
    let held = try #require(shown)
    _ = process.machine.takeTemporaryReference(held, holder: "a lookup")
    #expect(try process.machine.setHugePages(order: 18, count: 1)?.errno == .ENOMEM)
    for reference in process.machine.temporaryReferences {
      process.machine.putTemporaryReference(reference.id)
    }
    // Isolation outside of CMA takes pages in a batch for pages of the kernel (AP.14), and that is where
    // the failure has put them.
    process.machine.drainAllLRU()
    process.machine.failAllocation = 1
    #expect(try process.machine.setHugePages(order: 18, count: 1)?.errno == .ENOMEM)
    #expect(process.machine.failAllocation == 0)
    let failed = try MachineFacts(process.machine)
    #expect(failed.harm(since: before, in: range) == nil)
    process.machine.drainAllLRU()
    #expect(try process.machine.setHugePages(order: 18, count: 1) == nil)
    #expect(process.machine.freeHugePages(order: 18) == [PFN(range.start)])
    #expect(process.sound == nil)
    try process.machine.setHugePages(order: 18, count: 0)
    #expect(process.sound == nil)
  }
}

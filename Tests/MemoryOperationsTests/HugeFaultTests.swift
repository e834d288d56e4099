import MemoryOperations
import Testing

@testable import MemoryModel

@Suite struct HugeFaultTests {
  @Test("P2.36: mmap promises pages, a fault spends a promise, munmap gives all back")
  func privateMapping() throws {
    var process = try HugeProcess(pool: 8)
    let (start, _) = try process.map(6)
    #expect(try process.counts() == [8, 8, 6, 0])
    let run = process.fault(start..<start + 4 * 512)
    #expect(run.done == 4 * 512 && run.faults == 4 && run.refusal == nil)
    #expect(try process.counts() == [8, 4, 2, 0])
    // P1.8: mapped once, one reference.
    let folio = try process.folio(start + 700)
    #expect(folio.order == 9)
    #expect(process.machine.references(folio) == 1 && process.machine.mappings(folio) == 1)
    #expect(process.machine.total(.anonMapped) == 0)
    #expect(process.sound == nil)
    _ = process.machine.unmap(process.id, start..<start + 6 * 512)
    #expect(try process.counts() == [8, 8, 0, 0])
    #expect(process.sound == nil)
  }

  @Test("P1.1: a page of a shared mapping has the cache's 512 references and its entry's")
  func sharedMapping() throws {
    var process = try HugeProcess(pool: 8)
    let (start, file) = try process.map(4, shared: true)
    #expect(process.fault(start..<start + 1024, .read).faults == 2)
    let folio = try process.folio(start)
    #expect(process.machine.references(folio) == 513)
    #expect(process.machine.entry(process.id, page: start).entry.flags.contains(.write))
    #expect(try process.counts() == [8, 6, 2, 0])
    // A second mapping of the same pages is promised nothing more.
    let second = try process.machine.mapArea(
      process.id, pages: 2048, [.read, .write, .shared], .file(file, offset: 0)
    ).get()
    #expect(try process.counts() == [8, 6, 2, 0])
    #expect(process.fault(second..<second + 512).faults == 1)
    #expect(process.machine.references(folio) == 514)
    _ = process.machine.unmap(process.id, start..<start + 2048)
    #expect(try process.counts() == [8, 6, 2, 0])
    _ = process.machine.unmap(process.id, second..<second + 2048)
    #expect(try process.counts() == [8, 8, 0, 0])
    #expect(process.sound == nil)
  }

  @Test("P2.36: without enough pages mmap is ENOMEM; with MAP_NORESERVE the fault is a SIGBUS")
  func tooFew() throws {
    var process = try HugeProcess(pool: 2)
    let file = try process.machine.createFile(.hugetlb(order: 9), name: "f", pages: 1536).get()
    guard
      case .failure(let refusal) = process.machine.mapArea(
        process.id, pages: 1536, [.read, .write], .file(file, offset: 0))
    else {
      Issue.record("three promises of two pages")
      return
    }
    #expect(refusal.errno == .ENOMEM)
    #expect(try process.counts() == [2, 2, 0, 0])
    let (start, _) = try process.map(3, noReserve: true)
    let run = process.fault(start..<start + 1536)
    #expect(run.done == 1024 && run.refusal?.errno == .EFAULT && run.refusal?.rule == "P2.36")
    #expect(process.sound == nil)
    // A surplus page helps, and goes to the buddy when it is unmapped.
    try process.machine.setHugeOvercommit(order: 9, count: 1)
    #expect(process.fault(start..<start + 1536).done == 1536)
    #expect(try process.counts() == [3, 0, 0, 1])
    _ = process.machine.unmap(process.id, start..<start + 1536)
    #expect(try process.counts() == [2, 2, 0, 0])
    #expect(process.sound == nil)
  }

  @Test("P2.20: fork shares pages; the child's write copies, the parent reuses when it is alone")
  func copyOnWrite() throws {
    var process = try HugeProcess(pool: 4)
    let (start, _) = try process.map(2)
    _ = process.fault(start..<start + 1024)
    var fork = ForkOperation(parent: process.id, name: "child")
    let child = try #require(try fork.run(&process.machine)?.get())
    let folio = try process.folio(start)
    #expect(process.machine.mappings(folio) == 2)
    #expect(!process.machine.entry(process.id, page: start).entry.flags.contains(.write))
    #expect(process.machine.faultRange(child, start..<start + 512, .write).faults == 1)
    #expect(process.machine.frame(child, page: start) != folio.head)
    #expect(process.machine.mappings(folio) == 1)
    #expect(process.fault(start..<start + 512).faults == 1)
    #expect(try process.folio(start) == folio)
    #expect(try process.counts() == [4, 1, 0, 0])
    #expect(process.sound == nil)
    process.machine.exit(child)
    #expect(try process.counts() == [4, 2, 0, 0])
    process.machine.exit(process.id)
    #expect(try process.counts() == [4, 4, 0, 0])
    #expect(process.sound == nil)
  }

  @Test("the owner's write takes the page from the child when the pool is empty")
  func ownerWins() throws {
    var process = try HugeProcess(pool: 1)
    let (start, _) = try process.map(1)
    _ = process.fault(start..<start + 512)
    var fork = ForkOperation(parent: process.id, name: "child")
    let child = try #require(try fork.run(&process.machine)?.get())
    let folio = try process.folio(start)
    #expect(process.fault(start..<start + 512).refusal == nil)
    #expect(try process.folio(start) == folio)
    #expect(process.machine.frame(child, page: start) == nil)
    let run = process.machine.faultRange(child, start..<start + 512, .read)
    #expect(run.refusal?.errno == .EFAULT)
    #expect(process.sound == nil)
  }

  @Test("P2.20: fork copies a pinned page at once, from what nobody was promised")
  func forkOfPinned() throws {
    var process = try HugeProcess(pool: 2)
    let (start, _) = try process.map(1)
    let outcome = process.pin(start..<start + 512)
    let pin = try #require(outcome?.pin)
    let folio = try process.folio(start)
    var fork = ForkOperation(parent: process.id, name: "child")
    let child = try #require(try fork.run(&process.machine)?.get())
    #expect(try process.folio(start) == folio)
    #expect(process.machine.entry(process.id, page: start).entry.flags.contains(.write))
    let copy = process.machine.frame(child, page: start)
    #expect(copy != nil && copy != folio.head)
    #expect(process.sound == nil)
    // Another child finds no page.
    var second = ForkOperation(parent: process.id, name: "second")
    let refused = second.run(&process.machine)
    guard case .failure(let refusal) = refused else {
      Issue.record("a copy without a page")
      return
    }
    #expect(refusal.errno == .ENOSPC)
    #expect(process.sound == nil)
    process.unpin(pin)
    process.machine.exit(child)
    process.machine.exit(process.id)
    #expect(try process.counts() == [2, 2, 0, 0])
    #expect(process.sound == nil)
  }

  @Test("a page that a pin still holds gives its promise back when it is unpinned")
  func unmapPinned() throws {
    var process = try HugeProcess(pool: 3)
    let (start, _) = try process.map(2)
    let outcome = process.pin(start..<start + 512)
    let pin = try #require(outcome?.pin)
    _ = process.machine.unmap(process.id, start..<start + 1024)
    #expect(try process.counts() == [3, 2, -1, 0])
    #expect(process.sound == nil)
    process.unpin(pin)
    #expect(try process.counts() == [3, 3, 0, 0])
    #expect(process.sound == nil)
  }

  @Test("a mapping that is cut keeps the promises of its parts")
  func cutMapping() throws {
    var process = try HugeProcess(pool: 6)
    let (start, _) = try process.map(6)
    _ = process.fault(start..<start + 512)
    _ = process.machine.unmap(process.id, start + 1024..<start + 2048)
    #expect(try process.counts() == [6, 5, 3, 0])
    guard case .failure(let refusal) = process.machine.unmap(process.id, start..<start + 100) else {
      Issue.record("cut inside of a huge page")
      return
    }
    #expect(refusal.errno == .EINVAL)
    #expect(process.sound == nil)
    _ = process.machine.unmap(process.id, start..<start + 3072)
    #expect(try process.counts() == [6, 6, 0, 0])
  }

  @Test("a fault that is interrupted between its steps gives page and promise back")
  func interrupted() throws {
    for shared in [false, true] {
      var process = try HugeProcess(pool: 2)
      let (start, _) = try process.map(1, shared: shared)
      var fault = FaultOperation(space: process.id, page: start, access: .write)
      _ = fault.advance(&process.machine, .step)
      #expect(try process.counts() == [2, 1, 0, 0])
      fault.interrupt(&process.machine)
      #expect(try process.counts() == (shared ? [2, 1, 0, 0] : [2, 2, 1, 0]))
      #expect(process.sound == nil)
      #expect(process.fault(start..<start + 512).refusal == nil)
      #expect(try process.counts() == [2, 1, 0, 0])
      process.machine.exit(process.id)
      #expect(try process.counts() == [2, 2, 0, 0])
      #expect(process.sound == nil)
    }
  }
}

import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Copies of processes, and what their writes do afterwards.
@Suite struct ForkTests {
  private func machine(hugePages: Bool) throws -> Machine {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [64 << 20])
    var machine = try Machine.boot(configuration)
    machine.settings.transparentHugePages = hugePages
    return machine
  }

  /// A process with `pages` written pages at page 0x100000, and its child.
  private func family(
    _ machine: inout Machine, pages: Int, pinned: Int? = nil
  ) throws -> (parent: Int, child: Int) {
    let parent = machine.createSpace(name: "parent") ?? 0
    let start = try machine.mapArea(
      parent, start: 0x10_0000, pages: pages, [.read, .write], .anonymous
    ).get()
    _ = machine.faultRange(parent, start..<start + pages, .write)
    if let pinned {
      machine.spaces[parent].hasPinned = true
      let pfn = machine.frame(parent, page: start + pinned) ?? PFN(0)
      if let folio = machine.folio(of: pfn) { machine.addPins(folio, 1) }
    }
    var fork = ForkOperation(parent: parent, name: "child")
    let outcome = fork.run(&machine)
    let child = try #require(outcome).get()
    return (parent, child)
  }

  @Test("P2.20, P2.21: pages are shared read-only; the first writer copies, the last one reuses")
  func sharing() throws {
    var machine = try machine(hugePages: false)
    let (parent, child) = try family(&machine, pages: 40)
    let start = 0x10_0000
    let pfn = machine.frame(parent, page: start)
    #expect(machine.frame(child, page: start) == pfn)
    let entry = machine.entry(parent, page: start).entry
    #expect(!entry.flags.contains(.write) && !entry.flags.contains(.exclusive))
    let folio = Folio(pfn ?? PFN(0), order: 0)
    #expect(machine.references(folio) == 2 && machine.mappings(folio) == 2)
    // Even again.
    #expect(machine.spaces[parent].writeProtectSequence == 2)
    _ = machine.faultRange(parent, start..<start + 1, .write)
    #expect(machine.frame(parent, page: start) != pfn)
    #expect(machine.references(folio) == 1)
    let reused = machine.event(.pgreuse)
    _ = machine.faultRange(child, start..<start + 1, .write)
    #expect(machine.frame(child, page: start) == pfn)
    #expect(machine.event(.pgreuse) == reused + 1)
    let broken = machine.checkMemory()
    #expect(broken == nil)
  }

  @Test("P2.20: a pinned page is copied for the child at once; the parent keeps it, writable")
  func pinnedPage() throws {
    var machine = try machine(hugePages: false)
    let (parent, child) = try family(&machine, pages: 40, pinned: 7)
    let page = 0x10_0007
    let entry = machine.entry(parent, page: page).entry
    #expect(entry.flags.isSuperset(of: [.write, .exclusive]))
    #expect(machine.frame(child, page: page) != entry.pfn)
    #expect(machine.frame(child, page: page + 1) == machine.frame(parent, page: page + 1))
    _ = machine.faultRange(parent, page..<page + 1, .write)
    #expect(machine.frame(parent, page: page) == entry.pfn)
    // P1.8: one mapping and one pin.
    #expect(machine.references(Folio(entry.pfn, order: 0)) == 1025)
  }

  @Test("P2.20: the leaf of a pinned huge page is split, and each page copied")
  func pinnedHugePage() throws {
    var machine = try machine(hugePages: true)
    let (parent, child) = try family(&machine, pages: 1024, pinned: 3)
    #expect(machine.event(.thpSplitPMD) == 1)
    #expect(machine.entry(parent, page: 0x10_0000).level == .pte)
    #expect(machine.entry(parent, page: 0x10_0200).level == .pmd)
    #expect(machine.frame(child, page: 0x10_0005) != machine.frame(parent, page: 0x10_0005))
    #expect(machine.frame(child, page: 0x10_0205) == machine.frame(parent, page: 0x10_0205))
  }

  @Test("P2.21, P2.23: a write to a shared huge page splits the leaf and copies one page")
  func writeToSharedHugePage() throws {
    var machine = try machine(hugePages: true)
    let (parent, child) = try family(&machine, pages: 512)
    let head = machine.frame(parent, page: 0x10_0000) ?? PFN(0)
    let folio = Folio(head, order: 9)
    #expect(machine.references(folio) == 2 && machine.entireMappings(folio) == 2)
    _ = machine.faultRange(child, 0x10_0010..<0x10_0011, .write)
    #expect(machine.event(.thpSplitPMD) == 1)
    // The parent's leaf and 511 entries of the child.
    #expect(machine.references(folio) == 512 && machine.mappings(folio) == 512)
    // All of it is still mapped by the parent, so nothing waits for a split.
    #expect(machine.deferredSplits.isEmpty)
    machine.exit(parent)
    #expect(machine.deferredSplits == [head])
    let broken = machine.check() ?? machine.checkMemory()
    #expect(broken == nil)
  }

  @Test("A fork without memory leaves no child behind")
  func outOfMemory() throws {
    var machine = try machine(hugePages: false)
    let parent = machine.createSpace(name: "parent") ?? 0
    let start = try machine.mapArea(parent, pages: 2000, [.read, .write], .anonymous).get()
    _ = machine.faultRange(parent, start..<start + 2000, .write)
    for failing in 1...7 {
      machine.failAllocation = failing
      var fork = ForkOperation(parent: parent, name: "child")
      let outcome = fork.run(&machine)
      guard case .failure(let refusal) = outcome else {
        Issue.record("allocation \(failing) failed, but the fork did not")
        return
      }
      #expect(refusal.errno == .ENOMEM)
      let broken = machine.check() ?? machine.checkMemory()
      #expect(broken == nil, "allocation \(failing)")
      #expect(machine.spaces[parent].mmapLock == 0)
      #expect(machine.spaces[parent].writeProtectSequence % 2 == 0)
    }
  }

  @Test("P9.32: between the steps of an unmap the gather holds the pages")
  func gatheredPages() throws {
    var machine = try machine(hugePages: false)
    let parent = machine.createSpace(name: "parent") ?? 0
    let start = try machine.mapArea(parent, pages: 4, [.read, .write], .anonymous).get()
    _ = machine.faultRange(parent, start..<start + 4, .write)
    machine.drainLRU(cpu: 0)
    let folio = Folio(machine.frame(parent, page: start) ?? PFN(0), order: 0)
    var unmap = UnmapOperation(space: parent, pages: start..<start + 4)
    _ = unmap.advance(&machine, .step)
    _ = unmap.advance(&machine, .step)
    #expect(machine.mappings(folio) == 0 && machine.references(folio) == 1)
    unmap.run(&machine)
    #expect(machine.frames.head(folio.head).kind != .allocated)
  }
}

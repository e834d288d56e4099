import ModelTesting
import Testing

@testable import MemoryModel

private func some<Value>(_ value: Value?) throws -> Value { try #require(value) }

/// The pool of huge pages: who enters and leaves it where, and what its counters say.
@Suite struct HugePoolTests {
  /// S(16384) with a CMA area of two largest blocks, 12288 to 14335.
  private func machine() throws -> Machine {
    try Machine.restore(.single(pages: 16384, cma: PFNRange(12288, 14336)))
  }

  /// A machine whose pool holds exactly these pages, in list order: `c` stands for a page in CMA, `n`
  /// for one outside.
  private func machine(pool: String) throws -> Machine {
    var image = MachineImage.single(pages: 16384, cma: PFNRange(12288, 14336))
    var next = (cma: 12288, normal: 4096)
    var pages = HugePoolImage(order: 9)
    for letter in pool {
      if letter == "c" {
        pages.free.append(next.cma)
        next.cma += 512
      } else {
        pages.free.append(next.normal)
        next.normal += 512
      }
    }
    pages.total = pool.count
    pages.maximum = pool.count
    for (type, end) in [(MigrateType.cma, next.cma), (.movable, next.normal)] {
      let start = type == .cma ? 12288 : 4096
      let blocks = (end - start + 1023) / 1024
      image.zones[0].freeLists[10][type]!.removeAll { (start..<end).contains($0) }
      if end % 1024 != 0 { image.zones[0].freeLists[9][type, default: []].append(end) }
      let taken = end % 1024 == 0 ? blocks * 1024 : blocks * 1024 - 512
      image.zones[0].freePages -= taken
      if type == .cma { image.zones[0].freeCMAPages -= taken }
    }
    image.hugePools = [pages]
    let machine = try Machine.restore(image)
    #expect(machine.check() == nil)
    return machine
  }

  private typealias HugePoolImage = MachineImage.HugePoolImage

  private func list(_ machine: borrowing Machine) -> [Int] {
    machine.freeHugePages(order: 9).map(\.index)
  }

  /// Events of one kind since `first`.
  private func pages(
    _ machine: borrowing Machine, _ kind: TraceEvent.Kind, from first: Int
  ) -> [Int] {
    machine.trace.events(from: first).filter { $0.kind == kind }.map { Int($0.pfn) }
  }

  // MARK: Size

  @Test("set_max_huge_pages(): new pages come before old ones, each batch as it was allocated")
  func growing() throws {
    var machine = try machine()
    #expect(try machine.setHugePages(order: 9, count: 3) == nil)
    #expect(list(machine) == [4096, 4608, 5120])
    #expect(try machine.setHugePages(order: 9, count: 5) == nil)
    #expect(list(machine) == [5632, 6144, 4096, 4608, 5120])
    let pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 5 && pool.free == 5 && pool.maximum == 5 && pool.surplus == 0)
    #expect(machine.event(named: "htlb_buddy_alloc_success") == 5)
    #expect(machine.check() == nil)
  }

  @Test("P2.32: the pool asks for movable blocks, and hard")
  func allocationMask() throws {
    var machine = try machine()
    try machine.setHugePages(order: 9, count: 1)
    let event = try some(machine.trace.events().last { $0.kind == .pageAlloc })
    // As the recordings show it: 0x346cca.
    #expect(event.argument0 == 0x34_6CCA)
  }

  @Test("remove_pool_hugetlb_folio(): pages leave from the head and are freed in that order")
  func shrinking() throws {
    var machine = try machine()
    try machine.setHugePages(order: 9, count: 3)
    try machine.setHugePages(order: 9, count: 5)
    let before = machine.trace.total
    try machine.setHugePages(order: 9, count: 2)
    #expect(pages(machine, .pageFree, from: before) == [5632, 6144, 4096])
    #expect(list(machine) == [4608, 5120])
    #expect(machine.check() == nil)
    try machine.setHugePages(order: 9, count: 0)
    machine.drainAllPages()
    #expect(machine.check() == nil)
    #expect(machine.freePagesSnapshot(ZoneIndex.dma32.rawValue) == 16384)
  }

  @Test("A write that memory cannot serve succeeds with fewer pages")
  func exhausted() throws {
    var machine = try machine()
    let refusal = try machine.setHugePages(order: 9, count: 100)
    #expect(refusal?.errno == .ENOMEM)
    let pool = try some(machine.hugePool(order: 9))
    #expect(pool.total > 20 && pool.total < 32 && pool.maximum == pool.total)
    #expect(machine.event(named: "htlb_buddy_alloc_fail") == 1)
    #expect(machine.check() == nil)
  }

  @Test("Pages in use become surplus, and leave the pool when they are returned")
  func surplus() throws {
    var machine = try machine()
    try machine.setHugePages(order: 9, count: 4)
    var held: [PFN] = []
    for _ in 0..<3 { held.append(try some(machine.takeHugePage(order: 9))) }
    try machine.setHugePages(order: 9, count: 1)
    var pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 3 && pool.free == 0 && pool.surplus == 2 && pool.maximum == 1)
    let first = try machine.returnHugePage(held[0])
    let second = try machine.returnHugePage(held[1])
    let third = try machine.returnHugePage(held[2])
    #expect(!first && !second && third)
    pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 1 && pool.free == 1 && pool.surplus == 0)
    #expect(list(machine) == [held[2].index])
    // A larger pool takes surplus pages in before it asks the buddy.
    let page = try some(machine.takeHugePage(order: 9))
    try machine.setHugePages(order: 9, count: 0)
    let before = machine.trace.total
    try machine.setHugePages(order: 9, count: 1)
    #expect(machine.trace.total == before)
    #expect(try machine.returnHugePage(page) == true)
    #expect(machine.check() == nil)
  }

  @Test("hstate_next_node_to_alloc(): nodes take turns, and one can be named")
  func nodes() throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [64 << 20, 64 << 20])
    var machine = try Machine.boot(configuration)
    try machine.setHugePages(order: 9, count: 5)
    var pool = try some(machine.hugePool(order: 9))
    #expect(pool.nodes.map(\.total) == [3, 2])
    try machine.setHugePages(order: 9, count: 6, node: 1)
    pool = try some(machine.hugePool(order: 9))
    #expect(pool.nodes.map(\.total) == [3, 6] && pool.maximum == 9)
    try machine.setHugePages(order: 9, count: 0, node: 0)
    pool = try some(machine.hugePool(order: 9))
    #expect(pool.nodes.map(\.total) == [0, 6])
    // The nearest node first, then the others.
    let page = try some(machine.takeHugePage(order: 9, node: 0))
    #expect(machine.node(of: page) == 1)
    #expect(machine.takeHugePage(order: 9, node: 0, gfp: [.movable, .highMem, .thisNode]) == nil)
    #expect(machine.check() == nil)
  }

  @Test("A write is a step a block: others may run in between")
  func steps() throws {
    var machine = try machine()
    var resize = try machine.beginHugePoolResize(order: 9, count: 3)
    #expect(machine.advance(&resize) == .allocated(PFN(4096)))
    _ = machine.allocate(1, order: 10, .plainMovable)
    #expect(machine.check() == nil)
    #expect(machine.advance(&resize) == .allocated(PFN(4608)))
    #expect(list(machine) == [])
    machine.interrupt(&resize)
    #expect(list(machine) == [4096, 4608])
    #expect(machine.advance(&resize) == .done)
    #expect(machine.check() == nil)
  }

  // MARK: Taking and returning

  @Test("free_huge_folio(): what comes back is taken next")
  func lastInFirstOut() throws {
    var machine = try machine()
    try machine.setHugePages(order: 9, count: 3)
    let one = try some(machine.takeHugePage(order: 9))
    let two = try some(machine.takeHugePage(order: 9))
    #expect([one.index, two.index] == [4096, 4608])
    try machine.returnHugePage(one)
    try machine.returnHugePage(two)
    #expect(list(machine) == [4608, 4096, 5120])
  }

  @Test("P2.36, S1.11: a task that pins for long passes over what it may not pin")
  func pinScope() throws {
    var machine = try machine(pool: "cncn")
    #expect(machine.takeHugePage(order: 9, inPinScope: true) == PFN(4096))
    #expect(machine.takeHugePage(order: 9, inPinScope: true) == PFN(4608))
    #expect(machine.takeHugePage(order: 9, inPinScope: true) == nil)
    #expect(machine.takeHugePage(order: 9) == PFN(12288))
  }

  @Test("P6.3: isolated pageblocks are passed over in a pin scope only")
  func isolated() throws {
    var machine = try machine(pool: "nn")
    machine.frames.setMigrateType(PFN(4096), .isolate)
    #expect(machine.takeHugePage(order: 9, inPinScope: true) == PFN(4608))
    #expect(machine.takeHugePage(order: 9) == PFN(4096))
  }

  @Test("P2.36: a promised page in CMA does not help a long pin; a fault then gets ENOSPC")
  func promiseWithoutPage() throws {
    var machine = try machine(pool: "cc")
    #expect(try machine.reserveHugePages(order: 9, 2) == nil)
    let result = machine.allocateHugePage(order: 9, usingReserve: true, inPinScope: true)
    guard case .refused(let refusal) = result else {
      Issue.record("\(result)")
      return
    }
    #expect(refusal.errno == .ENOSPC && refusal.rule == "P2.36")
    #expect(machine.hugePool(order: 9)?.reserved == 2)
    // With overcommit there is a fresh page, which is surplus.
    try machine.setHugeOvercommit(order: 9, count: 1)
    let pfn = try some(machine.allocateHugePage(order: 9, usingReserve: true, inPinScope: true).pfn)
    #expect(machine.frames.migrateType(pfn) != .cma)
    let pool = try some(machine.hugePool(order: 9))
    #expect(pool.reserved == 1 && pool.surplus == 1 && pool.total == 3)
    #expect(machine.check() == nil)
  }

  // MARK: Promises

  @Test("hugetlb_acct_memory(): promises are kept from those who have none")
  func promises() throws {
    var machine = try machine()
    try machine.setHugePages(order: 9, count: 2)
    #expect(try machine.reserveHugePages(order: 9, 2) == nil)
    #expect(try machine.reserveHugePages(order: 9, 1)?.errno == .ENOMEM)
    #expect(machine.allocateHugePage(order: 9, usingReserve: false).pfn == nil)
    let pfn = try some(machine.allocateHugePage(order: 9, usingReserve: true).pfn)
    #expect(machine.hugePool(order: 9)?.reserved == 1)
    #expect(machine.hugePageFlags(pfn).contains(.restoreReserve))
    // Freed before the fault is over, the promise comes back.
    try machine.returnHugePage(pfn)
    #expect(machine.hugePool(order: 9)?.reserved == 2)
    let again = try some(machine.allocateHugePage(order: 9, usingReserve: true).pfn)
    machine.finishHugeFault(again)
    #expect(machine.hugePageFlags(again) == [.hugetlb, .migratable])
    try machine.returnHugePage(again)
    #expect(machine.hugePool(order: 9)?.reserved == 1)
    // A pool does not shrink below what it promised.
    try machine.setHugePages(order: 9, count: 0)
    let pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 1 && pool.surplus == 1 && pool.maximum == 0)
    try machine.unreserveHugePages(order: 9, 1)
    #expect(machine.hugePool(order: 9)?.total == 0)
    #expect(machine.check() == nil)
  }

  @Test("gather_surplus_pages(): promises beyond the pool make surplus pages, up to the limit")
  func overcommit() throws {
    var machine = try machine()
    try machine.setHugePages(order: 9, count: 1)
    try machine.setHugeOvercommit(order: 9, count: 2)
    #expect(try machine.reserveHugePages(order: 9, 4)?.errno == .ENOMEM)
    var pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 1 && pool.reserved == 0 && pool.surplus == 0)
    #expect(try machine.reserveHugePages(order: 9, 3) == nil)
    pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 3 && pool.reserved == 3 && pool.surplus == 2)
    #expect(machine.check() == nil)
    try machine.unreserveHugePages(order: 9, 3)
    pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 1 && pool.surplus == 0)
    #expect(machine.check() == nil)
  }

  @Test("P3.70: memfd_pin_folios() fills a hole with a promised page")
  func filledHole() throws {
    var machine = try machine(pool: "cn")
    try machine.reserveHugePages(order: 9, 1)
    #expect(machine.takeReservedHugePage(order: 9, inPinScope: true) == PFN(4096))
    #expect(machine.hugePool(order: 9)?.reserved == 0)
    // The other page lies in CMA.
    #expect(machine.takeReservedHugePage(order: 9, inPinScope: true) == nil)
    #expect(machine.hugePool(order: 9)?.reserved == 0)
  }

  // MARK: Migration

  @Test("P4.15: a free page of the pool is the target; it stays, and the old one comes back")
  func migrationWithinPool() throws {
    var machine = try machine(pool: "cn")
    let old = try some(machine.takeHugePage(order: 9))
    let target = machine.allocateHugeMigrationTarget(order: 9, inPinScope: true)
    let new = try some(target.pfn)
    #expect(new == PFN(4096))
    machine.moveHugePageState(from: old, to: new)
    #expect(try machine.returnHugePage(old) == true)
    #expect(list(machine) == [old.index])
    #expect(machine.hugePool(order: 9)?.total == 2)
  }

  @Test("P4.15: a temporary target takes the old page's place, and the old one goes to the buddy")
  func migrationWithTemporary() throws {
    var machine = try machine(pool: "cc")
    let old = try some(machine.takeHugePage(order: 9))
    machine.finishHugeFault(old)
    let new = try some(machine.allocateHugeMigrationTarget(order: 9, inPinScope: true).pfn)
    #expect(machine.hugePool(order: 9)?.total == 3)
    #expect(machine.hugePageFlags(new).contains(.temporary))
    machine.moveHugePageState(from: old, to: new)
    #expect(machine.hugePageFlags(old).contains(.temporary))
    #expect(try machine.returnHugePage(old) == false)
    #expect(machine.hugePool(order: 9)?.total == 2)
    #expect(try machine.returnHugePage(new) == true)
    #expect(list(machine) == [new.index, 12800])
    #expect(machine.check() == nil)
  }

  @Test("P4.15: a target that was not needed goes back to the buddy")
  func unusedTarget() throws {
    var machine = try machine()
    let new = try some(machine.allocateHugeMigrationTarget(order: 9, inPinScope: true).pfn)
    #expect(try machine.returnHugePage(new) == false)
    #expect(machine.hugePool(order: 9)?.total == 0)
    #expect(machine.check() == nil)
  }

  @Test("P1.31: one isolator at a time")
  func isolators() throws {
    var machine = try machine(pool: "n")
    let page = try some(machine.takeHugePage(order: 9))
    #expect(machine.isolateHugePage(page) == false)
    machine.finishHugeFault(page)
    #expect(machine.isolateHugePage(page) == true)
    #expect(machine.isolateHugePage(page) == false)
    machine.putBackHugePage(page)
    #expect(machine.isolateHugePage(page) == true)
  }

  @Test("P4.15, P5.13: a gigantic page is no target, and is not replaced")
  func gigantic() throws {
    var machine = try machine()
    #expect(machine.hugePool(order: 18)?.total == 0)
    let refusal = try machine.setHugePages(order: 18, count: 1)
    #expect(refusal?.errno == .ENOMEM && refusal?.rule == "P5.30")
    #expect(machine.allocateHugeMigrationTarget(order: 18, inPinScope: false).pfn == nil)
    #expect(try machine.setHugeOvercommit(order: 18, count: 1)?.errno == .EINVAL)
  }

  // MARK: Emptying a range

  @Test("P5.13: a free page in the range is replaced by a fresh one, and the pool keeps its size")
  func replaced() throws {
    var machine = try machine(pool: "cn")
    #expect(try machine.replaceFreeHugePage(PFN(12288)) == nil)
    let pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 2 && pool.free == 2 && pool.maximum == 2)
    #expect(list(machine).count == 2 && list(machine)[1] == 4096)
    #expect(list(machine)[0] != 12288)
    #expect(machine.check() == nil)
    machine.failAllocation = 1
    #expect(try machine.replaceFreeHugePage(PFN(4096))?.errno == .ENOMEM)
    #expect(list(machine).contains(4096))
  }

  @Test("P6.2: a free page is dissolved unless all are promised or it is in use")
  func dissolved() throws {
    var machine = try machine(pool: "nnn")
    let used = try some(machine.takeHugePage(order: 9))
    #expect(machine.dissolveFreeHugePage(used)?.errno == .EBUSY)
    try machine.reserveHugePages(order: 9, 1)
    #expect(machine.dissolveFreeHugePage(PFN(4608)) == nil)
    #expect(machine.dissolveFreeHugePage(PFN(5120))?.errno == .EBUSY)
    #expect(machine.dissolveFreeHugePage(PFN(8192)) == nil)
    let pool = try some(machine.hugePool(order: 9))
    #expect(pool.total == 2 && pool.free == 1 && pool.maximum == 2)
    #expect(machine.check() == nil)
  }
}

/// Boot, images, misuse, and the check itself.
@Suite struct HugePoolStateTests {
  private func boot(
    _ bytes: [Int], _ requests: [MachineConfiguration.HugePageRequest], movable: Int = 0
  ) throws -> Machine {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: bytes)
    configuration.cpuNodes = bytes.indices.map { $0 }
    configuration.hugePages = requests
    if movable > 0 { configuration.movablecore = .pages(movable >> 12) }
    let machine = try Machine.boot(configuration)
    #expect(machine.check() == nil)
    return machine
  }

  @Test("hugetlb_pages_alloc_boot(): two chunks on one node, the second in front of the first")
  func bootChunks() throws {
    let machine = try boot([1 << 30], [.init(pages: 48)], movable: 512 << 20)
    let pages = machine.freeHugePages(order: 9).map(\.index)
    let start = machine.zone(ZoneIndex.movable.rawValue).start
    // The block below the firmware's pages is no largest one, so it is the first to be taken.
    let allocated = [261_120] + (0..<47).map { start + $0 * 512 }
    #expect(pages == Array(allocated[24...] + allocated[..<24]))
    #expect(machine.hugePool(order: 9)?.maximum == 48)
  }

  @Test("hugepages=<node>:<pages>: each page enters alone, so the last one is the head")
  func bootOnNodes() throws {
    let machine = try boot(
      [64 << 20, 64 << 20], [.init(pages: 2, node: 1), .init(pages: 1, node: 0)])
    let pool = try some(machine.hugePool(order: 9))
    #expect(pool.nodes.map(\.total) == [1, 2] && pool.maximum == 3)
    let pages = machine.freeHugePages(order: 9, node: 1)
    // The block at the end is no largest one, so it was the first to be taken.
    #expect(pages == [PFN(0x4000), PFN(0x7C00)])
  }

  @Test("Boot takes what there is")
  func bootWithTooMany() throws {
    let machine = try boot([64 << 20], [.init(pages: 1 << 20)])
    let pool = try some(machine.hugePool(order: 9))
    #expect(pool.total > 16 && pool.total < 32 && pool.maximum == pool.total)
  }

  @Test("Requests that no machine can have are refused at boot")
  func badRequests() throws {
    for request: MachineConfiguration.HugePageRequest in [
      .init(pages: -1), .init(pages: 1, order: 18), .init(pages: 1, node: 1),
    ] {
      #expect(throws: MemoryError.self) { _ = try boot([64 << 20], [request]) }
    }
  }

  @Test("A fork has the same pool, and a pool of its own")
  func forks() throws {
    let original = try boot([256 << 20], [.init(pages: 8)])
    var fork = try original.fork()
    #expect(difference(original, fork) == nil)
    let page = try some(fork.takeHugePage(order: 9))
    #expect(difference(original, fork) != nil)
    #expect(original.hugePool(order: 9)?.free == 8)
    try fork.returnHugePage(page)
    #expect(fork.freeHugePages(order: 9) == original.freeHugePages(order: 9))
    var third = try original.fork()
    try third.setHugePages(order: 9, count: 0)
    third.assign(from: original)
    #expect(difference(original, third) == nil)
  }

  private func expectMisuse(
    _ machine: inout Machine, sourceLocation: SourceLocation = #_sourceLocation,
    _ call: (inout Machine) throws(MemoryError) -> Void
  ) {
    do throws(MemoryError) {
      try call(&machine)
      Issue.record("accepted", sourceLocation: sourceLocation)
    } catch {
      #expect(error.code == .misuse, sourceLocation: sourceLocation)
    }
  }

  @Test("Misuse is refused in words")
  func misuse() throws {
    var machine = try boot([64 << 20], [.init(pages: 2)])
    let page = try some(machine.takeHugePage(order: 9))
    let free = try some(machine.freeHugePages(order: 9).first)
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.freePages(page, order: 9)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.freePages(free, order: 9)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in _ = try machine.returnHugePage(free) }
    expectMisuse(&machine) { machine throws(MemoryError) in _ = try machine.returnHugePage(page + 1)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.replaceFreeHugePage(page)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.setHugePages(order: 3, count: 1)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.setHugePages(order: 9, count: -1)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.setHugePages(order: 9, count: 1, node: 1)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.setHugeOvercommit(order: 9, count: -1)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.reserveHugePages(order: 9, -1)
    }
    expectMisuse(&machine) { machine throws(MemoryError) in
      _ = try machine.unreserveHugePages(order: 9, 1)
    }
    #expect(machine.check() == nil)
  }

  @Test("The check finds each counter and flag that is wrong")
  func brokenPools() throws {
    let breakages: [(inout Machine) -> Void] = [
      { $0.hugePools[1].total += 1 },
      { $0.hugePools[1].free += 1 },
      { $0.hugePools[1].surplus += 1 },
      { $0.hugePools[1].reserved = 9 },
      { $0.hugePools[1].nodes[0].total -= 1 },
      { $0.hugePools[1].nodes[0].surplus = -1 },
      { $0.hugePools[1].nodes[0].list.count += 1 },
      { $0.setHugePageFlags($0.freeHugePages(order: 9)[0], []) },
      { $0.setHugePageFlags($0.freeHugePages(order: 9)[0], [.hugetlb, .migratable]) },
      { $0.setHugePageFlags(PFN(0), .hugetlb) },
    ]
    for (index, breakage) in breakages.enumerated() {
      var machine = try boot([64 << 20], [.init(pages: 4)])
      breakage(&machine)
      #expect(machine.check() != nil, "breakage \(index)")
    }
  }

  @Test("A state whose counters contradict its pages cannot be restored")
  func badImages() throws {
    func restore(_ edit: (inout MachineImage.HugePoolImage) -> Void) throws {
      var image = MachineImage.single(pages: 16384)
      image.zones[0].freeLists[10][.movable]!.removeFirst()
      image.zones[0].freePages -= 1024
      var pool = MachineImage.HugePoolImage(order: 9)
      pool.free = [4096, 4608]
      pool.total = 2
      edit(&pool)
      image.hugePools = [pool]
      _ = try Machine.restore(image)
    }
    try restore { _ in }
    let edits: [(inout MachineImage.HugePoolImage) -> Void] = [
      { $0.total = 3 }, { $0.free[0] = 5120 }, { $0.free[1] = 4096 }, { $0.free[0] = 4097 },
      { $0.reserved = 3 }, { $0.surplus = [3] }, { $0.surplus = [0, 0] }, { $0.order = 10 },
      { $0.overcommit = .max }, { $0.free[0] = -512 }, { $0.free[0] = 1 << 40 },
    ]
    for (index, edit) in edits.enumerated() {
      #expect(throws: MemoryError.self, "edit \(index)") { try restore(edit) }
    }
  }

  @Test("Random use of the pool keeps every invariant and every page")
  func randomUse() throws {
    for seed in Seeds.list(1...6) {
      var random = SplitMix64(seed: seed)
      var configuration = MachineConfiguration()
      try configuration.layOut(bytesPerNode: [48 << 20, 48 << 20])
      configuration.cmaAreas = [.init(name: "reserved", pages: 2048)]
      var machine = try Machine.boot(configuration)
      var used: [PFN] = []
      var promised = 0
      for step in 0..<400 {
        switch random.below(9) {
        case 0: try machine.setHugePages(order: 9, count: random.below(20))
        case 1:
          try machine.setHugePages(order: 9, count: random.below(10), node: random.below(2))
        case 2: try machine.setHugeOvercommit(order: 9, count: random.below(4))
        case 3:
          let count = random.below(5)
          if try machine.reserveHugePages(order: 9, count) == nil { promised += count }
        case 4:
          let count = random.below(promised + 1)
          try machine.unreserveHugePages(order: 9, count)
          promised -= count
        case 5, 6:
          let usesPromise = promised > 0 && random.below(2) == 0
          let result = machine.allocateHugePage(
            order: 9, node: random.below(2), usingReserve: usesPromise,
            inPinScope: random.below(2) == 0)
          if let pfn = result.pfn {
            machine.finishHugeFault(pfn)
            used.append(pfn)
            if usesPromise { promised -= 1 }
          }
        case 7:
          guard !used.isEmpty else { break }
          try machine.returnHugePage(used.remove(at: random.below(used.count)))
        default:
          guard !used.isEmpty else { break }
          let index = random.below(used.count)
          guard
            let new = machine.allocateHugeMigrationTarget(
              order: 9, node: random.below(2), inPinScope: random.below(2) == 0,
              mayLeaveNode: random.below(2) == 0
            ).pfn
          else { break }
          machine.moveHugePageState(from: used[index], to: new)
          try machine.returnHugePage(used[index])
          machine.finishHugeFault(new)
          used[index] = new
        }
        if let free = machine.freeHugePages(order: 9).randomElement(using: &random) {
          if random.below(8) == 0 { _ = try machine.replaceFreeHugePage(free) }
          if random.below(16) == 0 { _ = machine.dissolveFreeHugePage(free) }
        }
        #expect(machine.hugePool(order: 9)?.reserved == promised)
        let broken = machine.check()
        #expect(broken == nil, "seed \(seed), step \(step)")
        if broken != nil { return }
      }
      try machine.unreserveHugePages(order: 9, promised)
      for pfn in used { try machine.returnHugePage(pfn) }
      try machine.setHugePages(order: 9, count: 0)
      machine.drainAllPages()
      #expect(machine.hugePool(order: 9)?.total == 0)
      for zone in machine.populatedZones {
        #expect(machine.freePagesSnapshot(zone) == machine.zone(zone).managed)
      }
    }
  }
}

import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// The hash page tables of powerpc guests (P5.20 to P5.25).
@Suite struct HashTableTests {
  private let space = 0

  private func host(gigabytes: Int = 2, percent: Int? = 5) throws -> Machine {
    var configuration = MachineConfiguration()
    configuration.geometry = .ppc64
    configuration.hashTableReserve = percent
    try configuration.layOut(bytesPerNode: [gigabytes << 30])
    var machine = try Machine.boot(configuration)
    let made = machine.createSpace(name: "vm0")
    try #require(made == space)
    return machine
  }

  private func make(_ order: Int?, _ machine: inout Machine, _ space: Int) throws
    -> Result<HashPageTable, Refusal>
  {
    var call = HashTableAllocation(space: space, order: order)
    return try finish(&call, &machine)
  }

  @Test("P5.20: 256 GiB keep 5 % in bits of 256 KiB, rounded up to pageblocks of 16 MiB")
  func reservation() throws {
    let machine = try host(gigabytes: 256)
    #expect(machine.cmaAreas.map(\.name) == ["kvm_cma"])
    #expect(machine.cmaAreas[0].orderPerBit == 2)
    #expect(machine.cmaAreas[0].bits == 52_480)
    #expect(machine.cmaAreas[0].base % machine.geometry.pageblockPages == 0)
  }

  @Test("P5.22: QEMU asks for a 128th of the RAM, rounded up, between 18 and 46")
  func orders() {
    #expect(HashPageTable.order(forRAM: 128 << 30) == 30)
    #expect(HashPageTable.order(forRAM: 128 << 30 + 1) == 31)
    #expect(HashPageTable.order(forRAM: 65 << 20) == 20)
    #expect(HashPageTable.order(forRAM: 1 << 20) == 18)
    #expect(HashPageTable.order(forRAM: 1 << 62) == 46)
  }

  @Test("P5.21, P5.23: taken from the area with its reverse map, and all freed with the guest")
  func life() throws {
    var machine = try host()
    let free = machine.freePagesSnapshot(machine.populatedZones[0])
    let table = try make(24, &machine, space).get()
    #expect(table.pages == 256)
    #expect(table.pfn.index % 4 == 0)
    #expect(table.reverseMapPages == 256)
    #expect(machine.cmaUsed(area: 0) == 256)
    #expect(machine.cmaAreas[0].allocatedPages == 256)
    #expect(machine.check() == nil)
    // The same order again keeps the table, another one replaces it.
    #expect(try make(24, &machine, space).get() == table)
    #expect(try make(20, &machine, space).get().pages == 16)
    #expect(machine.cmaUsed(area: 0) == 16)
    machine.exit(space)
    #expect(machine.cmaUsed(area: 0) == 0)
    #expect(machine.check() == nil)
    machine.drainAllPages()
    // The process's top table is free, too.
    #expect(machine.freePagesSnapshot(machine.populatedZones[0]) >= free)
  }

  @Test("P5.21: without CMA the buddy serves up to its largest block, and nothing above")
  func buddy() throws {
    var machine = try host(percent: nil)
    let table = try make(24, &machine, space).get()
    #expect(table.area == nil)
    #expect(machine.frames.head(table.pfn).order == 8)
    #expect(machine.check() == nil)
    #expect(throws: Refusal.self) { try make(25, &machine, space).get() }
    // The old one was freed first.
    #expect(machine.spaces[space].hashTable == nil)
    #expect(try make(19, &machine, space).get().pages == 8)
    machine.exit(space)
    #expect(machine.check() == nil)
  }

  @Test("P5.22: nobody asked: order 24, and smaller ones when that fails")
  func defaultOrder() throws {
    var machine = try host(gigabytes: 1)
    // Every second bit is somebody's: runs of one bit are left, 256 KiB.
    let area = machine.cmaAreas[0]
    for bit in stride(from: 0, to: area.bits, by: 2) {
      machine.cmaBitmap.set(bit..<bit + 1, area)
    }
    machine.failAllocation = 0
    var held: [PFN] = []
    while let pfn = machine.allocatePages(order: 3, gfp: [.kernel, .noRetry, .noWarn]).pfn {
      held.append(pfn)
    }
    let table = try make(nil, &machine, space).get()
    #expect(table.order == 18)
    #expect(table.area == 0)
    #expect(machine.event(named: "cma_alloc_fail") == 6)
    #expect(machine.event(named: "cma_alloc_success") == 1)
  }

  @Test("P5.21: orders outside of 18 to 46 are EINVAL")
  func badOrders() throws {
    var machine = try host(gigabytes: 1)
    for order in [17, 47, -1, .max] {
      guard case .failure(let refusal) = try make(order, &machine, space) else {
        Issue.record("order \(order) worked")
        continue
      }
      #expect(refusal.errno == .EINVAL)
    }
    #expect(throws: MemoryError.self) {
      var configuration = MachineConfiguration()
      configuration.hashTableReserve = 5
      try configuration.layOut(bytesPerNode: [1 << 30])
      _ = try Machine.boot(configuration)
    }
  }

  @Test("Killed before any step, or out of memory at any allocation: nothing stays")
  func faults() throws {
    let booted = try host(gigabytes: 1)
    var step = 0
    while true {
      var machine = try booted.fork()
      var call = HashTableAllocation(space: space, order: 20)
      for _ in 0..<step where call.outcome == nil { _ = call.advance(&machine, .step) }
      if call.outcome != nil { break }
      #expect(machine.check() == nil, "step \(step)")
      call.interrupt(&machine)
      #expect(machine.cmaUsed(area: 0) == 0, "step \(step)")
      #expect(machine.check() == nil, "step \(step)")
      #expect(machine.spaces[space].hashTable == nil)
      #expect(try make(20, &machine, space).get().pages == 16)
      step += 1
    }
    #expect(step > 20)
    for nth in 1...16 {
      var machine = try booted.fork()
      machine.failAllocation = nth
      guard case .failure(let refusal) = try make(20, &machine, space) else {
        Issue.record("allocation \(nth) did not matter")
        continue
      }
      #expect(refusal.errno == .ENOMEM)
      #expect(machine.cmaUsed(area: 0) == 0)
      #expect(machine.check() == nil)
    }
  }

  @Test("A long-term pin moves 64 KiB pages out of the area, as it does 4 KiB pages")
  func pinsOfLargePages() throws {
    var machine = try host(gigabytes: 2, percent: 40)
    // What is left outside of the area is less than the area, so pages come from it.
    let start = try machine.mapArea(space, pages: 12_000, [.read, .write], .anonymous).get()
    let run = machine.faultRange(space, start..<start + 12_000, .write)
    #expect(run.done == 12_000)
    machine.drainAllLRU()
    let inside = (start..<start + 12_000).filter { page in
      machine.frame(space, page: page).map { machine.frames.migrateType($0) == .cma } ?? false
    }
    #expect(inside.count > 300)
    var pin = Pin(
      PinRequest(
        space: space, startPage: inside[0], pages: 300, flags: [.write, .longTerm],
        entryPoint: .fast))
    #expect(try finish(&pin, &machine).pages == 300)
    for page in inside[0]..<inside[0] + 300 {
      let pfn = machine.frame(space, page: page)
      #expect(pfn.map { machine.frames.migrateType($0) } != .cma)
    }
    #expect(machine.check() == nil)
    #expect(machine.checkMemory() == nil)
  }
}

import ModelTesting
import Testing

@testable import MemoryModel

/// Isolating pageblocks and giving them back: A6.1 to A6.12.
@Suite struct IsolationTests {
  let zone = ZoneIndex.dma32.rawValue

  /// All blocks of a type as `order:pfn`, the next to be taken first.
  private func lists(_ machine: borrowing Machine, _ type: MigrateType) -> [String] {
    (0...10).flatMap { order in
      machine.freeBlocks(zone, order: order, type).map { "\(order):\($0)" }
    }
  }

  /// Isolation by hand: the counters of whoever is at it are the test's.
  private func restored(_ image: MachineImage) throws -> Machine {
    var machine = try Machine.restore(image)
    machine.operationsInProgress = 1
    return machine
  }

  @Test("A6.3: the first half of a largest block is cut off, the rest keeps its type")
  func firstHalf() throws {
    var machine = try restored(.single(pages: 4096))
    #expect(machine.startIsolation(of: PFNRange(5120, 5632), .contiguousPages) == nil)
    #expect(lists(machine, .isolate) == ["9:5120"])
    // Freed back, so at the head of its list.
    #expect(lists(machine, .movable) == ["9:5632", "10:4096", "10:6144", "10:7168"])
    #expect(machine.freePagesSnapshot(zone) == 4096 - 512)
    #expect(machine.zone(zone).isolatedPageblocks == 1)
    #expect(machine.check() == nil)
    machine.endIsolation(of: PFNRange(5120, 5632), as: .movable)
    // A6.11: its buddy is free and not isolated, so it is freed anew, to the tail.
    #expect(lists(machine, .movable) == ["10:4096", "10:6144", "10:7168", "10:5120"])
    #expect(machine.freePagesSnapshot(zone) == 4096)
    machine.operationsInProgress = 0
    #expect(machine.check() == nil)
  }

  @Test("A6.3: the second half of a largest block, found from before the pageblock")
  func secondHalf() throws {
    var machine = try restored(.single(pages: 4096))
    #expect(machine.largeFreeBlock(covering: PFN(5632)) == PFN(5120))
    #expect(machine.startIsolation(of: PFNRange(5700, 5701), .contiguousPages) == nil)
    #expect(lists(machine, .isolate) == ["9:5632"])
    #expect(lists(machine, .movable) == ["9:5120", "10:4096", "10:6144", "10:7168"])
    #expect(machine.check() == nil)
  }

  @Test("A6.11: an isolated block of order 10 comes back in two steps, and whole")
  func wholeBlock() throws {
    var machine = try restored(.single(pages: 4096))
    let block = machine.allocate(1, order: 10, .plainMovable)
    #expect(block == [4096])
    #expect(machine.startIsolation(of: PFNRange(4096, 5120), .memoryOffline)?.errno == .EBUSY)
    // As its pages leave: freed into isolated pageblocks, where equal types merge.
    machine.frames.clearHead(PFN(4096), order: 10)
    machine.freeOnePage(zone, PFN(4096), order: 10)
    #expect(machine.startIsolation(of: PFNRange(4096, 5120), .memoryOffline) == nil)
    #expect(lists(machine, .isolate) == ["9:4096", "9:4608"])
    for pfn in [4096, 4608] { machine.removeFree(zone, PFN(pfn), order: 9) }
    machine.freeOnePage(zone, PFN(4096), order: 10)
    #expect(lists(machine, .isolate) == ["10:4096"])
    machine.endIsolation(of: PFNRange(4096, 5120), as: .movable)
    #expect(lists(machine, .movable) == ["10:5120", "10:6144", "10:7168", "10:4096"])
    #expect(machine.check() == nil)
  }

  @Test("A6.3, A3.17: small blocks go to the tails, ascending, and come back so")
  func smallBlocks() throws {
    var machine = try restored(
      .drawn("1.0#2...#0######3......." + String(repeating: "#", count: 999)))
    #expect(machine.setIsolate(PFN(4096), .contiguousPages, checking: PFNRange(4096, 4098)) == nil)
    #expect(lists(machine, .isolate) == ["0:4098", "0:4105", "1:4096", "2:4100", "3:4112"])
    #expect(machine.freePagesSnapshot(zone) == 0)
    machine.unsetIsolate(PFN(4096), .movable)
    #expect(lists(machine, .movable) == ["0:4098", "0:4105", "1:4096", "2:4100", "3:4112"])
    #expect(machine.freePagesSnapshot(zone) == 16)
  }

  @Test("A6.2: the first free block on the way down decides, also one that ends too early")
  func largeFreeBlock() throws {
    let machine = try Machine.restore(.drawn("0###" + "#0##" + "3......." + "2...####"))
    for (pfn, found) in [
      (4096, 4096), (4097, 4097), (4099, 4099), (4101, 4101), (4107, 4104), (4111, 4104),
      (4113, 4112), (4116, 4116),
    ] {
      #expect(machine.largeFreeBlock(covering: PFN(pfn)) == PFN(found), "frame \(pfn)")
    }
  }

  @Test("A6.5: which pages are in the way")
  func unmovable() throws {
    var image = MachineImage.drawn("2...##0#" + String(repeating: "#", count: 1016) + "--------")
    let owners: [(offset: Int, owner: Character, lru: Bool, driver: Bool, isObstacle: Bool)] = [
      (4, "A", true, false, false), (5, "M", false, true, false), (7, "F", true, false, false),
      (8, "a", false, false, true), (9, "S", false, false, true), (10, "K", false, false, true),
    ]
    for entry in owners {
      let index = image.allocations.firstIndex { $0.pfn == 4096 + entry.offset }!
      image.allocations[index].owner = entry.owner.asciiValue!
      image.allocations[index].isLRU = entry.lru
      image.allocations[index].isDriverMovable = entry.driver
    }
    var machine = try Machine.restore(image)
    for mode in [IsolationMode.contiguousPages, .memoryOffline, .cmaAllocation] {
      #expect(machine.firstUnmovable(in: PFNRange(4096, 4104), mode) == nil)
      for entry in owners {
        let pfn = 4096 + entry.offset
        let found = machine.firstUnmovable(in: PFNRange(pfn, pfn + 1), mode)
        #expect(found == (entry.isObstacle ? PFN(pfn) : nil), "\(entry.owner)")
      }
      #expect(machine.firstUnmovable(in: PFNRange(4096, 4608), mode) == PFN(4104))
      #expect(machine.firstUnmovable(in: PFNRange(5120, 5121), mode) == PFN(5120), "a hole")
    }
    // AP.13: what lies on a per-CPU list is nobody's.
    try machine.freePages(PFN(4106), order: 0)
    #expect(machine.firstUnmovable(in: PFNRange(4106, 4107), .contiguousPages) == nil)
    // P5.10: a CMA pageblock is only for CMA.
    machine.frames.setMigrateType(PFN(4096), .cma)
    #expect(machine.firstUnmovable(in: PFNRange(4105, 4106), .cmaAllocation) == nil)
    #expect(machine.firstUnmovable(in: PFNRange(4105, 4106), .memoryOffline) == PFN(4105))
  }

  @Test("A6.6: a page in the last or in a middle pageblock leaves everything as it was")
  func failures() throws {
    // The pageblocks start at 4096, 4608, 5120 and 5632; one page of one of them does not move.
    for obstacle in [4100, 4700, 5700] {
      var machine = try Machine.restore(.single(pages: 2048))
      let before = ListSnapshot(machine)
      let held = machine.allocate(2, order: 10, .plainMovable)
      for pfn in held { machine.frames.clearHead(PFN(pfn), order: 10) }
      for pfn in 4096..<6144 where pfn != obstacle {
        machine.freeBlock(zone, PFN(pfn), order: 0, .movable)
      }
      machine.frames.setHead(PFN(obstacle), FrameState(.allocated, order: 0))
      let refusal = machine.startIsolation(of: PFNRange(4096, 6144), .contiguousPages)
      #expect(refusal?.errno == .EBUSY && refusal?.rule == "A6.5", "page at \(obstacle)")
      #expect(machine.zone(zone).isolatedPageblocks == 0)
      #expect(lists(machine, .isolate).isEmpty)
      #expect(machine.freePagesSnapshot(zone) == 2047)
      #expect(machine.check() == nil)
      #expect(ListSnapshot(machine).types == before.types)
    }
  }

  @Test("A6.6: only the part of a middle pageblock that is in the range is looked at")
  func edges() throws {
    // Edge pageblocks are looked at as a whole: page 4100 is outside of the range, and in the way.
    var machine = try Machine.restore(.single(pages: 2048))
    let page = machine.allocate(1, order: 0, .plain)
    #expect(page == [4096])
    let refusal = machine.startIsolation(of: PFNRange(4400, 5120), .contiguousPages)
    #expect(refusal?.errno == .EBUSY)
    #expect(machine.check() == nil)
  }

  @Test("A6.7: a block across the border of the range is in the way")
  func straddling() throws {
    var image = MachineImage.single(pages: 4096, cma: PFNRange(6144, 8192))
    image.zones[0].freeLists[10][.cma] = [7168]
    image.zones[0].freePages -= 1024
    image.zones[0].freeCMAPages -= 1024
    image.allocations = [
      .init(
        pfn: 6144, order: 10, owner: UInt8(ascii: "A"), isLRU: true, isDriverMovable: false)
    ]
    var machine = try restored(image)
    for range in [PFNRange(6144, 6656), PFNRange(6656, 7168)] {
      let refusal = machine.startIsolation(of: range, .cmaAllocation)
      #expect(refusal?.errno == .EBUSY && refusal?.rule == "A6.7")
      #expect(machine.zone(zone).isolatedPageblocks == 0)
    }
    #expect(machine.startIsolation(of: PFNRange(6144, 7168), .cmaAllocation) == nil)
    #expect(machine.check() == nil)
  }

  @Test("AP.16: a pageblock that the zone does not span is never isolated")
  func partialPageblock() throws {
    var machine = try Machine.boot(
      {
        var configuration = MachineConfiguration()
        try configuration.layOut(bytesPerNode: [64 << 20])
        return configuration
      }())
    let refusal = machine.startIsolation(of: PFNRange(1, 2), .contiguousPages)
    #expect(refusal?.errno == .EBUSY)
    // The last 32 frames below the end belong to the firmware.
    #expect(machine.startIsolation(of: PFNRange(16300, 16301), .contiguousPages)?.errno == .EBUSY)
    #expect(machine.check() == nil)
  }

  @Test("A6.12: the first frame that is not free, or not isolated, is named in the event")
  func testing() throws {
    var machine = try restored(.single(pages: 4096, cma: PFNRange(6144, 8192)))
    #expect(machine.startIsolation(of: PFNRange(6144, 7168), .cmaAllocation) == nil)
    #expect(machine.firstNotIsolated(in: PFNRange(6144, 7168)) == nil)
    #expect(machine.firstNotIsolated(in: PFNRange(6144, 7169)) == PFN(7168))
    #expect(machine.firstNotIsolated(in: PFNRange(4096, 4097)) == PFN(4096))
    let events = machine.trace.events().filter { $0.kind == .testPagesIsolated }
    #expect(events.map(\.argument1) == [7168, 7168, 4096])
  }

  @Test("AI.19: a HighAtomic pageblock comes back as Movable, and the reserve is not corrected")
  func highAtomic() throws {
    var image = MachineImage.single(pages: 4096)
    image.zones[0].freeLists[10][.movable] = [4096, 5120, 6144]
    image.zones[0].freeLists[9] = [.highAtomic: [7168], .movable: [7680]]
    image.zones[0].pageblocks.append((7168, 1, .highAtomic))
    image.zones[0].reservedHighAtomic = 512
    image.zones[0].freeHighAtomic = 512
    var machine = try restored(image)
    #expect(machine.check() == nil)
    #expect(machine.startIsolation(of: PFNRange(7168, 7169), .contiguousPages) == nil)
    #expect(machine.zone(zone).freeHighAtomic == 0)
    machine.endIsolation(of: PFNRange(7168, 7169), as: .movable)
    #expect(machine.zone(zone).reservedHighAtomic == 512)
    #expect(lists(machine, .movable) == ["10:4096", "10:5120", "10:6144", "10:7168"])
    #expect(machine.check() == nil)
  }
}

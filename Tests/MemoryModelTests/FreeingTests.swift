import ModelTesting
import Testing

@testable import MemoryModel

/// Freeing and merging on drawn memory: one character per frame, from frame 4096 on.
///
/// A digit is the first frame of a free block of that order, dots are the rest of it, `#` is
/// allocated, `a` and `b` start blocks of order 0 and 1 on a per-CPU list, `-` is nobody's.
@Suite struct FreeingTests {
  let zone = ZoneIndex.dma32.rawValue

  /// Frees one drawn frame past the per-CPU lists.
  private func free(_ machine: inout Machine, _ offset: Int) {
    machine.frames.clearHead(PFN(4096 + offset), order: 0)
    machine.freeOnePage(zone, PFN(4096 + offset), order: 0)
  }

  private func expect(
    _ machine: borrowing Machine, _ picture: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(
      machine.picture(4096..<4096 + picture.count) == picture, sourceLocation: sourceLocation)
    #expect(machine.check() == nil, sourceLocation: sourceLocation)
  }

  private func offsets(_ machine: borrowing Machine, order: Int) -> [Int] {
    machine.freeBlocks(zone, order: order, .movable).map { $0 - 4096 }
  }

  @Test("A3.3, A3.8: the last frame makes the whole block")
  func mergesToTheTop() throws {
    var machine = try Machine.restore(.drawn("########"))
    free(&machine, 0)
    expect(machine, "0#######")
    free(&machine, 2)
    expect(machine, "0#0#####")
    free(&machine, 3)
    expect(machine, "0#1.####")
    for offset in 4..<8 { free(&machine, offset) }
    expect(machine, "0#1.2...")
    free(&machine, 1)
    expect(machine, "3.......")
    #expect(machine.zone(zone).freePages == 8)
  }

  @Test("A3.4: neighbours that are not buddies, or of another order, stay apart")
  func neighbours() throws {
    var machine = try Machine.restore(.drawn("########"))
    // 1 and 2 touch, but 2's buddy is 3.
    free(&machine, 1)
    free(&machine, 2)
    expect(machine, "#00#####")
    // 4 to 6: a block of order 1 beside one of order 0.
    for offset in 4..<7 { free(&machine, offset) }
    expect(machine, "#00#1.0#")
  }

  @Test("A3.5: a frame on a per-CPU list is no buddy")
  func perCPUIsNotFree() throws {
    var image = MachineImage.drawn("####")
    image.zones[0].perCPU[0].highMin = 4
    image.zones[0].perCPU[0].highMax = 4
    var machine = try Machine.restore(image)
    try machine.free([4097])
    expect(machine, "#a##")
    free(&machine, 0)
    expect(machine, "0a##")
    machine.drainAllPages()
    expect(machine, "1.##")
  }

  @Test("A3.10, AP.19: tail when the parent's buddy is free, with the merged order")
  func tailInsertion() throws {
    // The buddy of frame 0's parent is the free pair at 2, so frame 0 may soon merge: tail.
    var machine = try Machine.restore(.drawn("##1.####0#######"))
    free(&machine, 0)
    expect(machine, "0#1.####0#######")
    #expect(offsets(machine, order: 0) == [8, 0])

    // Frame 4's parent has the allocated buddy 6: head.
    free(&machine, 4)
    expect(machine, "0#1.0###0#######")
    #expect(offsets(machine, order: 0) == [4, 8, 0])

    // 12 and 13 merge to order 1; their parent's buddy is 8, of order 2, and not whole: head.
    free(&machine, 12)
    free(&machine, 13)
    expect(machine, "0#1.0###0###1.##")
    #expect(offsets(machine, order: 1) == [12, 2])

    // A parent's buddy that is free, but as two smaller blocks, does not count.
    machine = try Machine.restore(.drawn("##0####0"))
    free(&machine, 0)
    #expect(offsets(machine, order: 0) == [0, 2, 7])
  }

  @Test("A3.9: boot's tail insertion wins over both")
  func forcedTail() throws {
    var machine = try Machine.restore(.drawn("####0###"))
    machine.frames.clearHead(PFN(4096), order: 0)
    machine.freeOnePage(zone, PFN(4096), order: 0, atTail: true)
    #expect(offsets(machine, order: 0) == [4, 0])
  }

  @Test("A3.11: merging takes a buddy from the middle of its list")
  func removalKeepsOrder() throws {
    var machine = try Machine.restore(.drawn("0#0#0#0#"))
    #expect(offsets(machine, order: 0) == [0, 2, 4, 6])
    free(&machine, 3)
    expect(machine, "0#1.0#0#")
    #expect(offsets(machine, order: 0) == [0, 4, 6])
  }

  @Test("A3.12, AP.18: a largest block is freed as two pageblocks, with two updates")
  func twoHalves() throws {
    var image = MachineImage.single(pages: 2048)
    image.zones[0].statThreshold = 600
    image.zones[0].perCPU[0].freeDiff = 0
    var machine = try Machine.restore(image)
    let block = machine.allocate(1, order: 10, .plain)
    #expect(block == [4096])
    #expect(machine.zone(zone).freePages == 1024)
    machine.perCPU[zone].freeDiff = 200
    machine.zoneTable[zone].freePages -= 200

    let freed = machine.event(.pgfree)
    try machine.free(block, order: 10)
    // 200 + 512 is above the threshold and goes to the zone; the second 512 stays pending.
    #expect(machine.zone(zone).freePages == 824 + 712)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).freeDiff == 512)
    #expect(machine.freeBlocks(zone, order: 10, .unmovable) == [4096])
    #expect(machine.perCPUPages(zone: zone, cpu: 0).count == 0)
    #expect(machine.event(.pgfree) - freed == 1024)
    #expect(machine.check() == nil)
  }

  @Test("A3.8.2c: pageblocks of different kinds merge only where both types are mergeable")
  func mergingTypes() throws {
    for (type, merges) in [
      (MigrateType.unmovable, true), (.reclaimable, true), (.cma, false), (.highAtomic, false),
      (.isolate, false),
    ] {
      var machine = try Machine.restore(.single(pages: 1024))
      let block = machine.allocate(1, order: 10, .plainMovable)
      machine.frames.setMigrateType(PFN(4608), type)
      if type == .isolate { machine.countIsolated(1, in: zone) }
      machine.frames.clearHead(PFN(4096), order: 10)
      machine.freeOnePage(zone, PFN(block[0]), order: 10)
      #expect(machine.freeCounts(zone)[10] == (merges ? 1 : 0), "\(type.name)")
      #expect(machine.freeCounts(zone)[9] == (merges ? 0 : 2), "\(type.name)")
      if merges {
        // The half freed last decides, and retypes its buddy.
        #expect(machine.frames.migrateType(PFN(4096)) == type)
        #expect(machine.freeBlocks(zone, order: 10, type) == [4096])
      } else {
        #expect(machine.frames.migrateType(PFN(4608)) == type)
        #expect(machine.freeBlocks(zone, order: 9, type) == [4608])
      }
      #expect(machine.check() == nil)
    }
  }

  @Test("A6.4, AP.26: Isolate blocks count in nr_free and not in NR_FREE_PAGES")
  func isolated() throws {
    var machine = try Machine.restore(.single(pages: 1024))
    let block = machine.allocate(1, order: 9, .plain)
    machine.drainAllPages()
    let before = machine.freePagesSnapshot(zone)
    machine.frames.setMigrateType(PFN(block[0]), .isolate)
    machine.countIsolated(1, in: zone)
    try machine.free(block, order: 9)
    // AI.9: it went past the per-CPU lists.
    #expect(machine.perCPUPages(zone: zone, cpu: 0).count == 0)
    #expect(machine.freeBlocks(zone, order: 9, .isolate) == block)
    #expect(machine.freePagesSnapshot(zone) == before)
    #expect(machine.freeCounts(zone)[9] == 2)
    #expect(machine.check() == nil)
  }

  @Test("A3.4: a buddy in another zone is left alone")
  func zoneBorder() throws {
    // Two zones of a pageblock each, inside one largest block.
    var image = MachineImage.single(pages: 1024)
    image.zones[0].spanned = 512
    image.zones[0].freePages = 512
    image.zones[0].managed = 512
    image.zones[0].present = 512
    image.zones[0].freeLists[10] = [:]
    image.zones[0].freeLists[9] = [.movable: [4096]]
    image.zones[0].pageblocks = [(4096, 1, .movable)]
    image.zones.append(image.zones[0])
    image.zones[1].index = .normal
    image.zones[1].start = 4608
    image.zones[1].freeLists[9] = [.movable: [4608]]
    image.zones[1].pageblocks = [(4608, 1, .movable)]
    var machine = try Machine.restore(image)
    let normal = ZoneIndex.normal.rawValue
    let taken = machine.takeSmallest(normal, order: 9, .movable)
    #expect(taken == PFN(4608))
    machine.freeOnePage(normal, PFN(4608), order: 9)
    #expect(machine.freeBlocks(zone, order: 9, .movable) == [4096])
    #expect(machine.freeBlocks(normal, order: 9, .movable) == [4608])
    #expect(machine.check() == nil)
  }

  @Test("Misuse of free is refused in words")
  func misuse() throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [48 << 20])
    var machine = try Machine.boot(configuration)
    func message(_ machine: inout Machine, _ pfn: Int, _ order: Int) -> String? {
      do throws(MemoryError) {
        try machine.freePages(PFN(pfn), order: order)
        return nil
      } catch {
        return error.message
      }
    }
    let page = machine.allocate(1, order: 0, .kernel)[0]
    let block = machine.allocate(1, order: 4, .kernel)[0]
    let before = ListSnapshot(machine)
    let name = { (pfn: Int) in "pfn 0x" + String(pfn, radix: 16) }
    let texts = [
      (message(&machine, 1 << 30, 0), "pfn 0x40000000 is outside memory, which ends at 0x2fe0"),
      (
        message(&machine, page, 1),
        "\(name(page)) was allocated with order 0, not 1; free it with order 0"
      ),
      (
        message(&machine, block + 3, 0),
        "\(name(block + 3)) lies inside the block of order 4 at \(name(block)); free that"
      ),
      (message(&machine, 20, 0), "pfn 0x14 is reserved since boot and was never allocated"),
    ]
    for (text, expected) in texts { #expect(text == expected) }
    #expect(ListSnapshot(machine) == before)

    try machine.free([page])
    try machine.free([block], order: 4)
    #expect(
      message(&machine, page, 0)
        == "\(name(page)) is free already, on a per-CPU list: a double free?")
    machine.drainAllPages()
    let head = machine.freeBlocks(zone, order: 10, .movable)[0]
    #expect(
      message(&machine, head, 10) == "\(name(head)) is free already (order 10): a double free?")
    #expect(
      message(&machine, head + 5, 0)
        == "\(name(head + 5)) lies inside a free block of order 10 at \(name(head))")
    #expect(machine.check() == nil)
  }
}

extension Machine {
  /// What isolating leaves in the counters, for tests that retype a pageblock by hand.
  fileprivate mutating func countIsolated(_ pageblocks: Int, in zone: Int) {
    zoneTable[zone].isolatedPageblocks = pageblocks
    operationsInProgress = 1
  }
}

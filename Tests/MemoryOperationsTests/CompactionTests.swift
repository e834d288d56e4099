import ModelTesting
import Testing

@testable import MemoryModel

/// Compaction: what it moves, what it leaves, and that nothing is lost on the way.
@Suite struct CompactionTests {
  /// A process whose memory has holes of one page each, so that no larger block is free there.
  private func fragment(_ process: inout PinningProcess, pages: Int) throws -> Int {
    let start = try process.populated(pages)
    for page in stride(from: start, to: start + pages, by: 2) {
      _ = process.machine.advise(process.id, page..<page + 1, .dontNeed)
    }
    process.machine.drainAllPages()
    return start
  }

  private func freeBlocks(_ machine: borrowing Machine, order: Int) -> Int {
    var blocks = 0
    for zone in machine.populatedZones {
      for current in order...machine.geometry.maxOrder {
        blocks += machine.zone(zone).freeCounts[current] << (current - order)
      }
    }
    return blocks
  }

  @Test func memoryWithHolesBecomesWholeBlocks() throws {
    var process = try PinningProcess(megabytes: 32, cma: 0)
    let start = try fragment(&process, pages: 4096)
    let before = freeBlocks(process.machine, order: 9)
    let free = process.machine.populatedZones.reduce(0) {
      $0 + process.machine.freePagesSnapshot($1)
    }
    process.machine.compactMemory()
    process.machine.drainAllPages()
    // 2048 single pages were free, as much as four huge pages.
    #expect(freeBlocks(process.machine, order: 9) >= before + 2)
    #expect(
      process.machine.populatedZones.reduce(0) { $0 + process.machine.freePagesSnapshot($1) }
        == free)
    for page in start..<start + 4096 {
      #expect((process.machine.frame(process.id, page: page) != nil) == ((page - start) % 2 == 1))
    }
    #expect(process.sound == nil)
  }

  @Test func slicesAndInterruptsOfCompactMemory() throws {
    var process = try PinningProcess(megabytes: 256, cma: 0)
    _ = try fragment(&process, pages: 50_000)
    var whole = try PinningProcess(process)
    var work = CompactMemory()
    #expect(work.advance(&whole.machine, .step) == .finished)
    var slices = 0
    var inSlices = try PinningProcess(process)
    work = CompactMemory()
    while work.advance(&inSlices.machine, .slice) == .running { slices += 1 }
    #expect(slices > 1)
    #expect(work.outcome.map { $0 > 10_000 } ?? false)
    #expect(try inSlices.machine.firstDifference(from: whole.machine) == nil)
    for wanted in 0...slices {
      var stopped = try PinningProcess(process)
      work = CompactMemory()
      for _ in 0..<wanted { _ = work.advance(&stopped.machine, .slice) }
      work.interrupt(&stopped.machine)
      #expect(stopped.sound == nil, "after \(wanted) slices")
      #expect(work.outcome == stopped.machine.event(.migrateSuccess), "after \(wanted) slices")
      // Somebody else goes on.
      stopped.machine.compactMemory()
      #expect(stopped.sound == nil, "after \(wanted) slices")
    }
  }

  @Test func aCheckStopsWhenItIsTold() throws {
    var process = try PinningProcess(megabytes: 32, cma: 0)
    _ = try fragment(&process, pages: 1024)
    #expect(process.machine.check(goesOn: { false }) == Machine.checkWasStopped)
    #expect(process.machine.checkMemory(goesOn: { false }) == Machine.checkWasStopped)
    var asked = 0
    #expect(
      process.machine.checkMemory(goesOn: {
        asked += 1
        return asked < 2
      }) == Machine.checkWasStopped)
    #expect(process.sound == nil)
  }

  @Test func pinnedPagesStay() throws {
    var process = try PinningProcess(megabytes: 32, cma: 0)
    let start = try fragment(&process, pages: 1024)
    _ = try process.pin(start + 1, 1, .write)
    _ = try process.pin(start + 513, 1, .write)
    let pinned = [start + 1, start + 513].map { process.machine.frame(process.id, page: $0) }
    process.machine.compactMemory()
    #expect(
      [start + 1, start + 513].map { process.machine.frame(process.id, page: $0) } == pinned)
    #expect(process.machine.event(.migrateSuccess) > 0)
    #expect(process.sound == nil)
  }

  @Test func aRequestCompactsForItsBlock() throws {
    // Nearly all memory is used, in single pages with holes between.
    var process = try PinningProcess(megabytes: 32, cma: 0)
    _ = try fragment(&process, pages: 6600)
    var taken: [PFN] = []
    let quick = GFPFlags.highUserMovable.subtracting(.reclaim).union(.comp)
    while let pfn = process.machine.allocatePages(order: 9, gfp: quick).pfn { taken.append(pfn) }
    #expect(process.machine.event(.compactStall) == 0)
    let gfp: GFPFlags = [.highUserMovable, .noRetry, .comp]
    let result = process.machine.allocatePages(order: 9, gfp: gfp)
    #expect(process.machine.event(.compactStall) > 0)
    #expect(result.pfn != nil)
    #expect(process.machine.event(.compactSuccess) == 1)
    #expect(process.sound == nil)
  }

  @Test func aListTurnsAsTheKernelTurnsIt() throws {
    var process = try PinningProcess(megabytes: 32, cma: 0)
    let gfp = GFPFlags.highUserMovable
    var pages: [PFN] = []
    for _ in 0..<64 {
      if let pfn = process.machine.allocatePages(order: 4, gfp: gfp).pfn { pages.append(pfn) }
    }
    for pfn in pages where pfn.index & 0x10 == 0 {
      try process.machine.freePages(pfn, order: 4)
    }
    let zone = process.machine.populatedZones.last ?? 0
    let index = 4 * MigrateType.count + Int(MigrateType.movable.rawValue)
    let before = process.machine.frames.blocks(process.machine.zoneTable[zone].freeLists[index])
    try #require(before.count > 3)
    for (place, pfn) in before.enumerated() {
      process.machine.frames.rotate(
        &process.machine.zoneTable[zone].freeLists[index], before: pfn, order: 4)
      let list = process.machine.frames.blocks(process.machine.zoneTable[zone].freeLists[index])
      #expect(list == Array(before[place...] + before[..<place]))
    }
    #expect(process.sound == nil)
  }

  @Test(arguments: Seeds.list(1...12))
  func nothingIsLostUnderPressure(seed: UInt64) throws {
    var process = try PinningProcess(megabytes: 32, cma: seed % 3 == 0 ? 8 : 0)
    var choices = SplitMix64(seed: seed)
    func choose(_ bound: Int) -> Int { Int(choices.next() % UInt64(bound)) }
    var areas: [(start: Int, pages: Int)] = []
    var blocks: [(pfn: PFN, order: Int)] = []
    for step in 0..<Seeds.steps(120) {
      switch choose(8) {
      case 0...1 where areas.reduce(0) { $0 + $1.pages } < 4500:
        // Short of what would make the OOM killer take the process.
        let pages = 64 + choose(900)
        let start = try process.machine.mapArea(
          process.id, pages: pages, [.read, .write], .anonymous
        )
        .get()
        _ = process.machine.faultRange(process.id, start..<start + pages, .write)
        areas.append((start, pages))
      case 2...3 where !areas.isEmpty:
        let area = areas[choose(areas.count)]
        for _ in 0..<64 {
          let page = area.start + choose(area.pages)
          _ = process.machine.advise(process.id, page..<page + 1, .dontNeed)
        }
      case 4 where !areas.isEmpty:
        let area = areas[choose(areas.count)]
        _ = try process.pin(area.start + choose(area.pages), 1, .write)
      case 5 where !blocks.isEmpty:
        let block = blocks.remove(at: choose(blocks.count))
        try process.machine.freePages(block.pfn, order: block.order)
      case 6:
        process.machine.compactMemory()
      default:
        let order = choose(10)
        let gfp: GFPFlags =
          choose(2) == 0 ? [.kernel, .noRetry] : [.highUserMovable, .comp, .noRetry]
        process.machine.failAllocation = choose(10) == 0 ? 1 : 0
        if let pfn = process.machine.allocatePages(order: order, gfp: gfp).pfn {
          blocks.append((pfn, order))
        }
        process.machine.failAllocation = 0
      }
      process.machine.runBackground()
      let fault = process.sound
      #expect(fault == nil, "seed \(seed), step \(step): \(fault ?? "")")
      if fault != nil { return }
    }
  }
}

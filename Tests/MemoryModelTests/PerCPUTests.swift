import ModelTesting
import Testing

@testable import MemoryModel

/// The per-CPU lists: sizes of refills and flushes, and what they remember.
@Suite struct PerCPUTests {
  let zone = ZoneIndex.dma32.rawValue

  private func local(_ machine: borrowing Machine) -> PerCPUPages {
    machine.perCPUPages(zone: zone, cpu: 0)
  }

  /// S(65536) with batch 15, and what the test changes.
  private func machine(_ change: (inout MachineImage.ZoneImage) -> Void = { _ in }) throws
    -> Machine
  {
    var image = MachineImage.single(pages: 65536)
    change(&image.zones[0])
    return try Machine.restore(image)
  }

  @Test("A5.2, AP.23: which orders have lists, and which list is whose")
  func lists() throws {
    let types: [MigrateType] = [.unmovable, .movable, .reclaimable]
    for order in 0...3 {
      for type in types {
        let index = PerCPUList.index(type, order: order)
        #expect(index == order * 3 + Int(type.rawValue))
        #expect(PerCPUList.order(index, pageblockOrder: 9) == order)
      }
    }
    #expect(types.map { PerCPUList.index($0, order: 9) } == [12, 13, 12])
    #expect(PerCPUList.order(12, pageblockOrder: 9) == 9)
    #expect(PerCPUList.order(13, pageblockOrder: 8) == 8)
    let machine = try machine()
    let usable = (0...10).map { machine.isPerCPUOrder($0) }
    #expect(usable == (0...10).map { $0 <= 3 || $0 == 9 })
  }

  @Test("A5.6, A5.20: refilled pages ascend, freed pages come back last in, first out")
  func order() throws {
    var machine = try machine()
    let first = machine.allocate(5, order: 0, .plainMovable)
    #expect(first == Array(4096...4100))
    try machine.free([4097, 4099])
    let again = machine.allocate(3, order: 0, .plainMovable)
    #expect(again == [4099, 4097, 4101])
    #expect(machine.check() == nil)
  }

  @Test("A5.7, A5.8: refills double while nothing is freed, up to batch << 5")
  func growth() throws {
    var machine = try machine { $0.perCPU[0].highMax = 65536 / 8 }
    var sizes: [Int] = []
    while sizes.count < 8 {
      // Each refill begins with an empty list.
      while local(machine).count > 0 { _ = machine.allocate(1, order: 0, .plainMovable) }
      _ = machine.allocate(1, order: 0, .plainMovable)
      sizes.append(local(machine).count + 1)
    }
    #expect(sizes == [15, 30, 60, 120, 240, 480, 480, 480])
    #expect(local(machine).allocFactor == 5)
  }

  @Test("A5.7.5, AP.34: refills of higher orders take at least two blocks", arguments: 1...3)
  func overshoot(order: Int) throws {
    // Batch 3: 3 >> order is 1 or 0, but two blocks are taken.
    var machine = try Machine.restore(.single(pages: 16384))
    _ = machine.allocate(1, order: order, .plain)
    #expect(local(machine).count == 1 << order)
    // Batch 15 gives 7, 3 and 2 blocks, batch 63 the 31, 15 and 7 of the rule.
    machine = try self.machine()
    _ = machine.allocate(1, order: order, .plain)
    #expect(local(machine).count == ([7, 3, 2][order - 1] - 1) << order)
    machine = try self.machine { $0.perCPU[0].batch = 63 }
    _ = machine.allocate(1, order: order, .plain)
    #expect(local(machine).count == ([31, 15, 7][order - 1] - 1) << order)
    machine = try self.machine { $0.perCPU[0].batch = 63 }
    _ = machine.allocate(1, order: 9, .plain)
    #expect(local(machine).count == 512)
  }

  @Test("AP.34: a refill that comes up short is kept")
  func partialRefill() throws {
    // Three free pages and no watermark; the refill wants 15.
    var image = MachineImage.drawn("0#0#0###")
    image.zones[0].perCPU[0].batch = 15
    image.zones[0].perCPU[0].highMin = 60
    image.zones[0].perCPU[0].highMax = 60
    var machine = try Machine.restore(image)
    let first = machine.allocate(1, order: 0, .plainMovable)
    #expect(first == [4096])
    #expect(machine.picture(4096..<4104) == "##a#a###")
    #expect(local(machine).count == 2)
    #expect(machine.check() == nil)
  }

  @Test("A1.25: without marks of its own a list gives and takes single pages")
  func bootPageset() throws {
    var image = MachineImage.single(pages: 2048)
    image.zones[0].perCPU[0].batch = 1
    image.zones[0].perCPU[0].highMin = 0
    image.zones[0].perCPU[0].highMax = 0
    var machine = try Machine.restore(image)
    let page = machine.allocate(1, order: 0, .plainMovable)
    #expect(local(machine).count == 0)
    try machine.free(page)
    #expect(local(machine).count == 0)
    #expect(machine.freeBlocks(zone, order: 10, .movable).first == 4096)
  }

  @Test("AP.10: every attempt halves free_count, every free halves alloc_factor")
  func halving() throws {
    var machine = try machine()
    let held = machine.allocate(100, order: 0, .plainMovable)
    #expect(local(machine).allocFactor == 3)
    try machine.free([held[0]])
    #expect(local(machine).allocFactor == 1)
    try machine.free([held[1]])
    #expect(local(machine).allocFactor == 0)
    try machine.free(Array(held[2..<12]))
    #expect(local(machine).freeCount == 12)
    _ = machine.allocate(1, order: 0, .plainMovable)
    #expect(local(machine).freeCount == 6)
    // Another list's refill halves it as well.
    _ = machine.allocate(1, order: 2, .plain)
    #expect(local(machine).freeCount == 3)
    // Orders that skip the lists leave both alone.
    let direct = machine.allocate(1, order: 5, .plain)
    try machine.free(direct, order: 5)
    #expect(local(machine).freeCount == 3)
  }

  @Test(
    "AP.12, A4.20, A4.23: a refused request scans three times, once more with NOFRAGMENT or OOM")
  func scans() throws {
    // No free block, but 100 pages that the lagging counter still shows: every scan passes the
    // watermarks, halves free_count, and finds nothing.
    for (index, left) in [(ZoneIndex.dma32, 8), (.normal, 4)] {
      for gfp: GFPFlags in [.plain, .kernel] {
        var image = MachineImage.singleAllocated(pages: 2048)
        image.zones[0].index = index
        image.zones[0].freePages = 100
        image.zones[0].statThreshold = 125
        image.zones[0].perCPU[0].freeDiff = -100
        image.zones[0].perCPU[0].freeCount = 64
        image.zones[0].perCPU[0].batch = 15
        var machine = try Machine.restore(image)
        #expect(machine.check() == nil)
        let refused = machine.allocate(1, order: 0, gfp)
        #expect(refused == [-1])
        let freeCount = machine.perCPUPages(zone: index.rawValue, cpu: 0).freeCount
        #expect(freeCount == (gfp == .kernel ? left / 2 : left), "\(index.name)")
      }
    }
  }

  @Test("A5.14f, AP.11: a flush that raises the mark still uses the old one")
  func oldHigh() throws {
    var machine = try machine {
      $0.perCPU[0].highMin = 60
      $0.perCPU[0].highMax = 8192
    }
    // Held pages come from order 4, so that no refill moves the mark.
    let held = machine.allocate(20, order: 4, .plainMovable)
    for block in held {
      machine.frames.clearHead(PFN(block), order: 4)
      for page in block..<block + 16 {
        machine.frames.setHead(PFN(page), FrameState(.allocated, order: 0))
      }
    }
    for index in 0..<59 { try machine.free([held[index / 16] + index % 16]) }
    #expect(local(machine).count == 59)
    #expect(local(machine).high == 60)
    // The 60th: need = 60 + 15 raises high to 75, and 45 = clamp(60, 15, 60 - 15) pages go.
    try machine.free([held[3] + 11])
    #expect(local(machine).high == 75)
    #expect(local(machine).count == 15)
    #expect(machine.check() == nil)
  }

  @Test("A5.20: a flush empties the list just freed to, oldest first, then the next")
  func flushOrder() throws {
    var machine = try machine {
      $0.perCPU[0].highMin = 60
      $0.perCPU[0].highMax = 60
    }
    let movable = machine.allocate(1, order: 0, .plainMovable)
    #expect(movable == [4096])
    #expect(local(machine).count == 14)
    let reclaimable = machine.allocate(1, order: 0, .plainReclaimable)
    #expect(reclaimable == [5120])
    #expect(local(machine).count == 14 + 29)
    let plain = machine.allocate(1, order: 0, .plain)
    #expect(plain == [6144])
    #expect(local(machine).count == 14 + 29 + 14)
    let total = machine.trace.total
    machine.drain(zone, zone, pages: 16, from: 1)
    let drained = machine.trace.events(from: total).map { Int($0.pfn) }
    // List 1 (Movable) from its tail, then list 2 (Reclaimable).
    #expect(drained == Array((4097...4110).reversed()) + [5149, 5148])
    #expect(local(machine).count == 27 + 14)
    #expect(machine.check() == nil)
  }

  @Test("A0.5, AP.35: clamp with crossed bounds answers by the order of its comparisons")
  func crossedClamp() throws {
    var machine = try machine()
    #expect(machine.clamp(5, 10, 3) == 3)
    #expect(machine.clamp(2, 10, 3) == 10)
    #expect(machine.clamp(5, 1, 9) == 5)
    // high - batch < batch: high 20, batch 15, so clamp(free_count, 15, 5) is 5 once it is 5.
    machine = try self.machine {
      $0.perCPU[0].highMin = 20
      $0.perCPU[0].highMax = 20
    }
    // A refill of room = max(20 - 0 - 15, 15) = 15 leaves 14; the 6th free reaches the mark.
    let held = machine.allocate(15, order: 0, .plainMovable)
    #expect(local(machine).count == 0)
    let more = machine.allocate(15, order: 0, .plainMovable)
    #expect(local(machine).count == 0)
    try machine.free(held)
    #expect(local(machine).count == 15)
    try machine.free(Array(more[0..<4]))
    #expect(local(machine).count == 19)
    try machine.free([more[4]])
    #expect(local(machine).count == 15)
  }

  @Test("A5.12: two frees of orders 1 to 3 in a row flush, once enough was freed")
  func freeHigh() throws {
    // With FREE_HIGH_BATCH (2), lists of fewer than batch pages are left alone.
    for (flags, refills, freeCount, flushes) in [
      (0, false, 15, true), (0, false, 14, false), (2, false, 15, false), (2, true, 15, true),
    ] {
      var machine = try machine { $0.perCPU[0].flags = flags }
      let held = machine.allocate(8, order: 2, .plain)
      if refills { _ = machine.allocate(1, order: 0, .plain) }
      let rest = local(machine).count
      machine.perCPU[zone].freeCount = freeCount
      try machine.free([held[0]], order: 2)
      #expect(local(machine).count == rest + 4)
      #expect(local(machine).flags.contains(.previousFreeHighOrder))
      machine.perCPU[zone].freeCount = freeCount
      try machine.free([held[1]], order: 2)
      #expect(local(machine).count == (flushes ? 0 : rest + 8), "\(flags) \(freeCount)")
      // An order-0 free forgets.
      let page = machine.allocate(1, order: 0, .plain)
      try machine.free(page)
      #expect(!local(machine).flags.contains(.previousFreeHighOrder))
    }
  }

  @Test("A4.3, A5.16, A5.17, AP.9, AP.36: BELOW_HIGH stays until a flush clears it")
  func belowHighIsSticky() throws {
    var machine = try machine()
    // Fragments: all memory in order-4 blocks of every second place, so order 10 fails the mark.
    let blocks = machine.allocate(4096, order: 4, .plainMovable)
    let failed = blocks.firstIndex(of: -1) ?? blocks.count
    try machine.free(
      stride(from: 0, to: failed, by: 2).map { blocks[$0] }, order: 4)
    machine.zoneTable[zone].flags.remove(.belowHigh)
    #expect(machine.zone(zone).freePages > 20_000)
    let refused = machine.allocate(1, order: 10, .plainMovable)
    #expect(refused == [-1])
    #expect(machine.zone(zone).flags.contains(.belowHigh))

    // It is set while there is plenty of memory, and keeps refills from raising high.
    let high = local(machine).high
    let pages = machine.allocate(200, order: 0, .plainMovable)
    #expect(local(machine).high == max(high, 640))
    #expect(machine.zone(zone).flags.contains(.belowHigh))

    // Frees below high_min pages do not flush, so they do not clear it; a flush does.
    try machine.free(Array(pages[0..<100]))
    #expect(machine.zone(zone).flags.contains(.belowHigh))
    while local(machine).count < 639 {
      let more = machine.allocate(1, order: 0, .plain) + machine.allocate(1, order: 1, .plain)
      _ = more
      let held = machine.allocate(1, order: 4, .plainMovable)[0]
      machine.frames.clearHead(PFN(held), order: 4)
      for page in held..<held + 16 {
        machine.frames.setHead(PFN(page), FrameState(.allocated, order: 0))
        if local(machine).count < 639 { try machine.free([page]) }
      }
    }
    #expect(machine.zone(zone).flags.contains(.belowHigh))
    try machine.free([pages[150]])
    #expect(!machine.zone(zone).flags.contains(.belowHigh))
    #expect(local(machine).count < 639)
    #expect(machine.check() == nil)
  }

  @Test("A5.16: the flush asks for the high mark as a request for zone Movable would")
  func belowHighIndex() throws {
    for (reserve, clears) in [([0, 0, 65_000, 0, 0], true), ([0, 0, 0, 65_000, 0], false)] {
      var machine = try machine {
        $0.lowmemReserve = reserve
        $0.flags = .belowHigh
        $0.perCPU[0].highMin = 60
      }
      let held = machine.allocate(200, order: 0, [.plain, .dma32])
      try machine.free(held)
      #expect(machine.zone(zone).flags.contains(.belowHigh) == !clears)
    }
  }

  @Test("A5.10, AP.5: a CMA page waits on the Movable list and serves any movable request")
  func cmaOnMovableList() throws {
    var machine = try Machine.restore(.single(pages: 16384, cma: PFNRange(18432, 20480)))
    var inCMA: [Int] = []
    while inCMA.isEmpty {
      let pfn = machine.allocate(1, order: 4, .plainMovable)[0]
      try #require(pfn >= 0)
      if pfn >= 18432 { inCMA.append(pfn) }
    }
    machine.frames.clearHead(PFN(inCMA[0]), order: 4)
    machine.frames.setHead(PFN(inCMA[0]), FrameState(.allocated, order: 0))
    try machine.free([inCMA[0]])
    #expect(machine.perCPUBlocks(zone, list: 1).first == inCMA[0])
    let plain = machine.allocate(3, order: 0, .plain)
    let pinned = machine.allocate(3, order: 0, .plainMovable, inPinScope: true)
    #expect(!plain.contains(inCMA[0]) && !pinned.contains(inCMA[0]))
    let movable = machine.allocate(1, order: 0, .plainMovable)
    #expect(movable == inCMA)
  }

  @Test("A5.26: the decay frees what is above high, in pieces of a batch or at once")
  func decay() throws {
    for kernel in Kernel.presets where kernel.perCPULists == .autoTuned {
      var image = MachineImage.single(pages: 65536, kernel: kernel)
      image.zones[0].perCPU[0].highMin = 60
      var machine = try Machine.restore(image)
      let held = machine.allocate(400, order: 0, .plainMovable)
      machine.perCPU[zone].high = 800
      try machine.free(held)
      machine.perCPU[zone].high = 200
      let count = local(machine).count
      #expect(count > 300)
      machine.runStatisticsWorker(cpu: 0)
      // 200 - 25, which is above count - 480 and above high_min.
      #expect(local(machine).high == 175)
      #expect(local(machine).count == 175)
      #expect(machine.check() == nil)
    }
  }

  @Test("A5.27: another node's pages go home after three quiet seconds")
  func expiry() throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [24 << 20, 24 << 20])
    configuration.cpuNodes = [0, 1]
    var machine = try Machine.boot(configuration)
    let remote = machine.zoneID(.dma32, node: 1)
    machine.run(onCPU: 0)
    let page = machine.allocatePages(order: 0, gfp: .kernel, node: 1).pfn!
    try machine.freePages(page, order: 0)
    let count = machine.perCPUPages(zone: remote, cpu: 0).count
    #expect(count > 0)
    machine.perCPU[remote * 2].freeDiff += 1
    machine.zoneTable[remote].freePages -= 1
    machine.runStatisticsWorker(cpu: 0)
    #expect(machine.perCPUPages(zone: remote, cpu: 0).expire == 2)
    machine.runStatisticsWorker(cpu: 0)
    #expect(machine.perCPUPages(zone: remote, cpu: 0).expire == 1)
    #expect(machine.perCPUPages(zone: remote, cpu: 0).count == count)
    machine.runStatisticsWorker(cpu: 0)
    #expect(machine.perCPUPages(zone: remote, cpu: 0).expire == 0)
    let batch = machine.perCPUPages(zone: remote, cpu: 0).batch
    #expect(machine.perCPUPages(zone: remote, cpu: 0).count == max(0, count - batch))
    #expect(machine.check() == nil)
  }

  @Test("A0.4: changes up to the threshold stay on the CPU until they are folded")
  func folding() throws {
    var machine = try machine()
    _ = machine.allocate(2, order: 0, .plainMovable)
    let pending = local(machine).freeDiff
    let visible = machine.zone(zone).freePages
    #expect(abs(pending) <= 6)
    #expect(machine.freePagesSnapshot(zone) == visible + pending)
    machine.foldStatistics(cpu: 0)
    #expect(machine.zone(zone).freePages == visible + pending)
    #expect(local(machine).freeDiff == 0)
    #expect(machine.check() == nil)
  }

  @Test("A0.4, learned rule 29: a part of an LRU counter rearms the expiry as well")
  func lruPartExpires() throws {
    var machine = try machine()
    machine.foldStatistics(cpu: 0)
    machine.perCPU[zone].expire = 0
    machine.foldStatistics(cpu: 0)
    #expect(local(machine).expire == 0)
    let threshold = machine.zone(zone).statThreshold
    machine.countZoneItem(zone, 2, 1, times: threshold)
    #expect(Int(local(machine).itemDiffs[2]) == threshold)
    machine.countZoneItem(zone, 2, 1)
    #expect(local(machine).itemDiffs[2] == 0)
    machine.foldStatistics(cpu: 0)
    #expect(local(machine).expire == 0)
    machine.countZoneItem(zone, 2, -512)
    #expect(local(machine).itemDiffs[2] == 0)
    machine.countZoneItem(zone, 7, 1)
    machine.foldStatistics(cpu: 0)
    #expect(local(machine).expire == 3)
    #expect(local(machine).itemDiffs[7] == 0)
  }

  @Test("Learned rule 31: who finds the lists locked frees to the buddy")
  func freesPastLists() throws {
    var machine = try machine()
    guard case .page(let pfn) = machine.allocatePages(order: 1, gfp: .kernel) else {
      Issue.record("no page")
      return
    }
    let (count, free) = (local(machine).count, machine.freePagesSnapshot(zone))
    machine.freePastLists(pfn, order: 1)
    #expect(local(machine).count == count)
    #expect(machine.freePagesSnapshot(zone) == free + 2)
    #expect(machine.check() == nil)
    machine.freePastLists(pfn, order: 1)
    #expect(machine.freePagesSnapshot(zone) == free + 2)
  }
}

import ModelTesting
import Testing

@testable import MemoryModel

/// Which zone, which pageblock, which reserve: one small machine a rule.
@Suite struct AllocationTests {
  let zone = ZoneIndex.dma32.rawValue

  // MARK: Claiming and stealing on drawn blocks

  /// Pageblock 4096 is Unmovable with 2 free frames, pageblock 4608 is Movable as drawn.
  private func image(
    movable blocks: [(pfn: Int, order: Int)], unmovable: [(pfn: Int, order: Int)] = [],
    lru: Bool = true, _ kernel: Kernel = .v6_12
  ) -> MachineImage {
    var image = MachineImage.singleAllocated(pages: 2048, kernel: kernel)
    image.settings.watermarkBoostFactor = 0
    image.zones[0].statThreshold = 0
    image.zones[0].pageblocks = [
      (4096, 1, unmovable.isEmpty ? .movable : .unmovable), (4608, 3, .movable),
    ]
    for (type, list) in [(MigrateType.movable, blocks), (.unmovable, unmovable)] {
      for (pfn, order) in list {
        image.zones[0].freeLists[order][type, default: []].append(pfn)
        image.zones[0].freePages += 1 << order
        image.allocations.removeAll { pfn..<pfn + 1 << order ~= $0.pfn }
      }
    }
    for index in image.allocations.indices { image.allocations[index].isLRU = lru }
    return image
  }

  @Test("A3.22.7: half of the pageblock decides, free and alike together")
  func halfDecides() throws {
    // 128 free frames of 512; LRU pages are not like a kernel request, plain pages are.
    for (lru, claims) in [(true, false), (false, true)] {
      var machine = try Machine.restore(image(movable: [(4608, 7)], lru: lru))
      let pfn = machine.allocate(1, order: 0, .plain)
      #expect(pfn == [4608])
      #expect(machine.frames.migrateType(PFN(4608)) == (claims ? .unmovable : .movable))
      #expect(machine.check() == nil)
    }
    // Exactly 256 free frames are enough, 255 are not.
    var machine = try Machine.restore(image(movable: [(4608, 8)]))
    _ = machine.allocate(1, order: 0, .plain)
    #expect(machine.frames.migrateType(PFN(4608)) == .unmovable)
    let less = (0...7).map { (4608 + 1 << $0, $0) }
    #expect(less.reduce(0) { $0 + 1 << $1.1 } == 255)
    machine = try Machine.restore(image(movable: less))
    _ = machine.allocate(1, order: 0, .plain)
    #expect(machine.frames.migrateType(PFN(4608)) == .movable)
  }

  @Test("AP.13, A3.23: per-CPU pages are neither free nor movable, so they count as alike")
  func perCPUPagesAreAlike() throws {
    for waits in [false, true] {
      var image = image(movable: [(4608, 7)])
      // 128 of the 384 LRU pages lie on the CPU's Movable list instead.
      if waits {
        image.allocations.removeAll { 4736..<4864 ~= $0.pfn }
        image.zones[0].perCPU[0].lists[1] = Array(4736..<4864)
        image.zones[0].perCPU[0].count = 128
        image.zones[0].perCPU[0].highMin = 500
        image.zones[0].perCPU[0].highMax = 500
      }
      var machine = try Machine.restore(image)
      _ = machine.allocate(1, order: 0, .plain)
      #expect(machine.frames.migrateType(PFN(4608)) == (waits ? .unmovable : .movable))
      #expect(machine.check() == nil)
    }
  }

  @Test("A3.16, A3.18: Reclaimable lends to kernel requests before Movable")
  func fallbackOrder() throws {
    var image = image(movable: [(4608, 5), (5120, 5)])
    image.zones[0].pageblocks = [(4096, 2, .movable), (5120, 1, .reclaimable), (5632, 1, .movable)]
    image.zones[0].freeLists[5] = [.movable: [4608], .reclaimable: [5120]]
    var machine = try Machine.restore(image)
    let plain = machine.allocate(1, order: 0, .plain)
    #expect(plain == [5120])
    machine = try Machine.restore(image)
    let movable = machine.allocate(1, order: 5, .plainReclaimable)
    #expect(movable == [5120])
  }

  @Test("A3.21, AP.21: one unclaimable block ends the claim; stealing then starts at the smallest")
  func unclaimable() throws {
    // A movable request may claim blocks from order 4 on. The largest has order 3.
    let blocks = [(4104, 3), (4112, 1), (4116, 2)]
    for kernel in Kernel.presets {
      var machine = try Machine.restore(image(movable: [], unmovable: blocks, kernel))
      let pfn = machine.allocate(1, order: 0, .plainMovable)
      #expect(pfn == [4112], "\(kernel.name)")
      #expect(machine.frames.migrateType(PFN(4096)) == .unmovable)
      #expect(machine.check() == nil)
    }
    // With an order-4 block the claim may be tried; the pages there are not movable enough.
    var machine = try Machine.restore(
      image(movable: [], unmovable: blocks + [(4128, 4)], lru: false))
    let pfn = machine.allocate(1, order: 0, .plainMovable)
    #expect(pfn == [4112])
    // With LRU pages around it is worth it, and smallest() returns another block (AP.7).
    machine = try Machine.restore(image(movable: [], unmovable: blocks + [(4128, 4)], lru: true))
    let claimed = machine.allocate(1, order: 0, .plainMovable)
    #expect(claimed == [4112])
    #expect(machine.frames.migrateType(PFN(4096)) == .movable)
  }

  @Test("A3.20, AP.22: after a steal the rest of the refill only steals")
  func modeMemory() throws {
    // Batch 8. The only Unmovable frame was taken; single Movable frames are stolen one by one, and
    // the pages that a steal leaves on Movable lists are never claimed.
    var image = image(movable: (0..<20).map { (4608 + $0 * 8, 0) })
    image.zones[0].perCPU[0].batch = 8
    image.zones[0].perCPU[0].highMin = 32
    image.zones[0].perCPU[0].highMax = 32
    var machine = try Machine.restore(image)
    let first = machine.allocate(1, order: 0, .plain)
    #expect(first == [4608])
    #expect(machine.perCPUBlocks(zone, list: 0) == (1..<8).map { 4608 + $0 * 8 })
    let events = machine.trace.events().map(\.kind)
    #expect(events.count { $0 == .pageAllocExtfrag } == 8)
    #expect(events.count { $0 == .pageAllocZoneLocked } == 0)
  }

  @Test("AP.16, A3.17, AI.18: a pageblock that sticks out of its zone is never claimed")
  func edgePageblock() throws {
    // All but the first frame of the pageblock is free: far more than half.
    for start in [4096, 4097] {
      let blocks = (0...8).map { (4096 + 1 << $0, $0) }
      var image = image(movable: blocks)
      image.allocations.removeAll { $0.pfn == 4096 }
      image.memory = [PFNRange(start, 6144)]
      image.zones[0].start = start
      image.zones[0].spanned = 6144 - start
      image.zones[0].managed = 6144 - 4097
      image.zones[0].present = 6144 - start
      var machine = try Machine.restore(image)
      #expect(machine.check() == nil)
      let pfn = machine.allocate(1, order: 0, .plain)
      #expect(pfn == [4097])
      #expect(machine.frames.migrateType(PFN(4096)) == (start == 4096 ? .unmovable : .movable))
      #expect(machine.check() == nil)
    }
  }

  // MARK: Boost

  @Test("A3.26, AP.8, AP.36: one boost an order tried; BOOSTED goes with the next rmqueue")
  func boost() throws {
    var image = MachineImage.singleAllocated(pages: 16384)
    image.zones[0].statThreshold = 0
    image.zones[0].watermarks = [10, 1000, 1010, 1020]
    // Two orders to try, neither pageblock worth claiming.
    image.zones[0].freeLists[5] = [.movable: [4608]]
    image.zones[0].freeLists[4] = [.movable: [5120]]
    image.zones[0].freePages = 48
    image.allocations.removeAll { 4608..<4640 ~= $0.pfn || 5120..<5136 ~= $0.pfn }
    var machine = try Machine.restore(image)
    let wakeups = machine.kswapdWakeups
    let pfn = machine.allocate(1, order: 0, .plain)
    #expect(pfn == [5120])
    // Twice 512, but at most 150 % of the high mark.
    #expect(machine.zone(zone).watermarkBoost == 1024)
    #expect(machine.zone(zone).watermark(0) == 1034)
    #expect(!machine.zone(zone).flags.contains(.boostedWatermark))
    #expect(machine.kswapdWakeups > wakeups)
    #expect(machine.check() == nil)

    // A factor of 0 switches it off, and so does a zone below four pageblocks.
    for (factor, managed) in [(0, 16384), (15000, 2047)] {
      var quiet = image
      quiet.settings.watermarkBoostFactor = factor
      var machine = try Machine.restore(quiet)
      machine.zoneTable[zone].managed = managed
      _ = machine.allocate(1, order: 0, .plain)
      #expect(machine.zone(zone).watermarkBoost == 0)
    }
  }

  @Test("A3.26: the boost ends at 150 % of the high mark, or at a pageblock if that is more")
  func boostLimit() throws {
    for (high, limit) in [(100, 512), (400, 600), (1000, 1500)] {
      var image = image(movable: [(4608, 7), (5120, 6), (5632, 5)])
      image.settings.watermarkBoostFactor = 15000
      image.zones[0].watermarks = [1, high, high, high]
      var machine = try Machine.restore(image)
      for _ in 0..<4 { _ = machine.allocate(1, order: 0, [.plain, .memalloc]) }
      #expect(machine.zone(zone).watermarkBoost == limit)
      #expect(machine.check() == nil)
    }
  }

  @Test("A4.10: an urgent page may go below a mark that only a boost raised")
  func boostWaiver() throws {
    for (gfp, served) in [(GFPFlags.atomic, true), (.noWait, false)] {
      var image = MachineImage.drawn(String(repeating: "0#", count: 30))
      image.zones[0].watermarks = [20, 25, 30, 35]
      image.zones[0].watermarkBoost = 512
      var machine = try Machine.restore(image)
      let pfn = machine.allocatePages(order: 0, gfp: gfp).pfn
      #expect((pfn != nil) == served, "\(gfp.description)")
    }
  }

  // MARK: Watermarks

  @Test("A4.12: how far below the mark each kind of request may go")
  func reserves() throws {
    // mark 1000: HIGH halves it, HIGH without sleeping takes a quarter more off, and MEMALLOC
    // ignores it. Order 0 leaves mark + 1 pages at least.
    for (gfp, lowest) in [
      (GFPFlags.plain, 1000), ([.plain, .noMemalloc], 1000), (.kernel, 1000),
      ([.kernel, .high], 500), (.atomic, 375), ([.atomic, .noMemalloc], 500),
      ([.kernel, .memalloc], 0), ([.kernel, .memalloc, .noMemalloc], 1000),
    ] {
      var image = MachineImage.single(pages: 2048)
      image.zones[0].statThreshold = 0
      image.zones[0].watermarks = [1000, 1000, 1000, 1000]
      var machine = try Machine.restore(image)
      while machine.allocatePages(order: 0, gfp: gfp).pfn != nil {}
      #expect(machine.zone(zone).freePages == lowest, "\(gfp.description)")
    }
  }

  @Test("A1.21: what a lower zone holds back from requests that a higher one could serve")
  func lowmemReserve() throws {
    var configuration = MachineConfiguration()
    configuration.nodes = [.init(memory: [PFNRange(1024, 20480)])]
    var machine = try Machine.boot(configuration)
    try machine.write(.minFreeKbytes, "128")
    let held = machine.zone(0).lowmemReserve[1]
    #expect(held == 16384 / 256)
    while machine.allocatePages(order: 0, gfp: [.kernel, .noRetry]).pfn != nil {}
    #expect(machine.freePagesSnapshot(0) > held)
    // A request for zone DMA itself is not held back.
    let own = machine.allocatePages(order: 0, gfp: [.kernel, .dma]).pfn
    #expect(own.map { machine.zone(0).range.contains($0) } == true)
  }

  @Test("A4.11: nr_free_highatomic and free CMA are not for everyone")
  func unusable() throws {
    var image = MachineImage.single(pages: 2048, cma: PFNRange(5120, 6144))
    image.zones[0].watermarks = [0, 0, 0, 0]
    var machine = try Machine.restore(image)
    while machine.allocatePages(order: 0, gfp: .plain).pfn != nil {}
    // 1,024 pages are free, all of them CMA: nothing for a kernel request.
    #expect(machine.freePagesSnapshot(zone) == 1024)
    let movable = machine.allocatePages(order: 0, gfp: .plainMovable).pfn
    #expect(movable.map { $0.index >= 5120 } == true)
    let pinned = machine.allocatePages(order: 0, gfp: .plainMovable, inPinScope: true).pfn
    #expect(pinned == nil)
  }

  // MARK: Zones and nodes

  /// Zone Normal with small Movable blocks only, above a zone DMA32 with a whole free block.
  private func twoZones(_ upper: ZoneIndex, _ lower: ZoneIndex) -> MachineImage {
    var image = MachineImage.singleAllocated(pages: 4096)
    image.settings.watermarkBoostFactor = 0
    image.zones[0].statThreshold = 0
    var above = image.zones[0]
    image.zones[0].index = lower
    image.zones[0].spanned = 2048
    image.zones[0].present = 2048
    image.zones[0].managed = 2048
    image.zones[0].pageblocks = [(4096, 4, .movable)]
    image.zones[0].freeLists[10] = [.movable: [5120]]
    image.zones[0].freePages = 1024
    above.index = upper
    above.start = 6144
    above.spanned = 2048
    above.present = 2048
    above.managed = 2048
    above.pageblocks = [(6144, 4, .movable)]
    above.freeLists[5] = [.movable: [6144]]
    above.freePages = 32
    image.zones.append(above)
    image.allocations.removeAll { 5120..<6144 ~= $0.pfn || 6144..<6176 ~= $0.pfn }
    return image
  }

  @Test("A2.9, AP.17: only a Normal zone goes elsewhere rather than mix types")
  func noFragment() throws {
    var machine = try Machine.restore(twoZones(.normal, .dma32))
    #expect(machine.check() == nil)
    // First pass: no mixing in Normal, so the whole block of DMA32 is claimed.
    let elsewhere = machine.allocate(1, order: 0, .plain)
    #expect(elsewhere == [5120])
    // Movable requests have their own type in Normal.
    let movable = machine.allocate(1, order: 0, .plainMovable)
    #expect(movable == [6144])

    // Where DMA32 is the preferred zone, the types are mixed at once.
    machine = try Machine.restore(twoZones(.dma32, .dma))
    let mixed = machine.allocate(1, order: 0, .plain)
    #expect(mixed == [6144])
  }

  @Test("A2.9: NOFRAGMENT needs zone DMA32 on that node when there are several nodes")
  func noFragmentAcrossNodes() throws {
    var image = twoZones(.normal, .dma32)
    image.zones[0].node = 0
    image.zones[1].node = 1
    image.cpuNodes = [0, 1]
    image.zones[0].perCPU.append(image.zones[0].perCPU[0])
    image.zones[1].perCPU.append(image.zones[1].perCPU[0])
    var machine = try Machine.restore(image)
    machine.run(onCPU: 1)
    // Node 1 has only Normal: it mixes types at home.
    let home = machine.allocate(1, order: 0, .plain)
    #expect(home == [6144])
  }

  @Test("A2.3, AP.17: __GFP_MOVABLE alone does not reach zone Movable")
  func movableAlone() throws {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [64 << 20])
    configuration.movablecore = .pages(4096)
    var machine = try Machine.boot(configuration)
    let movable = machine.zone(ZoneIndex.movable.rawValue).range
    let plain = machine.allocatePages(order: 0, gfp: [.kernel, .movable]).pfn!
    let high = machine.allocatePages(order: 0, gfp: [.kernel, .movable, .highMem]).pfn!
    let highOnly = machine.allocatePages(order: 0, gfp: [.kernel, .highMem]).pfn!
    #expect(!movable.contains(plain))
    #expect(movable.contains(high))
    #expect(!movable.contains(highOnly))
    #expect(machine.frames.migrateType(plain) == .movable)
  }

  @Test("A1.13, A8.10: other nodes when home is empty, unless __GFP_THISNODE; hits and misses")
  func nodes() throws {
    var configuration = MachineConfiguration()
    configuration.nodes = [
      .init(memory: [PFNRange(4096, 6144)]), .init(memory: [PFNRange(6144, 8192)]),
    ]
    configuration.cpuNodes = [0, 1]
    var machine = try Machine.boot(configuration)
    let numa = { (machine: borrowing Machine, zone: Int, item: NUMAItem) in
      machine.numaItems[zone * VMStatNames.numaItems.count + item.rawValue]
    }
    let away = zone + ZoneIndex.count
    var local = 0
    while let pfn = machine.allocatePages(order: 0, gfp: [.kernel, .thisNode]).pfn {
      #expect(pfn.index < 6144)
      local += 1
    }
    #expect(numa(machine, zone, .hit) == local)
    #expect(numa(machine, zone, .local) == local)
    let remote = machine.allocatePages(order: 0, gfp: .kernel).pfn
    #expect(remote.map { $0.index >= 6144 } == true)
    #expect(numa(machine, away, .miss) == 1)
    #expect(numa(machine, away, .other) == 1)
    #expect(numa(machine, zone, .foreign) == 1)
    let asked = machine.allocatePages(order: 0, gfp: .kernel, node: 1).pfn
    #expect(asked.map { $0.index >= 6144 } == true)
    #expect(numa(machine, away, .hit) == 1)
    #expect(machine.check() == nil)
  }

  @Test("A4.1, H18: refusals give errno, rule and words")
  func refusals() throws {
    var machine = try Machine.restore(.single(pages: 2048))
    func refusal(_ result: AllocationResult) -> Refusal? {
      if case .refused(let refusal) = result { refusal } else { nil }
    }
    let large = refusal(machine.allocatePages(order: 11, gfp: .kernel))
    #expect(
      large
        == Refusal(.ENOMEM, "order 11 is above the largest block, order 10", rule: "A4.1"))
    machine.failAllocation = 2
    let first = machine.allocatePages(order: 0, gfp: .kernel)
    #expect(first.pfn != nil)
    let second = refusal(machine.allocatePages(order: 0, gfp: .kernel))
    #expect(second == Refusal(.ENOMEM, "injected allocation failure", rule: "H18"))
    let third = machine.allocatePages(order: 0, gfp: .kernel)
    #expect(third.pfn != nil)
    while machine.allocatePages(order: 10, gfp: .plain).pfn != nil {}
    let empty = refusal(machine.allocatePages(order: 10, gfp: .plain))
    #expect(
      empty
        == Refusal(
          .ENOMEM,
          "page allocation failure: order:10, mode:0x28c0(GFP_NOWAIT|__GFP_IO|__GFP_FS)",
          rule: "A4.24"))
    let dma = refusal(machine.allocatePages(order: 0, gfp: [.kernel, .dma]))
    #expect(dma?.rule == "A1.13")
    #expect(machine.check() == nil)
  }

  // MARK: HIGHATOMIC

  /// S(65536) of which the fast path refuses everything, so that flags of the slow path count.
  private func slowOnly(_ kernel: Kernel) throws -> Machine {
    var image = MachineImage.single(pages: 65536, kernel: kernel)
    image.zones[0].statThreshold = 0
    image.zones[0].watermarks = [100, 70000, 70001, 70002]
    return try Machine.restore(image)
  }

  @Test("A3.29, A4.16: an urgent high-order page reserves its pageblock for its like")
  func reserveHighAtomic() throws {
    // 6.12.0 takes any request that may not sleep, later ones need __GFP_HIGH (S54).
    for (kernel, gfp, reserves) in [
      (Kernel.v6_12, GFPFlags.atomic, true), (.v6_12, .noWait, false), (.v6_12_0, .atomic, true),
      (.v6_12_0, .noWait, true), (.v6_12, [.kernel, .high], false),
      (.v6_12, [.atomic, .noMemalloc], false),
    ] {
      var machine = try slowOnly(kernel)
      let pfn = machine.allocate(1, order: 4, gfp)
      #expect(pfn == [4096])
      #expect(machine.zone(zone).reservedHighAtomic == (reserves ? 512 : 0))
      #expect(machine.frames.migrateType(PFN(4096)) == (reserves ? .highAtomic : .unmovable))
      #expect(machine.zone(zone).freeHighAtomic == (reserves ? 496 : 0))
      #expect(machine.check() == nil)
    }
  }

  @Test("A3.29: at most a hundredth of the zone, and order 0 never")
  func highAtomicLimit() throws {
    var machine = try slowOnly(.v6_12)
    _ = machine.allocate(20, order: 0, .atomic)
    #expect(machine.zone(zone).reservedHighAtomic == 0)
    // 655 pages, rounded up to two pageblocks.
    _ = machine.allocate(200, order: 4, .atomic)
    #expect(machine.zone(zone).reservedHighAtomic == 1024)
    #expect(machine.check() == nil)
    // A zone of less than 51,200 pages reserves nothing.
    var image = MachineImage.single(pages: 16384)
    image.zones[0].watermarks = [100, 70000, 70001, 70002]
    machine = try Machine.restore(image)
    _ = machine.allocate(20, order: 4, .atomic)
    #expect(machine.zone(zone).reservedHighAtomic == 0)
  }

  @Test("A3.28, A3.31: the reserve serves its like first, and non-sleepers as a last resort")
  func highAtomicUse() throws {
    var machine = try slowOnly(.v6_12)
    let first = machine.allocate(1, order: 4, .atomic)
    let second = machine.allocate(1, order: 4, .atomic)
    #expect(first == [4096] && second == [4112])
    // Others leave it alone as long as they can.
    let plain = machine.allocate(1, order: 4, .kernel)
    #expect(plain.map { machine.frames.migrateType(PFN($0)) } == [.unmovable])
    for order in (0...10).reversed() {
      while machine.allocatePages(order: order, gfp: [.kernel, .memalloc, .noRetry]).pfn != nil {}
    }
    #expect(machine.freePagesSnapshot(zone) == machine.zone(zone).freeHighAtomic)
    let before = machine.zone(zone).freeHighAtomic
    #expect(before > 400)
    // A sleeper gets it in the end, when reclaim finds nothing and the reserve is given up (A4.21); a
    // non-sleeper at once, as far down as its mark allows.
    var patient = try machine.fork()
    let sleeper = patient.allocate(1, order: 0, [.kernel, .high])
    #expect(sleeper != [-1])
    #expect(patient.zone(zone).freeHighAtomic == 0)
    let last = machine.allocate(1, order: 0, .noWait)
    try #require(last != [-1])
    #expect(machine.frames.migrateType(PFN(last[0])) == .highAtomic)
    // Freed, it waits among the movable pages and goes back with a drain.
    try machine.free(last)
    #expect(machine.perCPUBlocks(zone, list: 1).first == last[0])
    machine.drainAllPages()
    #expect(machine.zone(zone).freeHighAtomic == before)
    #expect(machine.check() == nil)
  }

  // MARK: Traces and counters

  @Test("A8.10, A8.20: what one request, one free and a drain count and trace")
  func traces() throws {
    var machine = try Machine.restore(.single(pages: 16384))
    let page = machine.allocate(1, order: 0, .plainMovable)
    try machine.free(page)
    machine.drainAllPages()
    let text = machine.trace.events().map {
      "\($0.kind) \($0.pfn) \($0.order) \($0.argument0) \($0.argument1)"
    }
    #expect(
      text == [
        // The refill takes three pages from the Movable list, percpu_refill = 1.
        "pageAllocZoneLocked 4096 0 1 1", "pageAllocZoneLocked 4097 0 1 1",
        "pageAllocZoneLocked 4098 0 1 1", "pageAlloc 4096 0 \(0x1028CA) 1", "pageFree 4096 0 0 0",
        "pagePcpuDrain 4098 0 1 0", "pagePcpuDrain 4097 0 1 0", "pagePcpuDrain 4096 0 1 0",
      ])
    #expect(machine.event(named: "pgalloc_dma32") == 1)
    #expect(machine.event(named: "pgfree") == 1)
    let block = machine.allocate(1, order: 5, .plain)
    try machine.free(block, order: 5)
    #expect(machine.event(named: "pgalloc_dma32") == 33)
    #expect(machine.event(named: "pgfree") == 33)
  }

  @Test("AP.39: a claim of a whole pageblock and a steal trace no zone_locked event")
  func extfragTrace() throws {
    var machine = try Machine.restore(.single(pages: 16384))
    _ = machine.allocate(1, order: 5, .plain)
    let events = machine.trace.events()
    #expect(events.map(\.kind) == [.pageAllocExtfrag, .pageAlloc])
    // fallback order 10, Movable to Unmovable, ownership changed.
    #expect(events[0].argument0 == 10)
    #expect(events[0].argument1 == 0 | 1 << 8 | 1 << 16)
  }
}

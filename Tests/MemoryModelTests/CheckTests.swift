import ModelTesting
import Testing

@testable import MemoryModel

/// The check itself is checked: one number or link of a sound machine is broken, and `check()` must
/// say which in words.
@Suite struct CheckTests {
  let zone = ZoneIndex.dma32.rawValue

  /// A machine with split blocks, per-CPU pages and CMA; zone DMA32, 16,384 frames.
  private func machine() throws -> Machine {
    var machine = try Machine.restore(.single(pages: 16384, cma: PFNRange(12288, 14336)))
    _ = machine.allocate(5, order: 0, .plain)
    _ = machine.allocate(5, order: 1, .plainMovable)
    _ = machine.allocate(1, order: 6, .plainReclaimable)
    #expect(machine.check() == nil)
    return machine
  }

  /// Breaks a sound machine and expects the check's answer.
  private func expect(
    _ message: String, sourceLocation: SourceLocation = #_sourceLocation,
    after mutate: (inout Machine) -> Void
  ) throws {
    var machine = try machine()
    mutate(&machine)
    #expect(machine.check() == "DMA32 of node 0: " + message, sourceLocation: sourceLocation)
  }

  private func list(_ order: Int, _ type: MigrateType) -> Int {
    order * MigrateType.count + Int(type.rawValue)
  }

  @Test("AI.5: lengths of lists and nr_free")
  func lengths() throws {
    try expect("AI.5: list 10/Movable holds 11 blocks, its count says 12") {
      $0.zoneTable[zone].freeLists[list(10, .movable)].count += 1
    }
    try expect("AI.5: list 10/Movable is longer than its count 10") {
      $0.zoneTable[zone].freeLists[list(10, .movable)].count -= 1
    }
    try expect("AI.5: nr_free[4] is 1, the lists hold 2") { $0.zoneTable[zone].freeCounts[4] -= 1 }
    try expect("AI.5: list 10/CMA holds 0 blocks, its count says 2") {
      $0.zoneTable[zone].freeLists[list(10, .cma)].head = 0
    }
  }

  @Test("AI.1: a block that is marked free but on no list")
  func lostBlock() throws {
    var machine = try machine()
    let page = machine.allocate(1, order: 0, .plain)[0]
    machine.frames.setHead(PFN(page), FrameState(.free, order: 0, listed: .unmovable))
    let answer = machine.check()
    let broken = try #require(answer)
    #expect(broken.contains("AI.1: ") && broken.contains("are marked free"))
  }

  @Test("AI.1, AI.2: blocks that are not free, not aligned, or inside others")
  func blocks() throws {
    try expect("AI.1: pfn 0x2800 is on free list 10/Movable but not marked free") {
      $0.frames.setHead(PFN(10240), FrameState(.allocated, order: 10))
    }
    try expect("AI.1: pfn 0x2800 is on free list 10/Movable but not marked free") {
      $0.frames.setHead(PFN(10240), FrameState(.free, order: 9))
    }
    try expect("AI.2: pfn 0x1003 is not aligned to order 4") { machine in
      machine.insertFree(zone, PFN(4099), order: 4, .movable, atTail: true)
    }
    try expect("AI.2: a block starts at pfn 0x1045, inside the free block at pfn 0x1040") {
      $0.frames.setHead(PFN(0x1045), FrameState(.allocated, order: 0))
    }
    try expect("AI.2: the block of order 10 at pfn 0x4c00 leaves its zone") {
      $0.zoneTable[zone].spanned -= 512
    }
  }

  @Test("AI.3: two free buddies")
  func buddies() throws {
    try expect("AI.3: pfn 0x1100 and its buddy pfn 0x1180 of order 7 are both free") { machine in
      let block = PFN(0x1100)
      machine.removeFree(zone, block, order: 8)
      machine.insertFree(zone, block, order: 7, .unmovable, atTail: true)
      machine.insertFree(zone, PFN(0x1180), order: 7, .unmovable, atTail: true)
    }
  }

  @Test("AI.4: a pageblock of another type than the list")
  func types() throws {
    try expect("AI.4: pfn 0x2800 is on list 10/Movable, its pageblock is Unmovable") {
      $0.frames.setMigrateType(PFN(10240), .unmovable)
    }
    // The second pageblock of a largest block counts as well.
    try expect("AI.4: pfn 0x2800 is on list 10/Movable, its pageblock is Reclaimable") {
      $0.frames.setMigrateType(PFN(10240 + 512), .reclaimable)
    }
  }

  @Test("AI.6: counters of free pages")
  func counters() throws {
    let free = try machine().freePagesSnapshot(zone)
    try expect("AI.6: NR_FREE_PAGES is \(free + 1), the lists hold \(free) pages") {
      $0.zoneTable[zone].freePages += 1
    }
    try expect("AI.6: NR_FREE_CMA_PAGES is 2047, the lists hold 2048 pages") {
      $0.zoneTable[zone].freeCMAPages -= 1
    }
    try expect("AI.6: nr_free_highatomic is 512, the lists hold 0") {
      $0.zoneTable[zone].freeHighAtomic = 512
    }
    try expect("AI.6: CPU 0 holds back more than any threshold, 125") {
      $0.zoneTable[zone].freePages -= 126 - $0.perCPU[zone].freeDiff
      $0.perCPU[zone].freeDiff = 126
    }
  }

  @Test("AI.7, AI.8: per-CPU lists")
  func perCPU() throws {
    let count = try machine().perCPUPages(zone: zone, cpu: 0).count
    try expect("AI.7: CPU 0 counts \(count + 1) pages, its lists hold \(count)") {
      $0.perCPU[zone].count += 1
    }
    try expect("AI.7: alloc_factor of CPU 0 is 6") { $0.perCPU[zone].allocFactor = 6 }
    try expect("AI.7: free_count of CPU 0 is -1") { $0.perCPU[zone].freeCount = -1 }
    try expect("AI.7: free_count of CPU 0 is 608") {
      $0.perCPU[zone].freeCount = 608
    }
    try expect("AI.7: pfn 0x1005 is on list 0 of CPU 0 but not marked so") {
      $0.frames.setHead(PFN(0x1005), FrameState(.free, order: 0))
    }
    try expect("AI.7: pfn 0x1005 is on list 0 of CPU 0 but not marked so") {
      $0.frames.setHead(PFN(0x1005), FrameState(.perCPU, order: 1))
    }
    try expect("AI.8: CMA block pfn 0x3000 is on the non-movable list 12 of CPU 0") { machine in
      machine.removeFree(zone, PFN(12288), order: 10)
      machine.insertFree(zone, PFN(12288 + 512), order: 9, .cma, atTail: true)
      machine.frames.pushTail(&machine.perCPU[zone].lists[12], PFN(12288), order: 9)
      machine.frames.setHead(PFN(12288), FrameState(.perCPU, order: 9))
      machine.perCPU[zone].count += 512
      machine.account(zone, -512, .cma)
    }
  }

  @Test("AI.11 to AI.13, AI.19: numbers of a zone")
  func numbers() throws {
    try expect("AI.11: 16305 pages are free, more than the 16000 managed") {
      $0.zoneTable[zone].managed = 16000
    }
    try expect("AI.12: the watermarks do not ascend") { $0.zoneTable[zone].watermarks[1] = 5 }
    try expect("AI.12: watermark_boost is 577, its limit 576") {
      $0.zoneTable[zone].watermarkBoost = 577
    }
    try expect("AI.12: watermark_boost is -1, its limit 576") {
      $0.zoneTable[zone].watermarkBoost = -1
    }
    try expect("AI.13: the zone holds a reserve against itself or a lower zone") {
      $0.zoneTable[zone].lowmemReserve[1] = 7
    }
    try expect("AI.19: nr_reserved_highatomic is 512, the pageblocks hold 0") {
      $0.zoneTable[zone].reservedHighAtomic = 512
    }
  }

  @Test("Every single link of a list, cut or bent, is noticed")
  func links() throws {
    let sound = try machine()
    for order in 0...10 {
      for type in MigrateType.allCases {
        let list = order * MigrateType.count + Int(type.rawValue)
        for pfn in sound.freeBlocks(zone, order: order, type) {
          // A block that is taken off its list, but still counted.
          var machine = try sound.fork()
          machine.frames.remove(
            &machine.zoneTable[zone].freeLists[list], PFN(pfn), order: order)
          #expect(machine.check() != nil)
          // A block that is marked as handed out while it is listed.
          machine = try sound.fork()
          machine.frames.setHead(PFN(pfn), FrameState(.allocated, order: order))
          #expect(machine.check() != nil)
        }
      }
    }
  }

  @Test("I10, I11: bitmaps, isolated pageblocks, and the types of an area's pageblocks")
  func contiguousAreas() throws {
    try expect("I10: nr_isolate_pageblock is 1, 0 pageblocks are isolated") {
      $0.zoneTable[zone].isolatedPageblocks = 1
    }
    try expect("I10: 1 pageblocks are isolated, and nobody is at it") {
      _ = $0.setIsolate(PFN(12288), .cmaAllocation, checking: PFNRange(12288, 12800))
    }
    var machine = try machine()
    var area = machine.cmaAreas[0]
    let reserved = machine.reserveCMA(area: 0, pages: 512, alignment: 9, from: 0)
    let bit = try #require(reserved)
    let pfn = PFN(area.base + bit)
    let range = PFNRange(pfn.index, pfn.index + 512)
    let refusal = machine.startIsolation(of: range, .cmaAllocation)
    let end = machine.takeFreeBlocks(of: range, owner: FrameState.cmaOwner)
    #expect(refusal == nil && end == range.end)
    machine.endIsolation(of: range, as: .cma)
    machine.finishCMA(area: 0, pfn, pages: 512, alignment: 9, noWarn: false, nil)
    #expect(machine.check() == nil)
    area = machine.cmaAreas[0]
    let bits = area.bit(of: pfn)..<area.bit(of: pfn) + 512
    machine.cmaBitmap.clear(bits, area)
    #expect(
      machine.check()
        == "CMA area 'reserved': I10: 512 pages were given away, the set bits have 0")
    machine.cmaBitmap.set(bits.lowerBound..<bits.upperBound + 1, area)
    #expect(
      machine.check() == "CMA area 'reserved': I10: bit \(bits.upperBound) is set, but nobody was "
        + "given \(pfn + 512)")
    machine.cmaBitmap.clear(bits.upperBound..<bits.upperBound + 1, area)
    machine.frames.setMigrateType(pfn, .movable)
    machine.zoneTable[zone].cmaPages -= 512
    #expect(
      machine.check() == "CMA area 'reserved': I11: the pageblock at \(pfn) is Movable")
  }
}

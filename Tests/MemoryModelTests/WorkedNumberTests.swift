import MemoryModel
import ModelTesting
import Testing

/// The test vectors AV.10 to AV.14: requests on the common setting S(n), and every pfn and mark
/// that a validated model of 6.12.117 gave.
@Suite struct WorkedNumberTests {
  let zone = ZoneIndex.dma32.rawValue

  @Test("AV.10: refills, LIFO reuse, claims, the shared order-9 list, a drain")
  func plainRequests() throws {
    var machine = try Machine.restore(.single(pages: 16384))

    let first = machine.allocate(8, order: 0, .plain)
    #expect(first == Array(4096...4103))
    #expect(machine.perCPUPages(zone: zone, cpu: 0).count == 1)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).high == 329)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).allocFactor == 2)
    #expect(machine.freeCounts(zone) == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 15])
    #expect(machine.zone(zone).freePages == 16377)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).freeDiff == -2)

    let movable = machine.allocate(4, order: 0, .plainMovable)
    #expect(movable == [5120, 5121, 5122, 5123])
    #expect(machine.perCPUPages(zone: zone, cpu: 0).count == 9)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).high == 341)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).allocFactor == 3)
    #expect(machine.zone(zone).freePages == 16365)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).freeDiff == -2)

    let three = machine.allocate(3, order: 0, .plainMovable)
    #expect(three == [5124, 5125, 5126])
    try machine.free(three)
    let reused = machine.allocate(4, order: 0, .plainMovable)
    #expect(reused == [5126, 5125, 5124, 5127])

    let reclaimable = machine.allocate(2, order: 0, .plainReclaimable)
    #expect(reclaimable == [6144, 6145])
    let cache = machine.allocate(3, order: 3, .plain)
    #expect(cache == [4112, 4120, 4128])
    let huge = machine.allocate(2, order: 9, .plainMovable)
    #expect(huge == [5632, 7168])
    let plainHuge = machine.allocate(1, order: 9, .plain)
    #expect(plainHuge == [4608])
    // The second block of the refill before: both types share one list (A5.2).
    let reclaimableHuge = machine.allocate(1, order: 9, .plainReclaimable)
    #expect(reclaimableHuge == [8192])
    let largest = machine.allocate(1, order: 10, .plain)
    #expect(largest == [9216])
    let direct = machine.allocate(2, order: 4, .plain)
    #expect(direct == [4144, 4160])
    try machine.free(direct, order: 4)

    machine.drainAllPages()
    #expect(machine.freeCounts(zone) == [0, 1, 1, 4, 3, 2, 3, 3, 3, 3, 10])
    #expect(machine.zone(zone).freePages == 13270)
    #expect(machine.freeBlocks(zone, order: 3, .unmovable) == [4104, 4136])
    #expect(machine.freeBlocks(zone, order: 9, .unmovable) == [8704])
    #expect(machine.freeBlocks(zone, order: 9, .movable) == [7680])
    #expect(machine.freeBlocks(zone, order: 9, .reclaimable) == [6656])
    #expect(
      machine.freeBlocks(zone, order: 10, .movable)
        == Array(stride(from: 10240, through: 19456, by: 1024)))
    let unmovable: Set = [4096, 4608, 8192, 8704, 9216, 9728]
    for pageblock in stride(from: 4096, to: 20480, by: 512) {
      let expected: MigrateType =
        unmovable.contains(pageblock)
        ? .unmovable : [6144, 6656].contains(pageblock) ? .reclaimable : .movable
      #expect(machine.frames.migrateType(PFN(pageblock)) == expected, "pageblock \(pageblock)")
    }
    #expect(machine.check() == nil)
  }

  @Test("AV.11, AP.4: half of the free memory is CMA, and each refill crosses the line anew")
  func halfRule() throws {
    var machine = try Machine.restore(.single(pages: 16384, cma: PFNRange(12288, 20480)))
    #expect(machine.freeBlocks(zone, order: 10, .cma).first == 19456)
    #expect(machine.freeBlocks(zone, order: 10, .cma).last == 12288)

    let first = machine.allocate(3, order: 0, .plainMovable)
    #expect(first == [4096, 4097, 4098])
    #expect(machine.zone(zone).freePages == 16381)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).freeDiff == 0)
    #expect(machine.zone(zone).freeCMAPages == 8192)

    let plain = machine.allocate(1, order: 0, .plain)
    #expect(plain == [5120])
    #expect(machine.zone(zone).freePages == 16377)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).freeDiff == -2)

    let mixed = machine.allocate(18, order: 0, .plainMovable)
    #expect(
      mixed == Array(19456...19464)
        + [4099, 19465, 19466, 19467, 4100, 4101, 4102, 19468, 19469])
    #expect(machine.zone(zone).freePages == 16341)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).freeDiff == -2)
    #expect(machine.zone(zone).freeCMAPages == 8171)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).freeCMADiff == -2)

    let pinned = machine.allocate(2, order: 0, .plainMovable, inPinScope: true)
    #expect(pinned == [5121, 5122])
    let movableHuge = machine.allocate(1, order: 9, .plainMovable)
    #expect(movableHuge == [19968])
    let plainHuge = machine.allocate(1, order: 9, .plain)
    #expect(plainHuge == [5632])

    #expect(machine.perCPUBlocks(zone, list: 0) == [5123, 5124, 5125])
    #expect(
      machine.perCPUBlocks(zone, list: 1) == [
        19470, 4103, 4104, 4105, 19471, 19472, 19473, 4106, 4107, 4108, 19474, 19475, 19476, 4109,
        4110, 4111, 19477, 19478,
      ])
    #expect(machine.perCPUBlocks(zone, list: 12) == [6144])
    #expect(machine.perCPUBlocks(zone, list: 13) == [4608])
    #expect(machine.perCPUPages(zone: zone, cpu: 0).count == 1045)
    #expect(machine.perCPUPages(zone: zone, cpu: 0).high == 371)
    #expect(machine.check() == nil)
  }

  @Test("AV.13, AP.4: the second block of a refill sees the first one gone")
  func halfRuleWithinOneRefill() throws {
    var machine = try Machine.restore(.single(pages: 65536, cma: PFNRange(36864, 69632)))
    let huge = machine.allocate(3, order: 9, .plainMovable)
    #expect(huge == [4096, 68608, 4608])
  }

  @Test("AV.14, AP.23, AI.8: a freed CMA block is never handed to a kernel request")
  func noCMALeak() throws {
    var machine = try Machine.restore(.single(pages: 65536, cma: PFNRange(36864, 69632)))
    let huge = machine.allocate(3, order: 9, .plainMovable)
    #expect(huge == [4096, 68608, 4608])
    try machine.free([68608], order: 9)
    #expect(machine.perCPUBlocks(zone, list: 13) == [68608])
    let plain = machine.allocate(1, order: 9, .plain)
    #expect(plain == [5120])
    let reclaimable = machine.allocate(1, order: 9, .plainReclaimable)
    #expect(reclaimable == [5632])
    #expect(machine.check() == nil)
  }
}

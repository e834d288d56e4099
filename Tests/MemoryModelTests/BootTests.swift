import ModelTesting
import Testing

@testable import MemoryModel

/// Where zones lie, what boot leaves on the lists, and in which order (A1.1 to A1.14, A1.26, A1.27).
@Suite struct BootTests {
  private func configuration(
    _ nodes: [[PFNRange]], _ change: (inout MachineConfiguration) -> Void = { _ in }
  ) -> MachineConfiguration {
    var configuration = MachineConfiguration()
    configuration.nodes = nodes.map { .init(memory: $0) }
    change(&configuration)
    return configuration
  }

  private func laidOut(
    mib: Int..., change: (inout MachineConfiguration) -> Void = { _ in }
  ) throws -> MachineConfiguration {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: mib.map { $0 << 20 })
    change(&configuration)
    return configuration
  }

  /// One line a zone that spans anything: `node name first-end present`.
  private func zones(_ configuration: MachineConfiguration) -> [String] {
    ZoneLayout(configuration).zones.enumerated().filter { !$1.range.isEmpty }.map { id, extent in
      let index = ZoneIndex(rawValue: id % ZoneIndex.count)!
      return "\(id / ZoneIndex.count) \(index.name) \(extent.range.start)-\(extent.range.end) "
        + "\(extent.present)"
    }
  }

  // MARK: Zones

  @Test("A1.1, A1.2, A1.8: DMA, DMA32 and Normal of a PC")
  func archZones() throws {
    #expect(try zones(laidOut(mib: 1)) == ["0 DMA 1-256 255"])
    #expect(try zones(laidOut(mib: 16)) == ["0 DMA 1-4064 3966"])
    #expect(
      try zones(laidOut(mib: 256)) == ["0 DMA 1-4096 3998", "0 DMA32 4096-65504 61408"])
    // Zones span the hole from 3 GiB, less 128 KiB of firmware, to 4 GiB (A1.2).
    #expect(
      try zones(laidOut(mib: 5120)) == [
        "0 DMA 1-4096 3998", "0 DMA32 4096-1048576 782304", "0 Normal 1048576-1572864 524288",
      ])
    let machine = try Machine.boot(laidOut(mib: 256))
    #expect(machine.zone(0).managed == 3840)
    #expect(machine.zone(0).present == 3998)
    #expect(machine.zone(1).managed == 61408)
  }

  @Test("A1.1: on ppc64 everything is Normal")
  func ppc64Zones() throws {
    var configuration = MachineConfiguration()
    configuration.geometry = .ppc64
    try configuration.layOut(bytesPerNode: [256 << 20])
    #expect(zones(configuration) == ["0 Normal 0-4096 4096"])
    let machine = try Machine.boot(configuration)
    // 1 MiB is reserved: 16 frames of 64 KiB, times 16.
    #expect(machine.zone(2).managed == 4096 - 256)
    #expect(
      machine.freeBlocks(2, order: 8, .movable) == Array(stride(from: 256, to: 4096, by: 256)))
    #expect(machine.check() == nil)
  }

  @Test("A1.4, A1.5: 256 MiB with movablecore=64M begin the zone at 0xc000")
  func movablecore() throws {
    let ranges = [PFNRange(1, 0x9F), PFNRange(0x100, 0xFFE0)]
    #expect(
      zones(configuration([ranges]) { $0.movablecore = .pages(16384) }) == [
        "0 DMA 1-4096 3998", "0 DMA32 4096-49152 45056", "0 Movable 49152-65504 16352",
      ])
    // The same in per cent, and by what the kernel keeps.
    #expect(
      zones(configuration([ranges]) { $0.movablecore = .percent(25) }).last
        == "0 Movable 49152-65504 16352")
    #expect(
      zones(configuration([ranges]) { $0.kernelcore = .pages(49022) }).last
        == "0 Movable 49152-65504 16352")
    // kernelcore wins when it wants more.
    #expect(
      zones(
        configuration([ranges]) {
          $0.movablecore = .pages(16384)
          $0.kernelcore = .pages(60000)
        }
      ).last == "0 Movable 60416-65504 5088")
  }

  @Test("A1.4, A1.5: sizes that leave no zone Movable")
  func noMovable() {
    let ranges = [PFNRange(1, 0x9F), PFNRange(0x100, 0xFFE0)]
    let sizes: [(MachineConfiguration.MovableSize?, MachineConfiguration.MovableSize?)] = [
      // All memory for the kernel, nothing for it, and a rest below one largest block.
      (.percent(100), nil), (.pages(0), nil), (.percent(0), nil), (nil, .pages(0)),
      (.pages(65000), nil), (nil, .percent(100)),
    ]
    for (core, movable) in sizes {
      let layout = zones(
        configuration([ranges]) {
          $0.kernelcore = core
          $0.movablecore = movable
        })
      #expect(layout == ["0 DMA 1-4096 3998", "0 DMA32 4096-65504 61408"], "\(layout)")
    }
  }

  @Test("A1.4.1, A1.4.3: kernelcore is spread over the nodes, and what one lacks others give")
  func movableNodes() {
    // Two equal nodes of 64 MiB above zone DMA: half of each is movable. Node 0's share ends in
    // frame 16382, which is rounded up to a largest block.
    let equal = [[PFNRange(4096, 20480)], [PFNRange(20480, 36864)]]
    #expect(
      zones(configuration(equal) { $0.kernelcore = .percent(50) }) == [
        "0 DMA32 4096-12288 8192", "0 Movable 12288-20480 8192", "1 DMA32 20480-28672 8192",
        "1 Movable 28672-36864 8192",
      ])
    // Node 0 has less than its share of 8,192: node 1 takes the rest in the second round.
    let unequal = [[PFNRange(4096, 8192)], [PFNRange(8192, 36864)]]
    #expect(
      zones(configuration(unequal) { $0.kernelcore = .pages(16384) }) == [
        "0 DMA32 4096-8192 4096", "1 DMA32 8192-20480 12288", "1 Movable 20480-36864 16384",
      ])
    // Memory below the highest zone counts as the kernel's first (A1.4, step 2).
    let low = [[PFNRange(0, 1 << 20)], [PFNRange(1 << 20, (1 << 20) + 65536)]]
    #expect(
      zones(configuration(low) { $0.movablecore = .pages(16384) }) == [
        "0 DMA 0-4096 4096", "0 DMA32 4096-1048576 1044480", "1 Normal 1048576-1097728 49152",
        "1 Movable 1097728-1114112 16384",
      ])
  }

  @Test("A1.7, AP.16: pageblock 0 begins in a hole and stays Unmovable")
  func firstPageblock() throws {
    let machine = try Machine.boot(laidOut(mib: 32))
    let types = (0..<16).map { machine.frames.migrateType(PFN($0 * 512)) }
    #expect(types == [.unmovable] + Array(repeating: .movable, count: 15))
    #expect(machine.freeBlocks(0, order: 8, .unmovable) == [256])
  }

  // MARK: Hand-over

  @Test("A1.9, AP.1: free memory is handed over ascending, cut at its own alignment")
  func handOver() throws {
    let machine = try Machine.boot(configuration([[PFNRange(4099, 7200)]]))
    let zone = ZoneIndex.dma32.rawValue
    // 4099 1 | 4100 4 | 4104 8 | 4112 16 | … | 4608 512 | 5120 1024 | 6144 1024 | 7168 32
    let expected: [(order: Int, pfns: [Int])] = [
      (0, [4099]), (2, [4100]), (3, [4104]), (4, [4112]), (5, [4128, 7168]), (6, [4160]),
      (7, [4224]), (8, [4352]), (9, [4608]), (10, [5120, 6144]),
    ]
    for (order, pfns) in expected {
      let listed = MigrateType.allCases.flatMap {
        machine.freeBlocks(zone, order: order, $0)
      }
      #expect(listed.sorted() == pfns, "order \(order)")
    }
    #expect(machine.freeBlocks(zone, order: 10, .movable) == [5120, 6144])
    #expect(machine.zone(zone).managed == 3101)
    // The pageblock that begins outside of memory is Unmovable (A1.7).
    #expect(machine.freeBlocks(zone, order: 8, .unmovable) == [4352])
    #expect(machine.event(.pgfree) == 3101)
    #expect(machine.trace.total == 0)
  }

  @Test("A1.9: the first allocation of a machine takes the lowest block")
  func lowestFirst() throws {
    var machine = try Machine.boot(laidOut(mib: 64))
    let first = machine.allocate(1, order: 10, .highUserMovable)
    #expect(first == [4096])
    let second = machine.allocate(1, order: 10, .highUserMovable)
    #expect(second == [5120])
  }

  @Test("A1.12: from 1 to 16 MiB, when types are kept apart")
  func mobilityGrouping() throws {
    // 512 pages for each of six types, or of five without CONFIG_CMA, counted as present pages.
    for (mib, disabled) in [(1, true), (2, true), (4, true), (8, true), (12, true), (16, false)] {
      let machine = try Machine.boot(laidOut(mib: mib))
      #expect(machine.isMobilityGroupingDisabled == disabled, "\(mib) MiB")
      #expect(machine.check() == nil)
    }
    let border = [[PFNRange(4096, 4096 + 3072)]]
    #expect(try !Machine.boot(configuration(border)).isMobilityGroupingDisabled)
    let below = [[PFNRange(4096, 4096 + 3071)]]
    #expect(try Machine.boot(configuration(below)).isMobilityGroupingDisabled)
    let withoutCMA = configuration([[PFNRange(4096, 4096 + 2560)]]) { $0.hasCMA = false }
    #expect(try !Machine.boot(withoutCMA).isMobilityGroupingDisabled)
  }

  @Test("A1.12, A2.4: without grouping every request is Unmovable, in the trace as well")
  func ungrouped() throws {
    var machine = try Machine.boot(laidOut(mib: 4))
    let movable = machine.allocate(1, order: 0, .highUserMovable)[0]
    #expect(machine.frames.migrateType(PFN(movable)) == .unmovable)
    #expect(machine.trace.events().last?.argument1 == 0)
    _ = machine.allocate(400, order: 0, .plainReclaimable)
    for block in 0..<machine.frames.pageblockCount {
      let type = machine.frames.migrateType(PFN(block << 9))
      #expect(type == .unmovable || type == .movable)
    }
    #expect(machine.check() == nil)
  }

  // MARK: Zonelists

  @Test("A1.13: within a node the highest zone comes first")
  func zonelistOfOneNode() throws {
    let machine = try Machine.boot(
      laidOut(mib: 5120) { $0.movablecore = .pages(65536) })
    #expect(machine.zonelists == [[3, 2, 1, 0]])
  }

  @Test("A1.14: nodes by distance, then by number; far ones last")
  func zonelistOfNodes() throws {
    let nodes = (0..<4).map { [PFNRange(4096 + $0 * 1024, 5120 + $0 * 1024)] }
    var machine = try Machine.boot(configuration(nodes) { $0.cpuNodes = [0, 1, 2, 3] })
    // Equal distances: each node starts with itself, and a lower number costs a little.
    #expect(
      machine.zonelists.map { $0.map { $0 / ZoneIndex.count } } == [
        [0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2],
      ])
    machine = try Machine.boot(
      configuration(nodes) {
        $0.cpuNodes = [0, 1, 2, 3]
        $0.distances = [[10, 40, 20, 20], [40, 10, 20, 20], [20, 20, 10, 40], [20, 20, 40, 10]]
      })
    #expect(
      machine.zonelists.map { $0.map { $0 / ZoneIndex.count } } == [
        [0, 2, 3, 1], [1, 3, 2, 0], [2, 0, 1, 3], [3, 1, 0, 2],
      ])
  }

  @Test("A1.14: a node without CPUs is preferred to one with")
  func memoryOnlyNode() throws {
    let nodes = (0..<3).map { [PFNRange(4096 + $0 * 1024, 5120 + $0 * 1024)] }
    let machine = try Machine.boot(configuration(nodes) { $0.cpuNodes = [0, 1] })
    #expect(machine.zonelists[0].map { $0 / ZoneIndex.count } == [0, 2, 1])
  }

  // MARK: CMA

  @Test("A1.26: below 4 GiB an area is placed from the top, above it from 4 GiB on")
  func cmaPlacement() throws {
    let small = try Machine.boot(
      laidOut(mib: 256) { $0.cmaAreas = [.init(name: "reserved", pages: 4096)] })
    // Memory ends at 65504; the last place on a pageblock border is 61408, rounded down to 60928.
    #expect(small.cmaAreas.map(\.base) == [61408 / 512 * 512])
    #expect(small.zone(1).cmaPages == 4096)
    #expect(small.check() == nil)

    let large = try Machine.boot(
      laidOut(mib: 5120) { $0.cmaAreas = [.init(name: "reserved", pages: 4096)] })
    #expect(large.cmaAreas.map(\.base) == [1 << 20])
    #expect(large.zone(2).cmaPages == 4096)

    let fixed = try Machine.boot(
      laidOut(mib: 256) { $0.cmaAreas = [.init(name: "dev", pages: 700, base: 0x8000)] })
    // Sizes are rounded up to pageblocks.
    #expect(fixed.cmaAreas.map(\.pages) == [1024])
    #expect(fixed.frames.migrateType(PFN(0x8200)) == .cma)
    #expect(fixed.frames.migrateType(PFN(0x8400)) == .movable)
  }

  @Test("A1.27, AP.1: the CMA list descends, and the last pageblock waits on a per-CPU list")
  func cmaOrder() throws {
    let machine = try Machine.boot(
      laidOut(mib: 256) {
        $0.cmaAreas = [.init(name: "reserved", pages: 8192, base: 0x8000)]
      })
    let zone = ZoneIndex.dma32.rawValue
    #expect(machine.zone(zone).batch == 15)
    let listed = machine.freeBlocks(zone, order: 10, .cma)
    #expect(listed == listed.sorted(by: >))
    #expect(listed == Array(stride(from: 0x8000, to: 0x9C00, by: 1024)).reversed())
    // With batch 15 exactly one pageblock, the highest, stays on the CPU's Movable list.
    #expect(machine.perCPUBlocks(zone, list: 13) == [0x9E00])
    #expect(machine.freeBlocks(zone, order: 9, .cma) == [0x9C00])
    #expect(machine.check() == nil)
    // It is the first thing that a movable request of order 9 gets (AP.5).
    var running = try machine.fork()
    let huge = running.allocate(1, order: 9, .plainMovable)
    #expect(huge == [0x9E00])
    // The ordinary list ascends.
    #expect(machine.freeBlocks(zone, order: 10, .movable).prefix(2) == [4096, 5120])
  }

  // MARK: Limits

  @Test("256 CPUs on two nodes")
  func manyCPUs() throws {
    var machine = try Machine.boot(
      laidOut(mib: 256, 256) { $0.cpuNodes = (0..<256).map { $0 / 128 } })
    // 2 · fls(256) · (1 + fls(1)): the zone has once 128 MiB.
    #expect(machine.zone(1).statThreshold == 36)
    for cpu in stride(from: 0, to: 256, by: 51) {
      machine.run(onCPU: cpu)
      let page = machine.allocatePages(order: 0, gfp: .highUserMovable).pfn
      let zone = page.flatMap { machine.frames.zone(of: $0) }
      #expect(zone.map { $0 / ZoneIndex.count } == cpu / 128)
    }
    #expect(machine.check() == nil)
  }

  @Test(
    "Small machines boot and serve until they are empty", arguments: [1, 2, 3, 4, 6, 8, 12, 16])
  func smallMachines(mib: Int) throws {
    for kernel in Kernel.presets {
      var machine = try Machine.boot(laidOut(mib: mib) { $0.kernel = kernel })
      #expect(machine.check() == nil)
      var held: [Int] = []
      while let pfn = machine.allocatePages(order: 0, gfp: [.kernel, .memalloc]).pfn {
        held.append(pfn.index)
      }
      let managed = machine.populatedZones.reduce(0) { $0 + machine.zone($1).managed }
      #expect(held.count == managed)
      #expect(Set(held).count == held.count)
      try machine.free(held)
      machine.drainAllPages()
      #expect(machine.check() == nil)
    }
  }

  @Test("AP.30, A1.20: below 512 MiB huge pages are off and raise nothing, but keep their lists")
  func smallGuest() throws {
    let small = try Machine.boot(laidOut(mib: 256))
    #expect(!small.settings.transparentHugePages)
    // isqrt(16 · 4 · 65248)
    #expect(small.settings.minFreeKbytes == 2043)
    #expect(small.isPerCPUOrder(9) == true)
    let large = try Machine.boot(laidOut(mib: 1024))
    #expect(large.settings.transparentHugePages)
    // Two zones: 45056 kB.
    #expect(large.settings.minFreeKbytes == 45056)
    let never = try Machine.boot(laidOut(mib: 1024) { $0.transparentHugePages = false })
    #expect(never.settings.minFreeKbytes < 5000)
  }
}

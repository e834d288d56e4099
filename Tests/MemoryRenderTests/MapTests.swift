import GoldenTesting
import MemoryModel
import MemoryRender
import Testing

@Suite struct MapTests {
  @Test func busyMachine() throws {
    let machine = try Machines.busy()
    expectGolden(MemoryMap(columns: 100).text(machine), "map-busy")
    expectGolden(MemoryMap(columns: 60, unicode: false).text(machine), "map-busy-ascii")
    expectGolden(MemoryMap(columns: 80, color: true).text(machine), "map-busy-color")
  }

  @Test func twoNodes() throws {
    let machine = try Machines.booted([4 << 30, 4 << 30], movable: 2 << 30, hasCMA: false)
    expectGolden(MemoryMap().text(machine), "map-nodes")
  }

  /// Pages of every class, next to each other in one small zone.
  @Test func uses() throws {
    var image = MachineImage()
    image.memory = [PFNRange(0, 4096)]
    image.reserved = [PFNRange(0, 512)]
    var zone = MachineImage.ZoneImage(.dma)
    zone.spanned = 4096
    zone.present = 4096
    zone.managed = 2896
    zone.freePages = 1024
    zone.freeLists = Array(repeating: [:], count: 11)
    zone.freeLists[10] = [.movable: [3072]]
    zone.pageblocks = [(0, 2, .unmovable), (1024, 1, .reclaimable), (1536, 5, .movable)]
    zone.perCPU = [.init()]
    image.zones = [zone]
    func hold(_ letter: Unicode.Scalar, _ pages: Range<Int>, isLRU: Bool = false) {
      image.allocations += pages.map {
        .init(
          pfn: $0, order: 0, owner: UInt8(ascii: letter), isLRU: isLRU, isDriverMovable: false)
      }
    }
    hold("K", 512..<700)
    hold("T", 700..<1020)
    hold("S", 1024..<1100)
    hold("F", 1536..<1800, isLRU: true)
    hold("A", 2048..<2560, isLRU: true)
    image.allocations.append(
      .init(pfn: 2560, order: 9, owner: UInt8(ascii: "H"), isLRU: false, isDriverMovable: false))
    let machine = try Machine.restore(image)
    #expect(machine.check() == nil)
    expectGolden(MemoryMap().text(machine), "map-uses")
    expectGolden(MemoryMap(color: true).text(machine), "map-uses-color")
    let file = PageblockReader.summary(of: PFN(1540), machine)
    #expect(file.lru == 264 && file.pages(.file) == 264 && file.unaccounted == 248)
    #expect(PageblockReader.summary(of: PFN(3), machine).reserved == 512)
    #expect(PageblockReader.summary(of: PFN(4000), machine).largestFreeOrder == 10)
  }

  /// No line is wider than asked, whatever the width.
  @Test(arguments: [10, 40, 41, 57, 80, 133, 400])
  func staysInsideTheColumns(_ columns: Int) throws {
    let machine = try Machines.booted([5 << 30], cma: 256 << 20)
    for line in MemoryMap(columns: columns).text(machine).split(separator: "\n") {
      #expect(line.count <= max(40, columns), "\(line)")
    }
  }

  /// The parts of every pageblock add up, and together they are what the zone counts.
  @Test func summariesAddUp() throws {
    let machine = try Machines.busy()
    for id in machine.populatedZones {
      var reader = PageblockReader(machine)
      let zone = machine.zone(id)
      var free = 0
      var perCPU = 0
      for block in zone.start >> 9...(zone.end - 1) >> 9 {
        let summary = reader.next(block, machine)
        #expect(summary.memory + summary.holes == 512)
        #expect(
          summary.free + summary.perCPU + summary.allocated + summary.reserved
            + summary.unaccounted == summary.memory)
        #expect(summary == PageblockReader.summary(of: PFN(block << 9 + 77), machine))
        free += summary.free
        perCPU += summary.perCPU
      }
      #expect(free == machine.freePagesSnapshot(id))
      let cached = (0..<machine.cpuCount).reduce(0) {
        $0 + machine.perCPUPages(zone: id, cpu: $1).count
      }
      #expect(perCPU == cached)
    }
  }
}

extension MapTests {
  /// A machine that nobody has used is drawn from the pageblock tables alone.
  @Test func largeMachine() throws {
    let machine = try Machines.booted([1 << 40])
    let clock = ContinuousClock()
    var text = ""
    let elapsed = clock.measure { text = MemoryMap(columns: 100, legend: false).text(machine) }
    #expect(text.contains("one cell = 4096 pageblocks (8 GiB)"))
    print("map of 1 TiB: \(elapsed)")
  }
}

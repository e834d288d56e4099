import ModelTesting
import Testing

@testable import MemoryModel

/// Watermarks, reserves and per-CPU marks against the worked numbers AV.3 to AV.5.
@Suite struct SizingTests {
  /// Zones without memory, of which only `managed` counts: what the formulas read.
  private func machine(
    managed: [(ZoneIndex, Int)], cpus: Int = 1, kernel: Kernel = .v6_12
  ) throws -> Machine {
    var image = MachineImage()
    image.kernel = kernel
    image.cpuNodes = Array(repeating: 0, count: cpus)
    image.memory = [PFNRange(0, 1 << 21)]
    image.settings.minFreeKbytes = 0
    var start = 4096
    for (index, pages) in managed {
      var zone = MachineImage.ZoneImage(index)
      zone.start = start
      zone.spanned = pages
      zone.present = pages
      zone.managed = pages
      zone.freeLists = Array(repeating: [:], count: 11)
      zone.pageblocks = [(start, (pages + 511) / 512, .movable)]
      image.zones.append(zone)
      start += (pages + 1023) / 1024 * 1024
    }
    return try Machine.restore(image)
  }

  private func marks(_ machine: borrowing Machine, _ index: ZoneIndex) -> [Int] {
    let zone = machine.zone(index.rawValue)
    return (0..<4).map { zone.watermarks[$0] }
  }

  private func reserve(_ machine: borrowing Machine, _ index: ZoneIndex) -> [Int] {
    let zone = machine.zone(index.rawValue)
    return (0..<5).map { zone.lowmemReserve[$0] }
  }

  private static let fourGiB: [(ZoneIndex, Int)] = [
    (.dma, 3840), (.dma32, 754192), (.normal, 243907),
  ]

  @Test("AV.3, A1.15 to A1.24: a guest of 4 GiB")
  func fourGiB() throws {
    var machine = try machine(managed: Self.fourGiB)
    machine.sizeAsAtBoot()
    #expect(machine.settings.minFreeKbytes == 67584)
    #expect(marks(machine, .dma) == [64, 80, 96, 112])
    #expect(marks(machine, .dma32) == [12718, 15897, 19076, 22255])
    #expect(marks(machine, .normal) == [4113, 5141, 6169, 7197])
    let zones = [ZoneIndex.dma, .dma32, .normal].map { machine.zone($0.rawValue) }
    #expect(zones.map(\.batch) == [1, 63, 63])
    #expect(zones.map(\.highMin) == [80, 15897, 5141])
    #expect(zones.map(\.highMax) == [480, 94274, 30488])
    #expect(zones.map(\.statThreshold) == [2, 12, 8])
    #expect(reserve(machine, .dma32) == [0, 0, 952, 952, 952])
    #expect(reserve(machine, .normal) == [0, 0, 0, 0, 0])
    #expect(machine.totalReserve == 30037)
    #expect(reserve(machine, .dma) == [0, 2946, 3898, 3898, 3898])
  }

  @Test("A1.16: an empty zone Movable shows 32 everywhere, an empty Device 0")
  func emptyZones() throws {
    var machine = try machine(managed: Self.fourGiB)
    machine.sizeAsAtBoot()
    #expect(marks(machine, .movable) == [32, 32, 32, 32])
    #expect(marks(machine, .device) == [0, 0, 0, 0])
  }

  @Test("AV.4, A1.16: a guest of 220 MiB with a zone Movable")
  func withMovable() throws {
    // `managed` as it was when the marks were computed (A1.3): high_max says 33784 to 33791 and
    // 14608 to 14615.
    var machine = try machine(managed: [(.dma, 3840), (.dma32, 33784), (.movable, 14608)])
    machine.sizeAsAtBoot()
    #expect(machine.settings.minFreeKbytes == 1551)
    #expect(marks(machine, .dma) == [39, 48, 57, 66])
    #expect(marks(machine, .dma32) == [347, 433, 519, 605])
    #expect(marks(machine, .movable) == [32, 69, 106, 143])
    let zones = [ZoneIndex.dma, .dma32, .movable].map { machine.zone($0.rawValue) }
    #expect(zones.map(\.batch) == [1, 7, 3])
    #expect(zones.map(\.highMin) == [48, 433, 69])
    #expect(zones.map(\.highMax) == [480, 4223, 1826])
    #expect(zones.map(\.statThreshold) == [2, 4, 2])
  }

  @Test("AV.5, A1.23: the batch by managed pages")
  func batches() throws {
    for (managed, batch) in [
      (1, 1), (3840, 1), (15110, 3), (19226, 3), (23784, 3), (35642, 7), (50752, 15),
      (262_144, 63), (1_000_000, 63),
    ] {
      var machine = try machine(managed: [(.dma32, managed)])
      machine.setupPerZoneWatermarks()
      #expect(machine.zone(1).batch == batch, "managed \(managed)")
    }
  }

  @Test("A0.4: thresholds by managed pages and CPUs")
  func thresholds() throws {
    for (managed, cpus, threshold) in [
      (3840, 1, 2), (50_000, 1, 4), (243_907, 1, 8), (756_506, 1, 12), (3840, 2, 4), (3840, 4, 6),
      (756_506, 8, 48), (1_000_000, 255, 96),
    ] {
      var machine = try machine(managed: [(.dma32, managed)], cpus: cpus)
      machine.refreshStatThresholds()
      #expect(machine.zone(1).statThreshold == threshold, "\(managed) pages, \(cpus) CPUs")
    }
  }

  @Test("A0.4: the threshold of a zone of 64 KiB pages goes by its bytes")
  func thresholdOfLargePages() throws {
    var configuration = MachineConfiguration()
    configuration.geometry = .ppc64
    // 4 GiB are 32 times 128 MiB, of which 1 MiB · 16 is reserved: 2 · (1 + fls(31)).
    try configuration.layOut(bytesPerNode: [4 << 30])
    let machine = try Machine.boot(configuration)
    #expect(machine.zone(2).statThreshold == 12)
    // A quarter of 1 MiB is four pages: 4 + 2, rounded to 4, less one.
    #expect(machine.zone(2).batch == 3)
  }

  @Test("A1.21, A1.22: an empty upper zone holds nothing back in 6.12.0")
  func lowmemReserve() throws {
    var machine = try machine(managed: Self.fourGiB, kernel: .v6_12_0)
    machine.sizeAsAtBoot()
    #expect(reserve(machine, .dma) == [0, 2946, 3898, 0, 0])
    #expect(reserve(machine, .dma32) == [0, 0, 952, 0, 0])
    #expect(machine.totalReserve == 30037)
  }

  @Test("A1.21: ratios, and what a zone without pages or without ratio holds back")
  func ratios() throws {
    var machine = try machine(managed: [(.dma, 3840), (.normal, 100_000), (.movable, 6400)])
    machine.setupLowmemReserve()
    #expect(reserve(machine, .dma) == [0, 0, 390, 415, 415])
    #expect(reserve(machine, .dma32) == [0, 0, 0, 0, 0])
    #expect(reserve(machine, .normal) == [0, 0, 0, 200, 200])
    try machine.write(.lowmemReserveRatio, "0 256 64")
    #expect(reserve(machine, .dma) == [0, 0, 0, 0, 0])
    #expect(reserve(machine, .normal) == [0, 0, 0, 100, 100])
    #expect(machine.read(.lowmemReserveRatio) == "0\t256\t64\t0\t0")
  }

  @Test("A1.15: min_free_kbytes has limits, and a user's larger value stands")
  func minFreeKbytes() throws {
    for (pages, kbytes) in [(100, 128), (4096, 512), (400_000, 5059), (1 << 20, 8192)] {
      var machine = try machine(managed: [(.dma32, pages)])
      machine.calculateMinFreeKbytes()
      #expect(machine.settings.minFreeKbytes == kbytes, "\(pages) pages")
    }
    var machine = try machine(managed: [(.dma32, 65536)])
    try machine.write(.minFreeKbytes, "9000")
    machine.calculateMinFreeKbytes()
    #expect(machine.settings.minFreeKbytes == 9000)
    try machine.write(.minFreeKbytes, "100")
    machine.calculateMinFreeKbytes()
    #expect(machine.settings.minFreeKbytes == 2045)
  }

  @Test("A1.15, A1.17: pages below the boosted high mark are not counted")
  func boostCounts() throws {
    var machine = try machine(managed: [(.dma32, 65536)])
    machine.setTransparentHugePages(false)
    machine.zoneTable[1].watermarkBoost = 1024
    let high = machine.zone(1).watermark(2)
    machine.calculateMinFreeKbytes()
    let kbytes = (65536 - high) * 4
    let root = machine.settings.minFreeKbytes
    #expect(root * root <= kbytes * 16 && (root + 1) * (root + 1) > kbytes * 16)
  }

  @Test("A1.19, A1.24: a settings write recomputes marks and clears the boost")
  func settings() throws {
    var machine = try machine(managed: [(.dma32, 65536)])
    machine.zoneTable[1].watermarkBoost = 512
    try machine.write(.minFreeKbytes, "4096")
    #expect(machine.zone(1).watermarkBoost == 0)
    #expect(marks(machine, .dma32) == [1024, 1280, 1536, 1792])
    try machine.write(.watermarkScaleFactor, "1000")
    #expect(marks(machine, .dma32) == [1024, 7577, 14130, 20683])
    #expect(machine.zone(1).highMin == 7577)
    #expect(machine.zone(1).highMax == 8192)
    try machine.write(.percpuPagelistHighFraction, "16")
    #expect(machine.zone(1).highMin == 4096)
    #expect(machine.zone(1).highMax == 4096)
    try machine.write(.percpuPagelistHighFraction, "0")
    #expect(machine.zone(1).highMin == 7577)
    try machine.write(.watermarkBoostFactor, "0")
    #expect(machine.read(.watermarkBoostFactor) == "0")
    #expect(machine.read(.minFreeKbytes) == "4096")
    #expect(machine.read(.watermarkScaleFactor) == "1000")
  }

  @Test("A1.20: switching huge pages moves min_free_kbytes both ways")
  func hugePages() throws {
    var machine = try machine(managed: Self.fourGiB)
    machine.sizeAsAtBoot()
    machine.setTransparentHugePages(false)
    let plain = machine.settings.minFreeKbytes
    #expect(plain < 9000)
    machine.setTransparentHugePages(true)
    #expect(machine.settings.minFreeKbytes == 67584)
  }

  @Test("Settings that the kernel refuses, in words")
  func refusals() throws {
    var machine = try machine(managed: [(.dma32, 4096)])
    let texts: [(Sysctl, String, String)] = [
      (
        .minFreeKbytes, "-1", "min_free_kbytes = \"-1\" is outside 0 to 2147483647"
      ),
      (.minFreeKbytes, "many", "min_free_kbytes = \"many\": expected one number"),
      (.minFreeKbytes, "", "min_free_kbytes = \"\": expected one number"),
      (.minFreeKbytes, "1 2", "min_free_kbytes = \"1 2\": expected one number"),
      (
        .watermarkScaleFactor, "0", "watermark_scale_factor = \"0\" is outside 1 to 3000"
      ),
      (
        .watermarkScaleFactor, "3001", "watermark_scale_factor = \"3001\" is outside 1 to 3000"
      ),
      (
        .percpuPagelistHighFraction, "7",
        "percpu_pagelist_high_fraction = 7: use 0, or 8 and more"
      ),
      (
        .lowmemReserveRatio, "1 2 3 4 5 6",
        "lowmem_reserve_ratio = \"1 2 3 4 5 6\": expected up to 5 numbers"
      ),
    ]
    for (setting, value, message) in texts {
      let before = machine.settings
      do throws(MemoryError) {
        try machine.write(setting, value)
        Issue.record("\(setting.rawValue) = \(value) was accepted")
      } catch {
        #expect(error.message == message)
        #expect(error.code == .misuse)
      }
      #expect(machine.settings == before)
    }
  }
}

import MemoryModel
import Testing

@testable import Recordings

@Suite struct HostImageTests {
  /// `Fixtures/host-small`: two CPUs, DMA and DMA32, captured as root.
  static let small: String = {
    var directory = #filePath
    for _ in 0..<2 {
      while directory.last == "/" { directory.removeLast() }
      while directory.last != "/" { directory.removeLast() }
    }
    return directory + "Fixtures/host-small"
  }()

  private static let textFiles = [
    "capture.txt", "node0.cpulist", "version", "iomem", "vmstat", "transparent_hugepage",
    "min_free_kbytes", "zoneinfo", "pagetypeinfo", "buddyinfo", "buddyinfo.after",
  ]

  /// The text of a file of the fixture.
  static func text(_ name: String) throws -> String {
    String(decoding: try HostFile.read(small + "/" + name), as: UTF8.self)
  }

  /// The fixture's text files in a directory of their own, some replaced or left out.
  private func copy(
    to directory: borrowing Directory, without missing: Set<String> = [],
    replacing: [String: String] = [:]
  ) throws {
    for name in Self.textFiles where !missing.contains(name) {
      directory.write(try replacing[name] ?? Self.text(name), name)
    }
  }

  @Test func everyListHasItsLength() throws {
    let (image, report) = try HostImage.load(Self.small)
    #expect(report.hasPageFlags)
    #expect(report.residualBlocks == 0 && report.residualPages == 0)
    #expect(!report.zones.contains { $0.driftBlocks != 0 })
    let machine = try Machine.restore(image)
    #expect(machine.check() == nil)
    #expect(machine.cpuCount == 2 && !machine.hasCMA)
    #expect(machine.settings.minFreeKbytes == 1436)
    let zone = machine.zone(1)
    #expect((0...10).map { zone.freeCounts[$0] } == [15, 34, 89, 26, 14, 3, 5, 4, 5, 5, 0])
    #expect(zone.watermark(1) == 585 && zone.managed == 28672 && zone.freePages == 5639)
    #expect(machine.zone(0).lowmemReserve[1] == 112)
    #expect(machine.perCPUPages(zone: 1, cpu: 1).batch == 7)
    // What vmstat counts is what the page flags show.
    let anon = image.allocations.filter { $0.owner == UInt8(ascii: "A") }
    #expect(anon.reduce(0) { $0 + 1 << $1.order } == image.nodeItems["nr_anon_pages"])
    #expect(!anon.contains { !$0.isLRU })
    #expect(image.nodeItems["nr_anon_transparent_hugepages"] == 1024)
  }

  @Test func pageblockTypesHaveTheirCounts() throws {
    let (image, _) = try HostImage.load(Self.small)
    for (index, wanted) in [(ZoneIndex.dma, [1, 7, 0]), (.dma32, [7, 46, 3])] {
      let zone = image.zones.first { $0.index == index }!
      for (type, count) in zip([MigrateType.unmovable, .movable, .reclaimable], wanted) {
        let found = zone.pageblocks.filter { $0.type == type }.reduce(0) { $0 + $1.count }
        #expect(found == count, "\(type) in \(index)")
      }
    }
  }

  /// The machine is alive: it serves requests, takes pages back and stays consistent.
  @Test func theMachineRuns() throws {
    let image = try HostImage.load(Self.small).image
    var machine = try Machine.restore(image)
    let page = machine.allocatePages(order: 3, gfp: .kernel).pfn!
    try machine.freePages(page, order: 3)
    let held = image.allocations.first { $0.order == 0 }!
    try machine.freePages(PFN(held.pfn), order: 0)
    machine.drainAllPages()
    #expect(machine.check() == nil)
  }

  @Test func withoutRootPlacesAreInvented() throws {
    let directory = Directory()
    try copy(to: directory, without: ["pagetypeinfo", "iomem"])
    let (image, report) = try HostImage.load(directory.path)
    #expect(!report.hasPageFlags && report.residualBlocks == 0)
    #expect(report.text.contains("no place is the host's own"))
    #expect(report.notes.contains { $0.contains("only root may read: free blocks are placed") })
    #expect(report.notes.contains { $0.contains("no pagetypeinfo") })
    #expect(!image.allocations.contains { $0.owner != 0 })
    let machine = try Machine.restore(image)
    #expect(machine.check() == nil)
  }

  /// Two nodes, the second inside the span of the first, and a CMA area in it.
  @Test func interleavedNodesAndCMA() throws {
    let directory = Directory()
    func zone(_ node: Int, _ start: Int, spanned: Int, present: Int, free: Int, cma: Int) -> String
    {
      """
      Node \(node), zone   Normal
        pages free     \(free)
              boost    0
              min      10
              low      12
              high     14
              promo    16
              spanned  \(spanned)
              present  \(present)
              managed  \(present)
              cma      \(cma)
              protection: (0, 0, 0, 0, 0)
        pagesets
          cpu: 0
                    count: 0
                    high:  0
                    batch: 1
        vm stats threshold: 4
        node_unreclaimable:  0
        start_pfn:           \(start)

      """
    }
    let base = 1 << 20
    let first = zone(0, base, spanned: 16384, present: 12288, free: 3072 + 64, cma: 0)
    let second = zone(1, base + 8192, spanned: 4096, present: 4096, free: 4096, cma: 1024)
    directory.write(first + second, "zoneinfo")
    directory.write(
      """
      Node 0, zone   Normal      0      0      0      0      0      0      1      0      0      0      3
      Node 1, zone   Normal      0      0      0      0      0      0      0      0      0      0      4

      """, "buddyinfo")
    directory.write(
      """
      100000000-101ffffff : System RAM
      102000000-102ffffff : System RAM
      103000000-103ffffff : System RAM

      """, "iomem")
    directory.write("0\n", "node0.cpulist")
    let (image, report) = try HostImage.load(directory.path)
    #expect(report.residualBlocks == 0)
    #expect(report.zones.map(\.node) == [0, 1])
    let machine = try Machine.restore(image)
    #expect(machine.check() == nil)
    #expect(machine.nodeCount == 2 && machine.hasCMA)
    let inner = ZoneIndex.count + ZoneIndex.normal.rawValue
    #expect(machine.frames.zone(of: PFN(base + 8192)) == inner)
    #expect(machine.frames.zone(of: PFN(base + 12288)) == ZoneIndex.normal.rawValue)
    #expect(machine.cmaAreas.map(\.base) == [base + 8192 + 3072])
    #expect(machine.zone(inner).freeCMAPages == 1024)
  }

  /// The file, the line, the value and what to do.
  @Test(arguments: [
    ("zoneinfo", "managed  28672", "managed  lots", "zoneinfo:53: managed is \"lots\""),
    ("zoneinfo", "present  28672", "present  99999", "do not descend"),
    ("zoneinfo", "zone    DMA32", "zone  HighMem", "none that the model has"),
    ("zoneinfo", "Node 0, zone    DMA32", "Node x, zone    DMA32", "the node is \"x\""),
    ("zoneinfo", "min      468", "min      9468", "do not ascend"),
    ("zoneinfo", "start_pfn:           4096", "", "has no \"start_pfn\": the file is cut off"),
    ("zoneinfo", "start_pfn:           4096", "start_pfn: 99999999999", "more than the model's"),
    ("buddyinfo", "Node 0, zone    DMA32", "Node 0, zone   Normal", "no line for zone DMA32"),
    ("buddyinfo", " 89 ", " 8o ", "buddyinfo:2: order 2 is \"8o\""),
    ("buddyinfo", " 89 ", " ", "buddyinfo:2: 10 orders, but 11 expected"),
    ("buddyinfo", " 89 ", " 8999999 ", "8999999 free blocks of order 2 are more than"),
    ("pagetypeinfo", "Reclaimable", "Recoverable", "kernels before 4.4"),
    ("pagetypeinfo", "Number of blocks", "Number of", "no table of pageblocks"),
    ("pagetypeinfo", "order: 9", "order: 11", "larger than buddyinfo's largest block"),
    ("iomem", "00100000-", "00100000:", "is not a range of addresses"),
    ("capture.txt", "page_size 4096", "page_size 16384", "the model knows 4096"),
    ("vmstat", "pgfree ", "pgfree 1", "not a number"),
  ])
  func damage(_ file: String, _ old: String, _ new: String, _ message: String) throws {
    let directory = Directory()
    let text = try Self.text(file)
    // The last case needs a number that no 64 bits hold.
    let new = new == "pgfree 1" ? new + String(repeating: "0", count: 20) : new
    let damaged = text.split(separator: old, omittingEmptySubsequences: false)
      .joined(separator: new)
    #expect(damaged != text)
    try copy(to: directory, replacing: [file: damaged])
    let error = #expect(throws: RecordingError.self) { _ = try HostImage.load(directory.path) }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains(file) == true, "\(error?.message ?? "")")
  }

  @Test func cutOffPageFlags() throws {
    let directory = Directory()
    try copy(to: directory)
    let packed = try HostFile.read(Self.small + "/kpageflags.gz")
    directory.write(Array(packed[..<(packed.count / 2)]), "kpageflags.gz")
    var error = #expect(throws: RecordingError.self) { _ = try HostImage.load(directory.path) }
    #expect(error?.message.contains("kpageflags.gz: damaged or cut off") == true)
    let flags = try GzipFile.read(Self.small + "/kpageflags.gz")
    directory.write(Array(flags[..<80_003]), "kpageflags.gz")
    error = #expect(throws: RecordingError.self) { _ = try HostImage.load(directory.path) }
    #expect(error?.message.contains("ends at pfn 0x2710 and 3 bytes") == true)
  }

  /// Whatever the flags of the pages say, the machine that is rebuilt keeps every invariant.
  @Test func anyFlagsGiveAConsistentMachine() throws {
    var random = SplitMix64(seed: 5)
    // Nothing, BUDDY, RESERVED, LRU, LRU with ANON, SLAB, head and tail, PGTABLE, OFFLINE, NOPAGE
    let words: [UInt64] = [
      0, 1 << 10, 1 << 32, 1 << 5, 1 << 5 | 1 << 12, 1 << 7, 1 << 15 | 1 << 7, 1 << 16 | 1 << 7,
      1 << 26, 1 << 23, 1 << 20,
    ]
    for _ in 0..<10 {
      let directory = Directory()
      try copy(to: directory, without: random.below(2) == 0 ? ["iomem"] : [])
      var bytes: [UInt8] = []
      while bytes.count < 32768 * 8 {
        let word = words[random.below(words.count)]
        let count = 1 << random.below(11)
        let entry = (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
        for _ in 0..<count { bytes += entry }
      }
      // The last frame exists: without it the files would not belong together.
      bytes.replaceSubrange((32767 * 8)..., with: [0, 0, 0, 0, 1, 0, 0, 0])
      directory.write(bytes, "kpageflags")
      let (image, report) = try HostImage.load(directory.path)
      let machine = try Machine.restore(image)
      #expect(machine.check() == nil)
      #expect(report.residualBlocks > 0)
    }
  }

  /// No text, however damaged, may do worse than be refused.
  @Test func damagedTextsNeverTrap() throws {
    var random = SplitMix64(seed: 3)
    let names = ["zoneinfo", "buddyinfo", "pagetypeinfo", "iomem", "vmstat", "node0.cpulist"]
    let packed = try HostFile.read(Self.small + "/kpageflags.gz")
    for _ in 0..<100 {
      let directory = Directory()
      let name = names[random.below(names.count)]
      var bytes = Array(try Self.text(name).utf8)
      switch random.below(3) {
      case 0: bytes.removeLast(random.below(bytes.count))
      case 1:
        for _ in 0..<1 + random.below(4) {
          bytes[random.below(bytes.count)] = UInt8(32 + random.below(96))
        }
      default:
        let digits = bytes.indices.filter { (48...57).contains(bytes[$0]) }
        bytes[digits[random.below(digits.count)]] = UInt8(48 + random.below(10))
      }
      try copy(to: directory, replacing: [name: String(decoding: bytes, as: UTF8.self)])
      if random.below(2) == 0 { directory.write(packed, "kpageflags.gz") }
      do {
        let machine = try Machine.restore(HostImage.load(directory.path).image)
        _ = machine.check()
      } catch is RecordingError {
      } catch is MemoryError {
      }
    }
  }
}

// The order of free lists, the pages on per-CPU lists and the places of pageblock types are in no
// file. Lists are made ascending, per-CPU lists empty, types inferred, and the report says so.

public import MemoryModel

/// Rebuilds a machine from the directory that ``HostCapture`` wrote.
public enum HostImage {
  /// The state of the captured host, for ``Machine/restore(_:)``.
  ///
  /// Only `zoneinfo` and `buddyinfo` must be there. Files that the kernel shows to root alone may be
  /// missing; the report says what was invented instead.
  ///
  /// - Throws: What is wrong with which line of which file, and the fix.
  public static func load(
    _ directory: String
  ) throws(RecordingError) -> (image: MachineImage, report: CaptureReport) {
    var loader = try HostImageLoader(directory)
    try loader.readSettings()
    try loader.readMemory()
    for zone in loader.loadOrder { try loader.rebuild(zone) }
    loader.finishReport()
    return (loader.image, loader.report)
  }
}

/// The steps of one load; each reads some files and adds to the image and the report.
struct HostImageLoader {
  let directory: String
  var image = MachineImage()
  var report = CaptureReport()

  let zones: [HostZone]
  let before: HostFreeCounts
  let after: HostFreeCounts?
  let types: HostTypeCounts?
  var classes = PageClasses(count: 0)
  /// The zone of each pageblock as ``Machine/restore(_:)`` will see it, by place in `zones`.
  var owners: [Int?] = []
  var perCPUPages = 0
  var unplacedBlocks = 0
  var neverGivenPages = 0
  var heldPages = 0

  init(_ directory: String) throws(RecordingError) {
    self.directory = directory
    guard let zoneinfo = try HostText(directory, "zoneinfo"),
      let buddyinfo = try HostText(directory, "buddyinfo")
    else {
      throw RecordingError(
        "\(directory) lacks zoneinfo or buddyinfo, so it is not a capture; make one with "
          + "`pinlab capture DIR`")
    }
    zones = try HostZone.parse(zoneinfo)
    before = try HostFreeCounts(buddyinfo)
    after = try HostText(directory, "buddyinfo.after").map { text throws(RecordingError) in
      try HostFreeCounts(text)
    }
    types = try HostText(directory, "pagetypeinfo").map { text throws(RecordingError) in
      try HostTypeCounts(text)
    }
    guard zones.contains(where: \.isPopulated) else {
      throw RecordingError("\(zoneinfo.name) has no zone with memory; capture the host again")
    }
    for zone in zones where zone.isPopulated && before.zones[zone.id] == nil {
      throw RecordingError(
        "\(buddyinfo.name) has no line for zone \(zone.id.index.name) of node \(zone.id.node), "
          + "which zoneinfo has; capture the host again")
    }
    image.geometry = try geometry()
    for zone in zones where zone.isPopulated {
      let counts = before.zones[zone.id]!
      // One order after the other, because the sum of damaged numbers may overflow.
      for (order, count) in counts.enumerated() where count > zone["present"] >> order {
        throw RecordingError(
          "\(buddyinfo.name): \(count) free blocks of order \(order) are more than zone "
            + "\(zone.id.index.name) of node \(zone.id.node) has room for; capture the host again")
      }
    }
  }

  /// The zones with memory, widest first: where nodes interleave, the zone inside another one is
  /// assigned last and so keeps its pageblocks.
  var loadOrder: [Int] {
    zones.indices.filter { zones[$0].isPopulated }.sorted {
      (-zones[$0]["spanned"], $0) < (-zones[$1]["spanned"], $1)
    }
  }

  private func geometry() throws(RecordingError) -> Geometry {
    var geometry = Geometry.x86_64
    if let manifest = try HostText(directory, "capture.txt") {
      for line in manifest.lines.indices {
        let words = manifest.words(line)
        guard words.count == 2, words[0] == "page_size" else { continue }
        let size = try manifest.count(words[1], line, "the page size")
        guard size == 4096 || size == 65536 else {
          throw RecordingError(
            manifest.name, line: line + 1,
            "pages of \(size) bytes; the model knows 4096 (x86_64) and 65536 (ppc64)")
        }
        if size == 65536 { geometry = .ppc64 }
      }
    }
    geometry.maxOrder = before.orderCount - 1
    if let order = types?.pageblockOrder { geometry.pageblockOrder = order }
    guard geometry.pageblockOrder <= geometry.maxOrder else {
      throw RecordingError(
        "\(directory)/pagetypeinfo: pageblocks of order \(geometry.pageblockOrder) are larger than "
          + "buddyinfo's largest block, order \(geometry.maxOrder); capture the host again")
    }
    return geometry
  }

  // MARK: Settings and counters

  mutating func readSettings() throws(RecordingError) {
    if let words = try HostText(directory, "version")?.words(0), words.count > 2 {
      report.release = String(words[2])
    }
    if report.release?.hasPrefix("6.12.") != true {
      report.notes.append(
        "the machine runs on as \(image.kernel.name) would, not as the host's own kernel")
    }
    if let text = try HostText(directory, "transparent_hugepage") {
      image.settings.transparentHugePages = !text.lines[0].contains("[never]")
    }
    let marks = zones.filter { $0.isPopulated && $0.id.index < .movable }
    let kib = image.geometry.pageSize >> 10
    image.settings.minFreeKbytes =
      try setting("min_free_kbytes") ?? marks.reduce(0) { $0 + $1["min"] - $1["boost"] } * kib
    image.settings.watermarkScaleFactor = try setting("watermark_scale_factor") ?? 10
    image.settings.watermarkBoostFactor = try setting("watermark_boost_factor") ?? 15000
    image.settings.percpuPagelistHighFraction =
      try setting("percpu_pagelist_high_fraction") ?? 0
    image.cpuNodes = try cpuNodes()
    try readCounters()
    let cma = zones.reduce(0) { $0 + $1["cma"] }
    image.hasCMA =
      types?.types.contains(.cma) ?? (cma > 0 || image.events["cma_alloc_success"] != nil)
  }

  private func setting(_ name: String) throws(RecordingError) -> Int? {
    guard let text = try HostText(directory, name), let word = text.words(0).first else {
      return nil
    }
    return try text.count(word, 0, name)
  }

  /// The node of each CPU that zoneinfo lists; CPU numbers with gaps are closed up.
  private func cpuNodes() throws(RecordingError) -> [Int] {
    let count = zones.filter(\.isPopulated).map(\.cpus.count).min() ?? 1
    var nodes = Array(repeating: 0, count: count)
    for node in 0..<32 {
      guard let text = try HostText(directory, "node\(node).cpulist") else { break }
      for part in text.lines[0].split(separator: ",") {
        let ends = part.split(separator: "-")
        guard let first = ends.first, let last = ends.last else { continue }
        let low = try text.count(first, 0, "a CPU")
        let high = try text.count(last, 0, "a CPU")
        guard low <= high else { throw text.error(0, "CPUs \(part)") }
        if low < count { for cpu in low...min(high, count - 1) { nodes[cpu] = node } }
      }
    }
    return nodes
  }

  private mutating func readCounters() throws(RecordingError) {
    guard let text = try HostText(directory, "vmstat") else { return }
    for line in text.lines.indices {
      let words = text.words(line)
      guard words.count == 2 else { continue }
      let name = String(words[0])
      guard let raw = UInt64(words[1]) else {
        throw text.error(line, "\(name) is \"\(words[1])\", not a number")
      }
      // A counter that went below zero prints as a number next to 2^64.
      let value = raw >> 48 == 0 ? Int(raw) : 0
      image.events[name] = value
      // Huge pages are counted in base pages and printed as what they are.
      let isHuge = name.hasSuffix("hugepages") || name.hasSuffix("pmdmapped")
      image.nodeItems[name] = isHuge ? value << image.geometry.pageblockOrder : value
    }
  }

  // MARK: Memory

  mutating func readMemory() throws(RecordingError) {
    let populated = zones.filter(\.isPopulated)
    let end = populated.map(\.range.end).max() ?? 0
    let packed = directory + "/kpageflags.gz"
    let path = HostFile.exists(packed) ? packed : directory + "/kpageflags"
    report.hasPageFlags = HostFile.exists(path)
    // A byte a frame is read and written several times, for places that are invented anyway.
    guard report.hasPageFlags || end <= 1 << 28 else {
      throw RecordingError(
        "\(directory) has no kpageflags, and without them at most 2^28 frames are rebuilt, not "
          + "\(end); capture as root")
    }
    classes =
      report.hasPageFlags ? try PageClasses(path, count: end) : PageClasses(count: end)
    let order = image.geometry.pageblockOrder
    owners = Array(repeating: nil, count: (end + image.geometry.pageblockPages - 1) >> order)
    for place in loadOrder {
      let range = zones[place].range
      for block in range.start >> order...(range.end - 1) >> order { owners[block] = place }
    }
    let spans = populated.map(\.range).normalized()
    let block = image.geometry.maxBlockPages
    if let ram = try systemRAM(), (ram[ram.count - 1].end + block - 1) / block * block >= end {
      image.memory = ram
    } else {
      image.memory = report.hasPageFlags ? framesWithPages() : inventedMemory()
      report.notes.append(
        "no usable iomem: "
          + (report.hasPageFlags ? "holes look like reserved memory" : "holes are invented"))
    }
    image.memory = spans.subtracting(spans.subtracting(image.memory))
    guard ((image.memory.last?.end ?? 0) + block - 1) / block * block >= end else {
      throw RecordingError(
        "\(path) shows no page above 0x\(String(image.memory.last?.end ?? 0, radix: 16)), but "
          + "zoneinfo's last zone ends at 0x\(String(end, radix: 16)): the files are of different "
          + "hosts; capture the host again")
    }
    let total = image.memory.reduce(0) { $0 + $1.count }
    let present = populated.reduce(0) { $0 + $1["present"] }
    if total != present {
      report.notes.append("\(total) pages of memory were found, zoneinfo says \(present)")
    }
    if !report.hasPageFlags {
      report.notes.append(
        "no kpageflags, which only root may read: free blocks are placed ascending, and who holds "
          + "the rest, in blocks of what size, is unknown")
    }
  }

  /// "System RAM" of /proc/iomem in whole pages; nil when it shows no addresses, as to users.
  private func systemRAM() throws(RecordingError) -> [PFNRange]? {
    guard let text = try HostText(directory, "iomem") else { return nil }
    let size = image.geometry.pageSize
    var ranges: [PFNRange] = []
    for line in text.lines.indices where text.lines[line].hasSuffix(" : System RAM") {
      // Deeper lines are parts of what was counted already.
      if text.lines[line].first == " " { continue }
      let ends = text.words(line)[0].split(separator: "-")
      guard ends.count == 2, let first = Int(ends[0], radix: 16),
        let last = Int(ends[1], radix: 16), first <= last, last < 1 << 60
      else { throw text.error(line, "\"\(text.lines[line])\" is not a range of addresses") }
      if last > 0 { ranges.append(PFNRange((first + size - 1) / size, (last + 1) / size)) }
    }
    return ranges.isEmpty ? nil : ranges.normalized()
  }

  /// As much memory in each zone as it says, with all holes at its bottom: there they break no
  /// large block, and the zone ends where it says.
  private func inventedMemory() -> [PFNRange] {
    zones.filter(\.isPopulated)
      .map { PFNRange($0.range.end - $0["present"], $0.range.end) }
      .normalized()
  }

  private func framesWithPages() -> [PFNRange] {
    var ranges: [PFNRange] = []
    var at = 0
    while at < classes.count {
      let start = at
      let isThere = classes[at] != .absent
      while at < classes.count && (classes[at] != .absent) == isThere { at += 1 }
      if isThere { ranges.append(PFNRange(start, at)) }
    }
    return ranges
  }

  /// The memory of a zone in those pageblocks that are its own.
  func ranges(of place: Int) -> [PFNRange] {
    let order = image.geometry.pageblockOrder
    let zone = zones[place].range
    var own: [PFNRange] = []
    var block = zone.start >> order
    while block << order < zone.end {
      let first = block
      while block << order < zone.end && owners[block] == place { block += 1 }
      if block > first { own.append(PFNRange(first << order, block << order)) } else { block += 1 }
    }
    var result: [PFNRange] = []
    for range in own {
      for memory in image.memory where memory.end > range.start && memory.start < range.end {
        let part = range.intersection(memory).intersection(zone)
        if !part.isEmpty { result.append(part) }
      }
    }
    return result
  }

  mutating func finishReport() {
    image.reserved = image.reserved.normalized()
    report.zones.sort { ($0.node, $0.index) < ($1.node, $1.index) }
    report.notes.append("free lists run in ascending order; the host's own order is in no file")
    if perCPUPages > 0 {
      report.notes.append(
        "\(perCPUPages) pages on per-CPU lists cannot be told from kernel pages and count as such")
    }
    report.notes.append(
      types == nil
        ? "no pagetypeinfo, which only root may read: pageblock types are guessed from their pages"
        : "pageblock types have the host's counts, their places are inferred")
    if unplacedBlocks > 0 {
      report.notes.append("\(unplacedBlocks) free blocks found no place that fits")
    }
    if neverGivenPages > 0 {
      report.notes.append(
        "\(neverGivenPages) pages without flags exceed what the zones manage; they count as "
          + "reserved, the longest runs first")
    }
    if heldPages > 0 && report.hasPageFlags {
      report.notes.append(
        "\(heldPages) pages are managed, but flagged as reserved or offline; they count as held by "
          + "nobody known")
    }
  }
}

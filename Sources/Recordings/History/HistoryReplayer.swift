// Invariant: as with the other recordings, the state comes from the first dump alone; afterwards the
// stream supplies requests and everything else is compared.

internal import MemoryModel

/// Replays a stream of an older kernel.
struct HistoryReplayer: ~Copyable {
  private let recording: HistoryRecording
  private var machine: Machine
  private(set) var report: ReplayReport
  private var handles: [Int: PFN] = [:]
  private var recent: [(index: Int, command: String)] = []

  /// The machine in the state of the first dump.
  static func initialMachine(
    _ recording: HistoryRecording
  ) throws(RecordingError) -> Machine {
    guard let kernel = Kernel.named(recording.header.release) else {
      let known = Kernel.presets.map(\.release).joined(separator: ", ")
      throw RecordingError(
        "\(recording.path): recorded in \(recording.header.release); this version has the rules "
          + "of \(known)", isUnreplayable: true)
    }
    guard recording.count > 0 else {
      throw RecordingError(recording.path, line: 2, "the recording ends after its header")
    }
    let first = try recording.record(0)
    guard first.op == "dump", let zones = first.zones else {
      throw RecordingError(recording.path, line: 2, "expected the first dump")
    }
    let image = try MachineImage(zones, kernel, recording)
    do {
      return try Machine.restore(image)
    } catch {
      throw RecordingError("\(recording.path): the first dump cannot be: \(error.message)")
    }
  }

  init(_ recording: HistoryRecording) throws(RecordingError) {
    machine = try Self.initialMachine(recording)
    self.recording = recording
    report = ReplayReport(
      file: recording.path.split(separator: "/").last.map(String.init) ?? recording.path,
      release: recording.header.release, description: "allocator stream")
  }

  mutating func run() throws(RecordingError) {
    let clock = ContinuousClock()
    for index in 1..<recording.count {
      let record = try recording.record(index)
      let started = clock.now
      step(record, index)
      let spent = started.duration(to: clock.now).components
      report.seconds += Double(spent.seconds) + Double(spent.attoseconds) * 1e-18
      if !report.agrees { return }
    }
  }

  private mutating func step(_ record: HistoryRecording.Record, _ index: Int) {
    switch record.op {
    case "dump":
      report.dumps.append(HistoryComparer.compare(record, index, machine))
      return
    case "alloc": allocate(record, index)
    case "free": free(record, index)
    case "drain_local_pcp": machine.drainAllPages()
    default: disagree(record, index, "a known operation", "\"\(record.op)\" is unknown")
    }
    report.operations += 1
    if report.firstDisagreement == nil { report.agreeing += 1 }
    if recent.count == 5 { recent.removeFirst() }
    recent.append((index, "\(record.op) \(record.gfp ?? "") \(record.order ?? 0)"))
  }

  private mutating func free(_ record: HistoryRecording.Record, _ index: Int) {
    guard let handle = record.h, let pfn = handles.removeValue(forKey: handle) else {
      // A handle whose allocation failed.
      return
    }
    report.pageEvents += 1
    do {
      try machine.freePages(pfn, order: machine.frames.head(pfn).order)
    } catch {
      disagree(record, index, "free of \(pfn)", error.message)
    }
  }

  private mutating func disagree(
    _ record: HistoryRecording.Record, _ index: Int, _ recorded: String, _ model: String
  ) {
    report.firstDisagreement = ReplayReport.Disagreement(
      index: index, command: "\(record.op) \(record.gfp ?? "") order \(record.order ?? 0)",
      recorded: recorded, model: model,
      before: recent.map { "\($0.index): \($0.command)" })
  }

  private mutating func allocate(_ record: HistoryRecording.Record, _ index: Int) {
    guard let text = record.gfp, let mask = UInt32(text.dropFirst(2), radix: 16),
      let order = record.order, (0...63).contains(order),
      GFPFlags(rawValue: mask).contradiction == nil
    else { return disagree(record, index, "a request", "gfp or order cannot be") }
    let result = machine.allocatePages(order: order, gfp: GFPFlags(rawValue: mask))
    report.pageEvents += 1
    if let pfn = result.pfn, let handle = record.h { handles[handle] = pfn }
    if result.pfn?.index != record.pfn {
      disagree(
        record, index, record.pfn.map { "pfn \($0)" } ?? "no page",
        (result.pfn?.index).map { "pfn \($0)" } ?? "no page")
    }
  }
}

extension MachineImage {
  fileprivate init(
    _ zones: [HistoryRecording.Zone], _ kernel: Kernel, _ recording: HistoryRecording
  ) throws(RecordingError) {
    self.init()
    self.kernel = kernel
    settings.transparentHugePages = false
    for zone in zones {
      guard let index = ZoneIndex(rawValue: zone.idx) else { continue }
      self.zones.append(ZoneImage(zone, index))
      // Where memory and reserved frames lie is not recorded and not needed for a stream.
      memory.append(PFNRange(zone.start, zone.start + zone.spanned))
      addMovable(zone)
    }
    if let area = recording.header.cma {
      cmaAreas = [
        Machine.CMAArea(name: "reserved", base: area.base_pfn, pages: area.count, orderPerBit: 0)
      ]
    }
  }

  /// One hexadecimal digit for four pages, `x*n,` for n times x: pages on an LRU or
  /// driver-movable, which the claim rule counts.
  private mutating func addMovable(_ zone: HistoryRecording.Zone) {
    var pfn = zone.start & ~511
    func add(_ digit: Int) {
      for bit in 0..<4 where digit >> bit & 1 == 1 {
        allocations.append(
          Allocation(
            pfn: pfn + bit, order: 0, owner: UInt8(ascii: "A"), isLRU: true,
            isDriverMovable: false))
      }
      pfn += 4
    }
    for run in zone.movable_nibbles.split(separator: ",") {
      let parts = run.split(separator: "*")
      guard let text = parts.first, let last = text.last else { continue }
      for character in text.dropLast(parts.count > 1 ? 1 : 0) {
        add(character.hexDigitValue ?? 0)
      }
      guard parts.count > 1, let digit = last.hexDigitValue, let times = Int(parts[1]) else {
        continue
      }
      for _ in 0..<times { add(digit) }
    }
  }
}

extension MachineImage.ZoneImage {
  fileprivate init(_ zone: HistoryRecording.Zone, _ index: ZoneIndex) {
    self.init(index)
    start = zone.start
    spanned = zone.spanned
    present = zone.present
    managed = zone.managed
    cmaPages = zone.cmapages
    watermarks = [zone.min, zone.low, zone.high, zone.promo]
    watermarkBoost = zone.boost
    lowmemReserve = Array((zone.lowmem + [0, 0, 0, 0, 0]).prefix(5))
    reservedHighAtomic = zone.reshi
    freeHighAtomic = zone.freehi
    flags = ZoneFlags(rawValue: zone.flags)
    percpuDriftMark = zone.drift
    highMin = zone.pcp.hmin
    highMax = zone.pcp.hmax
    batch = zone.pcp.batch
    statThreshold = zone.thr
    freePages = zone.nrfree
    freeCMAPages = zone.cmafree
    freeLists = Array(repeating: [:], count: 11)
    for (order, lists) in zone.free {
      for (type, blocks) in lists {
        guard let order = Int(order), freeLists.indices.contains(order), let raw = UInt8(type),
          let type = MigrateType(rawValue: raw)
        else { continue }
        freeLists[order][type] = blocks
      }
    }
    var block = zone.start & ~511
    for digit in zone.pageblocks {
      if let raw = digit.hexDigitValue, let type = MigrateType(rawValue: UInt8(raw)) {
        pageblocks.append((block, 1, type))
      }
      block += 512
    }
    var pages = MachineImage.PerCPUImage()
    pages.count = zone.pcp.count
    pages.high = zone.pcp.high
    pages.highMin = zone.pcp.hmin
    pages.highMax = zone.pcp.hmax
    pages.batch = zone.pcp.batch
    pages.flags = zone.pcp.flags
    pages.allocFactor = zone.pcp.af
    pages.freeCount = zone.pcp.fc
    pages.freeDiff = zone.diff
    pages.freeCMADiff = zone.cdiff
    for (key, list) in zone.pcp_lists {
      guard let index = Int(key), !list.isEmpty else { continue }
      pages.lists[index] = list.map(\.pfn)
      for entry in list {
        if let type = entry.cachedType.flatMap({ MigrateType(rawValue: UInt8($0)) }) {
          pages.rememberedTypes[entry.pfn] = type
        }
      }
    }
    perCPU = [pages]
  }
}

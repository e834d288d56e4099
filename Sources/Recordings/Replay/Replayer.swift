// Invariant: the machine is set from the recording exactly once, at the first full dump. From there
// on the recording supplies requests (who asked for what, in which order) and is otherwise only
// compared with: no page, list or counter is copied from it.

public import MemoryModel

/// Runs the operations of a recording on the model and compares everything that they yield.
public struct Replayer: ~Copyable {
  private let recording: Recording
  public private(set) var machine: Machine
  public private(set) var report: ReplayReport
  private var recent: [String] = []
  private var next: Int

  /// Events with which something starts that the model cannot do yet.
  private static let boundaries: [String: String] = [
    "kw": "kswapd runs", "rb": "direct reclaim starts", "kt": "compaction starts",
    "kb": "compaction starts", "kc": "kcompactd runs", "cs": "cma_alloc starts",
    "ms": "migration starts",
  ]

  public init(_ recording: Recording) throws(RecordingError) {
    let start = try Self.firstFullDump(recording)
    let dump = try recording.record(start)
    let image = try MachineImage(dump, of: recording)
    let machine: Machine
    do {
      machine = try Machine.restore(image)
    } catch {
      throw RecordingError("\(recording.path): the first dump cannot be: \(error.message)")
    }
    self.recording = recording
    self.machine = machine
    report = ReplayReport(
      file: recording.name, release: recording.header.release,
      description: recording.header.desc)
    next = start + 1
  }

  /// The machine of the recording's first full dump.
  public static func initialMachine(_ recording: Recording) throws(RecordingError) -> Machine {
    let dump = try recording.record(try firstFullDump(recording))
    let image = try MachineImage(dump, of: recording)
    do {
      return try Machine.restore(image)
    } catch {
      throw RecordingError("\(recording.path): the first dump cannot be: \(error.message)")
    }
  }

  private static func firstFullDump(_ recording: Recording) throws(RecordingError) -> Int {
    for index in 0..<recording.count {
      let record = try recording.record(index)
      if record.pages != nil { return index }
    }
    throw RecordingError(
      "\(recording.path) holds no full dump (op \"dump\" with \"pages\"), so no machine can "
        + "start from it")
  }

  /// Replays to the end, or to the first operation that the model cannot follow.
  public mutating func run() throws(RecordingError) {
    while next < recording.count, report.stopped == nil, report.firstDisagreement == nil {
      let record = try recording.record(next)
      next += 1
      let clock = ContinuousClock()
      let started = clock.now
      if record.op == "dump" || record.op == "dumpfull" {
        report.dumps.append(DumpComparer.compare(record, machine))
        if !report.dumps[report.dumps.count - 1].differences.isEmpty {
          // Everything later differs for the same reason.
          report.stopped = (record.i ?? next, "the state differs from the dump")
        }
      } else {
        step(record)
      }
      let spent = started.duration(to: clock.now).components
      report.seconds += Double(spent.seconds) + Double(spent.attoseconds) * 1e-18
    }
  }

  // MARK: One operation

  private mutating func step(_ record: RecordingRecord) {
    let index = record.i ?? next
    for event in (record.ev ?? []) {
      if let reason = Self.boundaries[event.code] {
        report.stopped = (index, reason)
        return
      }
    }
    let command = record.cmd ?? record.op
    report.operations += 1
    if let difference = apply(record) ?? compareFreePages(record) {
      report.firstDisagreement = ReplayReport.Disagreement(
        index: index, command: command, recorded: difference.recorded, model: difference.model,
        before: recent)
      return
    }
    report.agreeing += 1
    recent.append("\(index): \(command)")
    if recent.count > 5 { recent.removeFirst() }
  }

  private typealias Difference = (recorded: String, model: String)

  private mutating func apply(_ record: RecordingRecord) -> Difference? {
    let words = (record.cmd ?? "").split(separator: " ")
    switch record.op {
    case "drain_pcp": machine.drainAllPages()
    case "drain_lru": machine.drainAllLRU()
    case "drain_lru_local": machine.drainLRU(cpu: machine.currentCPU)
    case "madvise", "munmap": machine.drainLRU(cpu: machine.currentCPU)
    default: break
    }
    for event in record.ev ?? [] {
      if let difference = apply(event, in: record) { return difference }
    }
    switch record.op {
    case "cpu":
      // The CPU that the task left goes idle and folds its counters.
      if let cpu = words.last.flatMap({ Int($0) }), cpu < machine.cpuCount {
        machine.foldStatistics(cpu: machine.currentCPU)
        machine.run(onCPU: cpu)
      }
    case "sleep_ms":
      for cpu in 0..<machine.cpuCount { machine.foldStatistics(cpu: cpu) }
    default: break
    }
    return nil
  }

  private mutating func apply(_ event: RecordingEvent, in record: RecordingRecord) -> Difference? {
    switch event.code {
    case "a":
      let arguments = event.arguments
      let repeats = event.repetition(after: 4)
      let order = arguments[1]
      for index in 0..<abs(repeats) {
        let recorded = arguments[0] < 0 ? -1 : arguments[0] + (index << order) * repeats.signum()
        let gfp = GFPFlags(rawValue: UInt32(arguments[2]))
        let result = machine.allocatePages(order: order, gfp: gfp)
        report.pageEvents += 1
        if (result.pfn?.index ?? -1) != recorded {
          return (describe(recorded, order, gfp), describe(result.pfn?.index ?? -1, order, gfp))
        }
        if record.op == "touch", gfp.contains(.movable), let pfn = result.pfn {
          machine.addToLRU(pfn)
        }
      }
    case "f":
      let repeats = event.repetition(after: 2)
      let order = event.arguments[1]
      for index in 0..<abs(repeats) {
        let pfn = event.arguments[0] + (index << order) * repeats.signum()
        report.pageEvents += 1
        do {
          try machine.freePages(PFN(pfn), order: order)
        } catch {
          return ("free of 0x\(hex(pfn)) order \(order)", error.message)
        }
      }
    default: break
    }
    return nil
  }

  private func describe(_ pfn: Int, _ order: Int, _ gfp: GFPFlags) -> String {
    (pfn < 0 ? "no page" : "pfn \(pfn) (0x\(hex(pfn)))") + " for order \(order), \(gfp)"
  }

  private func hex(_ value: Int) -> String { String(value, radix: 16) }

  /// `zf` holds the exact free counts of the zones that an operation changed.
  private func compareFreePages(_ record: RecordingRecord) -> Difference? {
    for entry in record.zf ?? [] where entry.count >= 3 && entry[0] < machine.zoneCount {
      let free = machine.freePagesSnapshot(entry[0])
      let cma = machine.freeCMASnapshot(entry[0])
      if free != entry[1] || cma != entry[2] {
        let zone = machine.zone(entry[0]).index.name
        return (
          "\(zone): \(entry[1]) pages free, \(entry[2]) of them CMA",
          "\(zone): \(free) pages free, \(cma) of them CMA"
        )
      }
    }
    return nil
  }
}

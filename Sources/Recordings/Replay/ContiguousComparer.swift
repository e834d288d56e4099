internal import MemoryModel

/// Runs `cma_alloc`, `cma_release`, `acr` (alloc_contig_range) and `acr_free` records with the model's
/// own code: no page of theirs is taken from the recording.
struct ContiguousComparer {
  typealias Difference = (recorded: String, model: String)

  static let operations: Set<String> = ["cma_alloc", "cma_release", "acr", "acr_free"]

  /// The counters of /proc/vmstat that these operations move by themselves.
  private static let counters = [
    "pgfree", "compact_isolated", "cma_alloc_success", "cma_alloc_fail",
  ]

  /// Why the model cannot follow this record, or nil.
  static func boundary(_ record: RecordingRecord) -> String? {
    if record.op == "acr", record.mt != .number(1) && record.mt != .number(4) {
      return "alloc_contig_range with another migratetype than Movable and CMA is not modelled"
    }
    for event in record.ev ?? [] {
      switch event.code {
      // Both are there even when nothing is in the range.
      case "me" where event.arguments.prefix(6).contains { $0 != 0 }: return "migration starts"
      case "im" where event.arguments.count > 3 && event.arguments[3] > 0:
        return "migration starts"
      case "a", "f":
        if event.comm != nil { return "another task allocates at the same time" }
      default: break
      }
    }
    return nil
  }

  /// Does the operation and compares its result, events, counters and messages.
  static func run(_ record: RecordingRecord, _ machine: inout Machine) -> Difference? {
    let events = machine.trace.total
    let messages = machine.log.total
    let before = counters.map { machine.event(named: $0) }
    do throws(MemoryError) {
      let wanted = wanted(record)
      let result = try perform(record, &machine)
      if wanted != result { return (wanted, result) }
    } catch {
      return (record.cmd ?? record.op, error.message)
    }
    if let difference = compareEvents(record, machine, from: events) { return difference }
    for (name, old) in zip(counters, before) {
      let delta = machine.event(named: name) - old
      if delta != record.d?[name] ?? 0 {
        return ("\(name) +\(record.d?[name] ?? 0)", "\(name) +\(delta)")
      }
    }
    let lines = machine.log.lines.suffix(machine.log.total - messages)
    let recorded = record.log ?? []
    if Array(lines) != recorded {
      return ("log " + recorded.joined(separator: " / "), "log " + lines.joined(separator: " / "))
    }
    return nil
  }

  private static func wanted(_ record: RecordingRecord) -> String {
    switch record.op {
    case "cma_alloc": describe(record.pfn ?? -1)
    case "acr": "result \(record.ret ?? 0)"
    default: "freed"
    }
  }

  private static func describe(_ pfn: Int) -> String { pfn < 0 ? "no pages" : "pfn \(pfn)" }

  private static func perform(
    _ record: RecordingRecord, _ machine: inout Machine
  ) throws(MemoryError) -> String {
    let pages = record.count ?? 0
    let first = record.pfn ?? -1
    switch record.op {
    case "cma_alloc":
      let result = try machine.cmaAllocate(
        area: record.area ?? 0, pages: pages, alignment: record.align ?? 0,
        noWarn: record.no_warn == 1)
      return describe(result.pfn?.index ?? -1)
    case "cma_release":
      if first < 0 || record.ok == 0 || record.skipped == 1 { return "freed" }
      guard let pfn = UInt32(exactly: first), let area = machine.cmaArea(containing: PFN(pfn))
      else { throw MemoryError(.misuse, "frame \(first) is in no CMA area") }
      try machine.cmaRelease(area: area, PFN(pfn), pages: pages)
      return "freed"
    case "acr":
      guard first >= 0, pages <= 1 << 32 else {
        throw MemoryError(.misuse, "\(pages) pages at \(first) are not a range")
      }
      let refusal = try machine.allocateContiguous(
        PFNRange(first, first + pages), record.mt == .number(4) ? .cmaAllocation : .contiguousPages)
      return "result \(-(refusal?.errno.rawValue ?? 0))"
    default:
      if first < 0 || record.skipped == 1 { return "freed" }
      guard pages <= 1 << 32 else { throw MemoryError(.misuse, "\(pages) pages are no range") }
      try machine.freeContiguous(PFNRange(first, first + pages))
      return "freed"
    }
  }

  /// The events that the model has, in order.
  private static func compareEvents(
    _ record: RecordingRecord, _ machine: borrowing Machine, from first: Int
  ) -> Difference? {
    let model = machine.trace.events(from: first).compactMap { describe($0) }
    var recorded: [String] = []
    for event in record.ev ?? [] { append(event, to: &recorded) }
    // A long call overwrites its own first events; those that are left are its last ones.
    let isCut = machine.trace.total - first > TraceRing.capacity
    let left = isCut ? Array(recorded.suffix(model.count)) : recorded
    if left == model { return nil }
    let at =
      zip(left, model).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      ?? min(left.count, model.count)
    return (
      "event \(at): \(at < left.count ? left[at] : "none (\(left.count) events)")",
      "event \(at): \(at < model.count ? model[at] : "none (\(model.count) events)")"
    )
  }

  private static func append(_ event: RecordingEvent, to list: inout [String]) {
    let numbers = event.arguments
    switch event.code {
    case "f":
      let repeats = event.repetition(after: 2)
      for index in 0..<abs(repeats) {
        list.append("f \(numbers[0] + (index << numbers[1]) * repeats.signum()) \(numbers[1])")
      }
    case "cs", "cf", "cb", "cr", "ti":
      list.append(event.code + numbers.map { " \($0)" }.joined())
    default: break
    }
  }

  private static func describe(_ event: TraceEvent) -> String? {
    switch event.kind {
    case .pageFree: return "f \(event.pfn) \(event.order)"
    case .testPagesIsolated: return "ti \(event.pfn) \(event.argument0) \(event.argument1)"
    case .cmaAllocStart: return "cs \(event.argument0) \(event.order)"
    case .cmaAllocBusyRetry: return "cb \(event.pfn) \(event.argument0) \(event.order)"
    case .cmaRelease: return "cr \(event.pfn) \(event.argument0)"
    case .cmaAllocFinish:
      let pfn = event.pfn == TraceEvent.noFrame.rawValue ? -1 : Int(event.pfn)
      return "cf \(pfn) \(event.argument0) \(event.order) \(-Int(event.argument1 & 0xFF))"
    case .pageAlloc, .pageAllocZoneLocked, .pagePcpuDrain, .pageAllocExtfrag,
      .migratePagesStart, .migratePages, .migratePagesSplits:
      return nil
    }
  }
}

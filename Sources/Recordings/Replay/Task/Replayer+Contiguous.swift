// Records of contiguous allocations run as the model's own operations: which pages move where, what is
// tried again, and what is left, all come out of the model.

internal import MemoryModel
internal import MemoryOperations

/// Operations that try again, which are compared often while a timer is searched.
protocol RangeOperation {}

extension CMAAllocation: RangeOperation {}
extension ContiguousAllocation: RangeOperation {}

extension Replayer {
  static let contiguousOperations: Set<String> = ["cma_alloc", "cma_release", "acr", "acr_free"]

  /// Runs `cma_alloc`, `cma_release`, `acr` (alloc_contig_range) or `acr_free` and compares its result,
  /// events, counters and messages.
  mutating func runContiguous(_ record: RecordingRecord) -> Difference? {
    let outer = machine.enterTask(task?.space)
    defer { machine.leaveTask(outer) }
    machine.runBackground()
    let messages = machine.log.total
    let before = Counters(machine)
    var events = PageEvents(record.ev ?? [], machine, freesRanges: true)
    placeInterrupts(record, in: &events)
    machine.expectForeign(events.foreign, reclaims: events.reclaims)
    var difference: Difference?
    do throws(MemoryError) {
      difference = try performContiguous(record, &events)
    } catch {
      difference = (record.cmd ?? record.op, error.message)
    }
    machine.finishForeign()
    difference = difference ?? events.compare(machine) ?? events.finish()
    report.pageEvents += events.compared
    if let difference { return difference }
    let lines = limits.filter(
      Array(machine.log.lines.suffix(machine.log.total - messages)), at: Self.end(of: record)
    ).map(Self.comparable)
    let recorded = Self.messages(record.log ?? [])
    if lines != recorded {
      return (
        "log " + recorded.joined(separator: " / "), "log " + lines.joined(separator: " / ")
      )
    }
    return Counters(machine).compare(since: before, record.d ?? [:])
  }

  /// Messages come when an operation has failed.
  static func end(of record: RecordingRecord) -> Int { (record.t ?? 0) + (record.ns ?? 0) }

  /// Lines of the kernel's log without what follows the first line of a failed allocation: the call trace
  /// and the state of memory, which the model does not print.
  private static func messages(_ log: [String]) -> [String] {
    var lines: [String] = []
    var isDump = false
    for line in log {
      if line.hasPrefix("CPU: ") { isDump = true }
      if !isDump { lines.append(comparable(line)) }
      if line.hasSuffix(" pages cma reserved") { isDump = false }
    }
    return lines
  }

  /// A line about a failed allocation without the name of the task and the cpuset, which the recorded
  /// kernels do not have.
  private static func comparable(_ line: String) -> String {
    let parts = line.split(separator: ": page allocation failure: ", maxSplits: 1)
    guard parts.count == 2 else { return line }
    return String(parts[1].prefix { $0 != ")" }) + ")"
  }

  private mutating func performContiguous(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) throws(MemoryError) -> Difference? {
    let pages = record.count ?? 0
    let first = record.pfn ?? -1
    switch record.op {
    case "cma_alloc":
      var call = try machine.cmaAllocation(
        area: record.area ?? 0, pages: pages, alignment: record.align ?? 0,
        noWarn: record.no_warn == 1)
      if let difference = run(&call, &events, .slice) { return difference }
      let pfn = call.outcome?.pfn?.index ?? -1
      return pfn == first ? nil : (describe(first), describe(pfn))
    case "cma_release":
      if first < 0 || record.ok == 0 || record.skipped == 1 { return nil }
      guard let pfn = UInt32(exactly: first), let area = machine.cmaArea(containing: PFN(pfn))
      else { throw MemoryError(.misuse, "frame \(first) is in no CMA area") }
      var call = try machine.beginCMARelease(area: area, PFN(pfn), pages: pages)
      return run(&call, &events, .slice)
    case "acr":
      var call = try machine.contiguousAllocation(
        of: try range(first, pages),
        record.mt == .number(4) ? .cmaAllocation : .contiguousPages, noWarn: true)
      if let difference = run(&call, &events, .slice) { return difference }
      let result = -(call.outcome?.refusal?.errno.rawValue ?? 0)
      return result == record.ret ? nil : ("result \(record.ret ?? 0)", "result \(result)")
    default:
      if first < 0 || record.skipped == 1 { return nil }
      try machine.freeContiguous(try range(first, pages))
    }
    return nil
  }

  private func range(_ first: Int, _ pages: Int) throws(MemoryError) -> PFNRange {
    guard first >= 0, pages <= 1 << 32 else {
      throw MemoryError(.misuse, "\(pages) pages at \(first) are not a range")
    }
    return PFNRange(first, first + pages)
  }

  private func describe(_ pfn: Int) -> String { pfn < 0 ? "no pages" : "pfn \(pfn)" }
}

// Records of memory blocks that go offline and come back.

internal import MemoryModel
internal import MemoryOperations

extension Replayer {
  static let hotplugOperations: Set<String> = ["offline", "online"]

  /// Runs `offline` or `online` and compares its result, events, counters and messages.
  mutating func runHotplug(_ record: RecordingRecord) -> Difference? {
    guard let start = record.start_pfn.flatMap({ UInt32(exactly: $0) }).map({ PFN($0) }) else {
      return ("a start_pfn", "none")
    }
    let messages = machine.log.total
    let before = Counters(machine)
    var events = PageEvents(record.ev ?? [], machine, freesRanges: true)
    // The signal's own memory is freed when the counters have been read already.
    let last = record.ret == -Errno.EINTR.rawValue ? events.takeLastFree() : nil
    placeInterrupts(record, in: &events)
    machine.expectForeign(events.foreign)
    var difference: Difference?
    do throws(MemoryError) {
      difference =
        record.op == "offline"
        ? try offline(record, start, &events) : try online(record, start)
    } catch {
      difference = (record.cmd ?? record.op, error.message)
    }
    machine.finishForeign()
    difference =
      difference ?? events.compare(machine)
      ?? Counters(machine).compare(since: before, record.d ?? [:])
    if let last { try? machine.freePages(last, order: 0) }
    difference = difference ?? events.compare(machine) ?? events.finish()
    report.pageEvents += events.compared
    if let difference { return difference }
    let lines = limits.filter(
      Array(machine.log.lines.suffix(machine.log.total - messages)), at: record.t ?? 0
    ).filter { Self.isWarning($0) }
    let recorded = (record.log ?? []).filter { Self.isWarning($0) }
    if lines == recorded { return nil }
    return ("log " + recorded.joined(separator: " / "), "log " + lines.joined(separator: " / "))
  }

  /// The lines that the model prints, too: not the dumps of pages, which hold addresses, and not what
  /// dynamic debug has switched on.
  private static func isWarning(_ line: String) -> Bool {
    line.hasPrefix("migrating pfn ") || line.hasPrefix("failed to isolate pfn ")
  }

  private mutating func offline(
    _ record: RecordingRecord, _ start: PFN, _ events: inout PageEvents
  ) throws(MemoryError) -> Difference? {
    if machine.offlineMemory.contains(where: { $0.start == start.index }) {
      return compare(1, record)
    }
    let (found, refusal) = try machine.memoryOffline(at: start)
    guard var call = found else { return compare(-(refusal?.errno.rawValue ?? 0), record) }
    var pace = Pace.slice
    if let shot = task?.shot, !shot.timer.isIsolation { pace = .step }
    var compared = 0
    var idleRounds = 0
    while true {
      if call.phase == .signal {
        if let difference = events.compare(machine) { return difference }
        idleRounds = events.compared == compared ? idleRounds + 1 : 0
        compared = events.compared
        if idleRounds > 2 { return ("it ends", "it goes round without an event") }
      }
      // When the signal came is not recorded but for its effect: no other round began.
      if record.ret == -Errno.EINTR.rawValue, call.phase == .signal, events.isExhausted {
        call.hasSignal = true
      }
      if let shot = task?.shot, !shot.isFired { shoot() }
      let progress = call.advance(&machine, pace)
      if let difference = events.compare(machine) { return difference }
      if progress == .finished { break }
    }
    return compare(-(call.outcome?.refusal?.errno.rawValue ?? 0), record)
  }

  private func compare(_ result: Int, _ record: RecordingRecord) -> Difference? {
    result == record.ret ? nil : ("result \(record.ret ?? 0)", "result \(result)")
  }

  /// `online BLOCK movable`, `… kernel` or nothing.
  private mutating func online(
    _ record: RecordingRecord, _ start: PFN
  ) throws(MemoryError) -> Difference? {
    guard machine.offlineMemory.contains(where: { $0.start == start.index }) else {
      return compare(1, record)
    }
    let word = record.cmd?.split(separator: " ").last.map(String.init) ?? ""
    try machine.online(at: start, Machine.OnlineTarget(rawValue: "online_\(word)") ?? .either)
    return compare(0, record)
  }
}

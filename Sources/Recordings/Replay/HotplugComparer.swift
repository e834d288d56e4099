internal import MemoryModel

/// Runs `offline` and `online` records with the model's own code.
struct HotplugComparer {
  typealias Difference = (recorded: String, model: String)

  static let operations: Set<String> = ["offline", "online"]

  /// Why the model cannot follow this record, or nil.
  static func boundary(_ record: RecordingRecord) -> String? {
    // Pages that move, or that are asked to again and again, show as events.
    if record.ret == -4 { return "offline meets a page that cannot move" }
    for event in record.ev ?? [] where event.code != "ti" {
      if event.code != "f" || event.comm != nil { return "migration starts" }
    }
    return nil
  }

  /// Does the operation and compares its result and its events.
  static func run(_ record: RecordingRecord, _ machine: inout Machine) -> Difference? {
    guard let start = record.start_pfn.flatMap({ UInt32(exactly: $0) }).map({ PFN($0) }) else {
      return ("a start_pfn", "none")
    }
    let first = machine.trace.total
    let result: Int
    do throws(MemoryError) {
      result =
        record.op == "offline"
        ? try offline(start, &machine) : try online(record, start, &machine)
    } catch {
      return (record.cmd ?? record.op, error.message)
    }
    if result != record.ret { return ("result \(record.ret ?? 0)", "result \(result)") }
    let model = machine.trace.events(from: first).compactMap { event -> String? in
      switch event.kind {
      case .testPagesIsolated: "ti \(event.pfn) \(event.argument0) \(event.argument1)"
      case .pageFree: "f \(event.pfn) \(event.order)"
      default: nil
      }
    }
    var recorded: [String] = []
    for event in record.ev ?? [] {
      let numbers = event.arguments
      if event.code == "ti" {
        recorded.append("ti" + numbers.map { " \($0)" }.joined())
      } else {
        for index in 0..<event.repetition(after: 2) {
          recorded.append("f \(numbers[0] + index << numbers[1]) \(numbers[1])")
        }
      }
    }
    if model != recorded {
      return ("events \(recorded.prefix(3))…", "events \(model.prefix(3))…")
    }
    return nil
  }

  private static func offline(_ start: PFN, _ machine: inout Machine) throws(MemoryError) -> Int {
    if machine.offlineMemory.contains(where: { $0.start == start.index }) { return 1 }
    var (call, refusal) = try machine.memoryOffline(at: start)
    if call != nil { refusal = call!.run(&machine, rounds: 1) }
    return -(refusal?.errno.rawValue ?? 0)
  }

  /// `online BLOCK movable`, `… kernel` or nothing.
  private static func online(
    _ record: RecordingRecord, _ start: PFN, _ machine: inout Machine
  ) throws(MemoryError) -> Int {
    guard machine.offlineMemory.contains(where: { $0.start == start.index }) else { return 1 }
    let word = record.cmd?.split(separator: " ").last.map(String.init) ?? ""
    try machine.online(at: start, Machine.OnlineTarget(rawValue: "online_\(word)") ?? .either)
    return 0
  }
}

internal import FoundationEssentials

extension ReplayReport {
  /// The report for a person: a line when all agrees, and what differs otherwise.
  public var text: String {
    let compared = dumps.reduce(0) { $0 + $1.compared }
    var lines = [
      "\(file)  \(release)  \(agreeing)/\(operations) operations agree, \(pageEvents) page events, "
        + "\(compared) values in \(dumps.count) states"
    ]
    if inferred > 0 {
      lines.append("  settled by search: \(inferred) places that the recording leaves open")
    }
    if let stopped {
      lines.append("  compared up to #\(stopped.index): \(stopped.reason)")
    }
    if let first = firstDisagreement {
      lines.append("  first disagreement: #\(first.index) \(first.command)")
      lines.append("    recorded  \(first.recorded)")
      lines.append("    model     \(first.model)")
      if !first.before.isEmpty {
        lines.append("    before it")
        lines += first.before.map { "      \($0)" }
      }
    }
    for dump in dumps where !dump.differences.isEmpty {
      lines.append(
        "  state \"\(dump.tag)\": \(dump.differences.count) of \(dump.compared) values differ")
      lines += dump.differences.prefix(8).map { "    \($0)" }
      if dump.differences.count > 8 { lines.append("    … \(dump.differences.count - 8) more") }
    }
    if let unsound { lines.append("  the model's machine is not sound at the end: \(unsound)") }
    return lines.joined(separator: "\n")
  }

  /// The report for machines: one JSON object, keys in a fixed order.
  ///
  /// - Parameter verdict: What a list of expected differences says of it.
  public func json(_ verdict: ExpectedDifferences.Verdict? = nil) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(JSONForm(self, verdict)) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }

  /// The line for machines of a recording in which there is nothing to replay.
  public static func json(skipped file: String, _ reason: String) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let name = file.split(separator: "/").last.map(String.init) ?? file
    guard let data = try? encoder.encode(["file": name, "skipped": reason]) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }

  private struct JSONForm: Encodable {
    struct Disagreement: Encodable {
      let index: Int
      let command: String
      let recorded: String
      let model: String
      let before: [String]
    }

    struct State: Encodable {
      let tag: String
      let index: Int
      let compared: Int
      let differences: [String]
    }

    struct Stop: Encodable {
      let index: Int
      let reason: String
    }

    let file: String
    let release: String
    let agrees: Bool
    let as_expected: Bool?
    let note: String?
    let operations: Int
    let agreeing: Int
    let page_events: Int
    let inferred: Int
    let stopped: Stop?
    let first_disagreement: Disagreement?
    let unsound: String?
    let states: [State]

    init(_ report: ReplayReport, _ verdict: ExpectedDifferences.Verdict?) {
      file = report.file
      release = report.release
      agrees = report.agrees
      switch verdict {
      case nil: (as_expected, note) = (nil, nil)
      case .agrees: (as_expected, note) = (true, nil)
      case .asExpected(let reason): (as_expected, note) = (true, reason)
      case .unexpected(let text): (as_expected, note) = (false, text)
      }
      operations = report.operations
      agreeing = report.agreeing
      page_events = report.pageEvents
      inferred = report.inferred
      stopped = report.stopped.map { Stop(index: $0.index, reason: $0.reason) }
      first_disagreement = report.firstDisagreement.map {
        Disagreement(
          index: $0.index, command: $0.command, recorded: $0.recorded, model: $0.model,
          before: $0.before)
      }
      unsound = report.unsound
      states = report.dumps.map {
        State(
          tag: $0.tag, index: $0.index, compared: $0.compared, differences: $0.differences)
      }
    }
  }
}

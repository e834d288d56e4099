import ArgumentParser
import Console
import MemoryLua
import PinLab

extension ScenariosCommand {
  struct Threads: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "What the threads state, with the scenario that shows it, as Markdown.")

    @OptionGroup var place: Place

    private static let names = [
      "000": "The helper of 2018: get_user_pages_cma_migrate",
      "001": "The series of December 2020: no pins in ZONE_MOVABLE",
      "002": "The endless pin of June 2024: THP and the per-CPU lists",
      "003": "The patch of August 2015: out of CMA before pinning",
      "004": "The advice of October 2022: MADV_NOMOVABLE",
    ]

    func run() throws {
      let scenarios = try place.load()
      var text = """
        # What the threads state

        Written by `pinlab scenarios threads` from `Scripts/scenarios/threads.txt`; a test compares it.
        The outcomes are what the scenarios print when they run, and are checked by them. `pinlab scenarios
        run S1.9` runs one. A number that is not linked is no script yet.

        """
      var thread = ""
      var outcomes = ScenarioOutcomes(scenarios)
      do {
        let root = try ScriptFolder.find("scenarios", place.path)
        let rows = String(decoding: try Files.read(root + "/threads.txt"), as: UTF8.self)
        for row in rows.split(separator: "\n") where !row.hasPrefix("#") {
          let cells = row.split(separator: "|", omittingEmptySubsequences: false).map { cell in
            String(String(cell.drop { $0 == " " }.reversed()).drop { $0 == " " }.reversed())
          }
          guard cells.count == 5 else {
            throw FileFailure(path: root + "/threads.txt", reason: "not five cells: \(row)")
          }
          if cells[0] != thread {
            thread = cells[0]
            text += "\n## \(thread) · \(Self.names[thread] ?? thread)\n\n"
            text += "| statement | rules | scenario | outcome |\n|---|---|---|---|\n"
          }
          var shown: [String] = []
          for name in cells[3].split(separator: ",") {
            let id = String(name.drop { $0 == " " })
            guard let scenario = scenarios.first(where: { $0.id == id }) else {
              shown.append(id)
              continue
            }
            let file = scenario.path.split(separator: "/").last.map(String.init) ?? ""
            shown.append(
              "[\(id)](../Scripts/scenarios/\(scenario.folder)/\(file)) \(scenario.title)")
          }
          text += "| \(cells[1]) | \(cells[2]) | \(shown.joined(separator: "<br>")) | "
          text += try outcomes.line(cells[4]) + " |\n"
        }
      } catch let failure as FileFailure {
        complain("pinlab scenarios: \(failure)")
        throw ExitCode(1)
      }
      Output.write(text)
      Output.flush()
    }
  }
}

/// What the scenarios print of their expectations, each run once.
private struct ScenarioOutcomes {
  private let scenarios: [Scenario]
  /// Label and value of every expectation, in the order of the run.
  private var values: [String: [(label: String, value: String)]] = [:]

  init(_ scenarios: [Scenario]) { self.scenarios = scenarios }

  /// The outcome of a row: "S1.20: the error; pages moved" becomes "the error: ENOMEM; pages moved: 63".
  ///
  /// A label stands for the first expectation of that name.
  mutating func line(_ names: String) throws(FileFailure) -> String {
    var id = ""
    var parts: [String] = []
    for name in names.split(separator: ";") {
      var label = String(name.drop { $0 == " " })
      if let known = scenarios.first(where: { label.hasPrefix($0.id + ": ") }) {
        id = known.id
        label = String(label.dropFirst(id.count + 2))
      }
      guard let value = Self.value(label, of: try run(id)) else {
        throw FileFailure(path: id, reason: "it has no expectation '\(label)'")
      }
      parts.append("\(label): \(value)")
    }
    return parts.joined(separator: "; ").split(separator: "|").joined(separator: "\\|")
  }

  /// The value of the first expectation of a name.
  ///
  /// Names and values may hold colons both.
  private static func value(
    _ label: String, of found: [(label: String, value: String)]
  ) -> String? {
    if let exact = found.first(where: { $0.label == label }) { return exact.value }
    return found.lazy.map { "\($0.label): \($0.value)" }.first { $0.hasPrefix(label + ": ") }
      .map { String($0.dropFirst(label.count + 2)) }
  }

  private mutating func run(
    _ id: String
  ) throws(FileFailure) -> [(label: String, value: String)] {
    if let known = values[id] { return known }
    guard let scenario = scenarios.first(where: { $0.id == id }) else {
      throw FileFailure(path: id, reason: "there is no such scenario")
    }
    let transcript = CheckTranscript()
    let session = PinLabSession(context: MemoryContext()) { transcript.text += $0 }
    if let error = session.run(scenario.source, chunkName: "@\(scenario.path)").failure {
      throw FileFailure(path: scenario.path, reason: error.message)
    }
    var found: [(label: String, value: String)] = []
    for line in transcript.text.split(separator: "\n") where line.hasPrefix("  ok  ") {
      // The value is behind the last ": ", for labels may hold one.
      let text = line.dropFirst(6)
      guard let end = text.lastRange(of: ": ") else { continue }
      found.append((String(text[..<end.lowerBound]), String(text[end.upperBound...])))
    }
    values[id] = found
    return found
  }
}

extension Substring {
  /// Where the last occurrence of a short text begins and ends.
  fileprivate func lastRange(of text: String) -> Range<Index>? {
    var found: Range<Index>?
    var at = startIndex
    while at < endIndex {
      if self[at...].hasPrefix(text) { found = at..<index(at, offsetBy: text.count) }
      at = index(after: at)
    }
    return found
  }
}

/// What the comment says that opens a scenario or a lesson.
///
/// ```
/// -- S1.20 · one page that cannot move
/// -- 64 pages in CMA are pinned, and somebody holds page 3. …?
/// -- Thread: linux-mm, December 2020, …
/// -- Rules: P3.42, P3.50.
/// ```
struct ScriptOpening {
  let id: String
  let title: String
  let question: String
  let thread: String
  let rules: String

  /// - Returns: Nil when the first line is not `-- ID · title`.
  init?(_ source: String) {
    var lines: [String] = []
    for line in source.split(separator: "\n", omittingEmptySubsequences: false) {
      guard line.hasPrefix("--") else { break }
      lines.append(String(line.dropFirst(2).drop { $0 == " " }))
    }
    let opening = (lines.first ?? "").split(separator: "·", maxSplits: 1)
    guard opening.count == 2 else { return nil }
    func trimmed(_ text: Substring) -> String {
      String(text.reversed().drop { $0 == " " }.reversed().drop { $0 == " " })
    }
    id = trimmed(opening[0])
    title = trimmed(opening[1])
    var parts: [String: String] = [:]
    var part = "Question"
    for line in lines.dropFirst() {
      var text = line
      for name in ["Thread", "Rules"] where line.hasPrefix("\(name): ") {
        part = name
        text = String(line.dropFirst(name.count + 2))
      }
      parts[part] = parts[part].map { "\($0) \(text)" } ?? text
    }
    question = parts["Question"] ?? ""
    thread = parts["Thread"] ?? ""
    rules = parts["Rules"] ?? ""
  }
}

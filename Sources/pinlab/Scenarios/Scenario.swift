import Console

/// A script that answers one question of a thread, with what its opening comment says.
///
/// ```
/// -- S1.20 · one page that cannot move
/// -- 64 pages in CMA are pinned, and somebody holds page 3. …?
/// -- Thread: linux-mm, December 2020, …
/// -- Rules: P3.42, P3.50.
/// ```
struct Scenario {
  let path: String
  /// The folder below the root: the thread, such as `seed-001`.
  let folder: String
  let id: String
  let title: String
  let question: String
  let thread: String
  let rules: String
  let source: String

  init?(path: String, folder: String, source: String) {
    self.path = path
    self.folder = folder
    self.source = source
    guard let opening = ScriptOpening(source) else { return nil }
    id = opening.id
    title = opening.title
    question = opening.question
    thread = opening.thread
    rules = opening.rules
  }
}

/// The scenarios below a folder.
enum ScenarioFolder {
  /// Every scenario, ordered by folder and number.
  static func load(_ root: String) throws(FileFailure) -> [Scenario] {
    var found: [Scenario] = []
    for folder in try ScriptFolder.names(in: root) where ScriptFolder.isFolder("\(root)/\(folder)")
    {
      for file in try ScriptFolder.names(in: "\(root)/\(folder)") where file.hasSuffix(".lua") {
        let path = "\(root)/\(folder)/\(file)"
        let text = String(decoding: try Files.read(path), as: UTF8.self)
        guard let scenario = Scenario(path: path, folder: folder, source: text) else {
          throw FileFailure(
            path: path, reason: "its first line is not `-- ID · title`, as of a scenario")
        }
        found.append(scenario)
      }
    }
    return found.sorted { key($0) < key($1) }
  }

  /// Numbers inside names count as numbers: S1.9 stands before S1.20.
  private static func key(_ scenario: Scenario) -> String {
    var key = scenario.folder + " "
    var digits = ""
    for character in scenario.id + " " {
      if character.isNumber {
        digits.append(character)
      } else {
        key += String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        digits = ""
        key.append(character)
      }
    }
    return key
  }
}

import Foundation
import TerminalTesting
import Testing

/// The session on README's first screen is what the program shows, to the character.
///
/// `RECORD=1 Scripts/test --filter Readme` writes what it shows now into README.md; the new text
/// then has to be read.
@Suite struct ReadmeTests {
  static let readme = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../README.md").standardized

  @Test func firstSession() throws {
    let text = try String(contentsOf: Self.readme, encoding: .utf8)
    let parts = text.components(separatedBy: "```\n")
    try #require(parts.count > 2)
    let session = parts[1]
    let inputs = session.split(separator: "\n").filter { $0.hasPrefix("> ") }
      .map { String($0.dropFirst(2)) }
    try #require(!inputs.isEmpty)

    let home = try TemporaryFolder()
    let terminal = try PseudoTerminal(
      builtProgram("pinlab"), ["--color", "never"],
      environment: ["HOME": home.path, "XDG_STATE_HOME": "\(home.path)/state"], columns: 80,
      rows: 120)
    try terminal.waitForScreen("the prompt") { $0.ends(with: ">") }
    for (count, input) in inputs.enumerated() {
      terminal.enter(input)
      try terminal.waitForScreen("the next prompt") { screen in
        screen.lines.filter { $0.hasPrefix(">") }.count == count + 2 && screen.ends(with: ">")
      }
    }
    let lines = terminal.screen.lines
    let first = try #require(lines.firstIndex(of: "> " + inputs[0]))
    let last = try #require(lines.lastIndex { $0.hasPrefix(">") })
    let shown = lines[first..<last].joined(separator: "\n") + "\n"
    if shown != session, ProcessInfo.processInfo.environment["RECORD"] != nil {
      let updated = ([parts[0], shown] + parts[2...]).joined(separator: "```\n")
      try updated.write(to: Self.readme, atomically: true, encoding: .utf8)
    }
    #expect(shown == session)
  }
}

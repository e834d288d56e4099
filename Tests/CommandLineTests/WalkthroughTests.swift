import Foundation
import TerminalTesting
import Testing

/// What docs/walkthroughs shows is what the program prints, page by page in one session each.
///
/// `RECORD=1 Scripts/test --filter Walkthrough` writes what it prints now; then read it.
@Suite struct WalkthroughTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../docs/walkthroughs").standardized

  static let pages = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [])
    .filter { $0.hasSuffix(".md") }.sorted()

  @Test func eachThreadHasOne() {
    #expect(Self.pages.count >= 6)
  }

  @Test(arguments: pages)
  func everyLineIsShown(_ name: String) throws {
    let page = Self.folder.appendingPathComponent(name)
    let text = try String(contentsOf: page, encoding: .utf8)
    var parts = text.components(separatedBy: "```\n")
    try #require(parts.count > 8 && parts.count % 2 == 1)
    let home = try TemporaryFolder()
    let terminal = try PseudoTerminal(
      builtProgram("pinlab"), ["--color", "never"],
      environment: ["HOME": home.path, "XDG_STATE_HOME": "\(home.path)/state"], columns: 150,
      rows: 400)
    try terminal.waitForScreen("the prompt") { $0.ends(with: ">") }
    var prompts = 1
    for index in stride(from: 1, to: parts.count, by: 2) {
      let inputs = parts[index].split(separator: "\n").filter { $0.hasPrefix("> ") }
      let first = prompts
      for input in inputs {
        terminal.enter(String(input.dropFirst(2)))
        prompts += 1
        let wanted = prompts
        try terminal.waitForScreen("the next prompt after \(input)") { screen in
          screen.lines.filter { $0.hasPrefix(">") }.count == wanted && screen.ends(with: ">")
        }
      }
      let lines = terminal.screen.lines
      let starts = lines.indices.filter { lines[$0].hasPrefix(">") }
      let shown = lines[starts[first - 1]..<starts[prompts - 1]].joined(separator: "\n") + "\n"
      if ProcessInfo.processInfo.environment["RECORD"] != nil {
        parts[index] = shown
      } else {
        #expect(shown == parts[index])
      }
    }
    if ProcessInfo.processInfo.environment["RECORD"] != nil {
      try parts.joined(separator: "```\n").write(to: page, atomically: true, encoding: .utf8)
    }
  }
}

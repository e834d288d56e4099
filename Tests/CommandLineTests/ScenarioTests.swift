import Foundation
import Testing

/// Every scenario under Scripts/scenarios ends well: its expectations are those of 6.12.
@Suite struct ScenarioTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../Scripts/scenarios").standardized

  static let scripts: [String] = {
    let found = FileManager.default.enumerator(atPath: folder.path)?.allObjects as? [String]
    return (found ?? []).filter { $0.hasSuffix(".lua") }.sorted()
  }()

  @Test func thereAreSome() { #expect(Self.scripts.count >= 16) }

  @Test(arguments: scripts) func holds(_ script: String) throws {
    let ended = try pinlab(Self.folder.appendingPathComponent(script).path)
    #expect(ended.status == 0, "\(ended.output.suffix(400))\(ended.errors)")
    #expect(ended.output.contains("  ok  "))
  }

  /// A scenario opens with its question and the thread that asked it.
  @Test(arguments: scripts) func opensWithItsQuestion(_ script: String) throws {
    let text = try String(contentsOf: Self.folder.appendingPathComponent(script), encoding: .utf8)
    let opening = text.prefix { $0 != "\n" } + text.drop { $0 != "\n" }.prefix(900)
    #expect(opening.contains("?") && opening.contains("\n-- Thread: "))
    #expect(opening.contains("\n-- Rules: "))
  }
}

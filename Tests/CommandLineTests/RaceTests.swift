import Foundation
import Testing

/// Every race under Scripts/races ends where its script says.
@Suite struct RaceTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../Scripts/races").standardized

  static let scripts: [String] = {
    let found = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
    return (found ?? []).filter { $0.hasSuffix(".lua") }.sorted()
  }()

  @Test func allSixteenAreThere() {
    let numbers = Self.scripts.compactMap { Int($0.dropFirst().prefix { $0.isNumber }) }
    #expect(numbers.sorted() == Array(1...16))
  }

  @Test(arguments: scripts) func holds(_ script: String) throws {
    let ended = try pinlab(Self.folder.appendingPathComponent(script).path)
    #expect(ended.status == 0, "\(ended.output.suffix(400))\(ended.errors)")
    #expect(ended.output.contains("  ok  "))
  }

  @Test(arguments: scripts) func opensWithItsQuestion(_ script: String) throws {
    let text = try String(contentsOf: Self.folder.appendingPathComponent(script), encoding: .utf8)
    let opening = text.prefix(900)
    #expect(opening.contains("?") && opening.contains("Rules: P10 R"))
  }
}

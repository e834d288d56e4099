import Foundation
import LuaBridge
import Testing

/// Scripts under Fixtures/ that assert their own results.
@Suite struct FixtureTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Fixtures").path
  static let scripts = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
    .filter { $0.hasSuffix(".lua") }.sorted()

  @Test func thereAreScripts() { #expect(Self.scripts.count >= 8) }

  @Test(arguments: scripts) func holds(_ name: String) throws {
    let source = try String(contentsOfFile: "\(Self.folder)/\(name)", encoding: .utf8)
    let session = Session()
    let failure = session.lua.run(source, chunkName: "@\(name)").failure
    #expect(failure == nil, "\(failure?.message ?? "")\n\(failure?.traceback ?? "")")
  }

  /// Two sessions of one seed print the same bytes.
  @Test(arguments: scripts) func repeats(_ name: String) throws {
    let source = try String(contentsOfFile: "\(Self.folder)/\(name)", encoding: .utf8)
    var outputs: [String] = []
    for _ in 0..<2 {
      let session = Session(seed: 7)
      _ = session.lua.run(source, chunkName: "@\(name)")
      outputs.append(session.output)
    }
    #expect(outputs[0] == outputs[1])
  }
}

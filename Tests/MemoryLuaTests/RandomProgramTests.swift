import Foundation
import LuaBridge
import Testing

/// Random programs of whole sessions: what each call leaves behind for the next one, whichever it is.
@Suite struct RandomProgramTests {
  private static let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Programs/everything.lua").path

  private static func number(_ name: String) -> Int? {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
  }

  private static var seeds: [Int] { number("PINLAB_SEED").map { [$0] } ?? Array(1...12) }

  @Test("Every call leaves a sound machine, and nothing is left when all is given back")
  func programs() throws {
    let source = try String(contentsOfFile: Self.path, encoding: .utf8)
    for seed in Self.seeds {
      let session = Session()
      try #require(session.lua.run(source, chunkName: "@everything.lua").failure == nil)
      let broken = session.shown("program(\(seed), \(Self.number("PINLAB_STEPS") ?? 60))")
      #expect(broken.isEmpty, "\(broken)")
    }
  }

  @Test("The same seed is the same program")
  func repeats() throws {
    let source = try String(contentsOfFile: Self.path, encoding: .utf8)
    let ends = try (0..<2).map { _ in
      let session = Session()
      try #require(session.lua.run(source, chunkName: "@everything.lua").failure == nil)
      return session.shown("program(3, 25), machine_text()")
    }
    #expect(ends[0] == ends[1])
    #expect(ends[0].contains("pgalloc"))
  }
}

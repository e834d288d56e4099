import Foundation
import PinLab
import Testing

/// The library product, and the document that explains it.
@Suite struct EmbeddingTests {
  @Test func exampleDoesWhatItSays() throws {
    let report = try embed()
    #expect(
      report == [
        "free 12000, argument", "15840 pages free in all zones",
        "user.lua:1: bad argument #1 'pages' to 'budget' (expected an integer 1..1000, got 5000)",
        "interrupted", "sound: true", "printed: left\t744\n",
      ])
  }

  @Test func documentShowsTheExample() throws {
    let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let source = try String(
      contentsOf: here.appendingPathComponent("EmbeddingExample.swift"), encoding: .utf8)
    let document = try String(
      contentsOf: here.appendingPathComponent("../../docs/embedding.md"), encoding: .utf8)
    let example = try #require(part(of: source, "docs/embedding.md begins\n", "// docs/embedding"))
    let shown = try #require(part(of: document, "```swift\n", "```"))
    #expect(shown == example, "copy what stands between the markers into docs/embedding.md")
  }

  private func part(of text: String, _ start: String, _ end: String) -> Substring? {
    guard let from = text.range(of: start)?.upperBound,
      let to = text[from...].range(of: end)?.lowerBound
    else { return nil }
    return text[from..<to]
  }

  @Test func readsMachinesByName() {
    let session = PinLabSession { _ in }
    session.run("m = machine{ ram = '64M' } n = machine{ ram = '128M' } x = 5")
    let sizes = ["m", "n"].map { name in
      session.withMachine(name) { $0.memory.reduce(0) { $0 + $1.count } }
    }
    #expect(sizes[0]! < sizes[1]!)
    #expect(session.withMachine("x") { _ in 1 } == nil)
    #expect(session.withMachine("nothing") { _ in 1 } == nil)
  }

  @Test func sessionsKeepApart() {
    let first = PinLabSession(seed: 1) { _ in }
    let second = PinLabSession(seed: 1) { _ in }
    first.run("x = machine{ ram = '64M' } a = math.random(1000000)")
    #expect(second.evaluate("x").displays == ["nil"])
    second.run("a = math.random(1000000)")
    #expect(first.evaluate("a").displays == second.evaluate("a").displays)
    // Machines are numbered within their session.
    #expect(second.evaluate("machine{ ram = '64M' }").displays[0].hasPrefix("machine #1 "))
  }

  /// Wherever a call is stopped, whoever looks next finds all given back.
  @Test(arguments: [
    ("pin{ longterm = true }", 20), ("pin{ longterm = true }", 200),
    ("pin{ longterm = true }", 600),
    ("populate()", 30), ("fork()", 30), ("munmap()", 10),
  ])
  func stoppedCallsLeaveNothing(call: String, milliseconds: Int) throws {
    let session = PinLabSession { _ in }
    session.run(
      """
      m = machine{ ram = "6G", movablecore = "3G" }
      vm = m:guest{ ram = "2G", thp = "never" }
      if ... then vm:populate() end
      """, arguments: call == "populate()" ? [] : ["populated"])
    let interrupter = session.interrupter
    Thread.detachNewThread {
      Thread.sleep(forTimeInterval: Double(milliseconds) / 1000)
      interrupter.interrupt()
    }
    let stopped = session.run("while true do result = vm:\(call) end")
    #expect(stopped.failure?.stop == .interrupt)
    // Pins that came to their end before are whole.
    let lengths = session.evaluate(
      "(function() for _, p in ipairs(m:pins()) do if p.pages ~= 1 << 19 then return p.pages end end return true end)()"
    )
    #expect(lengths.displays == ["true"], "stopped after \(milliseconds) ms")
    #expect(session.evaluate("m:check()").displays == ["true"])
    #expect(session.withMachine("m") { $0.currentCPU } == 0)
  }

  @Test func interrupterOutlivesItsSession() {
    var session: PinLabSession? = PinLabSession { _ in }
    let interrupter = session!.interrupter
    session?.run("m = machine{ ram = '64M' }")
    session = nil
    interrupter.interrupt()
  }
}

import LuaBridge
import Testing

@Suite struct CompletionTests {
  static func session() -> LuaSession {
    let session = Fixture.session()
    _ = session.run(
      """
      c = counter{} s = "text" t = { inner = { c, x = 1, walker = function() end }, _private = 1 }
      trap = setmetatable({}, { __index = function() error("called") end, __pairs = error })
      class = setmetatable({}, { __index = { run = function() end } })
      """)
    return session
  }

  @Test(arguments: [
    ("alloc", ["alloc_pages"], 0), ("print(coun", ["counter"], 6), ("whi", ["while"], 0),
    ("c:", ["add", "close", "help", "walk"], 2),
    ("c.", ["add", "close", "count", "help", "map", "walk"], 2),
    ("x = c:a", ["add"], 6), ("t.", ["inner"], 2), ("t._", ["_private"], 2),
    ("t.inner.", ["walker", "x"], 8), ("t.inner:", ["walker"], 8), ("t.inner[1]:a", ["add"], 11),
    ("t['inner'].w", ["walker"], 11), ("s:up", ["upper"], 2), ("string.gs", ["gsub"], 7),
    ("counter{ ", ["kernel", "path", "ram", "start"], 9), ("counter{ra", ["ram"], 8),
    ("counter({ ram = 1, st", ["start"], 19),
    ("counter{ kernel = \"", ["4.2", "5.10", "6.12"], 19),
    ("counter{ kernel = '6", ["6.12"], 19), ("pick('", ["first", "second"], 6),
    ("pick \"f", ["first"], 6), ("alloc_pages(1, 'zero|m", ["zero|movable"], 16),
    ("pages.", ["count"], 6), ("trap.", [], 5), ("class:r", ["run"], 6), ("nothing.x.y", [], 10),
    ("c:add(counter{}.", [], 16), ("-- com", [], 6), ("'plain", [], 1), ("1.", [], 2), ("", [], 0),
    ("c:add(al", ["alloc_pages"], 6), ("((((", [], 4), ("}]).", [], 4),
  ])
  func candidates(line: String, names: [String], start: Int) {
    let completions = Self.session().complete(line)
    #expect(completions.start == start)
    guard !names.isEmpty || !(line.isEmpty || line == "((((") else { return }
    #expect(completions.candidates.map(\.text) == names)
  }

  @Test func kindsAndDocs() {
    let session = Self.session()
    #expect(session.complete("counter{ path = '").wantsFileNames)
    let add = session.complete("c:ad").candidates.first
    #expect(add?.kind == .method)
    #expect(add?.doc == "Counts up.")
    #expect(
      session.complete("counter{ ke").candidates.first?.doc
        == "\"6.12\" | \"5.10\" | \"4.2\", optional. Which.")
    #expect(session.complete("print(al) x", cursor: 8).candidates.map(\.text) == ["alloc_pages"])
  }

  /// Any text, cut anywhere, completes without harm.
  @Test func neverFails() {
    let session = Self.session()
    let pieces = [
      "c", ".", ":", "{", "}", "(", ")", "[", "]", "\"", "'", "counter", " ", "=", ",", "t", "1",
      "é",
      "\\", "--", "[[", "]]", "trap", "inner", "🙂", "\n", "|", "..", "s",
    ]
    var state: UInt64 = 7
    for _ in 0..<20_000 {
      var line = ""
      for _ in 0..<8 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        line += pieces[Int(state >> 33) % pieces.count]
      }
      let completions = session.complete(line, cursor: Int(state >> 60) - 2)
      #expect(completions.start <= line.count)
    }
    #expect(session.run("return 1").values?.count == 1)
  }
}

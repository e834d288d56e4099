// Lines of the prompt: what they come to and how it is shown.

import LuaBridge
import Testing

@Suite struct PromptTests {
  @Test(arguments: [
    ("1 + 1", ["2"]), ("'a\\n\"é\\1'", ["\"a\\n\\\"é\\x01\""]), ("nil, true", ["nil", "true"]),
    ("x = 5", []), ("{}", ["{}"]),
    (
      "{ 1, 'a', b = { c = 2 }, ['d e'] = 3, [10] = 4 }",
      ["{ 1, \"a\", [10] = 4, b = { c = 2 }, [\"d e\"] = 3 }"]
    ),
    ("counter{ start = 2 }", ["counter at 2"]), ("2^53", ["9.007199254741e+15"]),
    ("print", ["function: #1"]),
    ("alloc_pages", ["function: alloc_pages"]),
    ("{ a = counter{}, [counter{ start = 9 }] = 1 }", ["{ a = counter at 0, [counter at 9] = 1 }"]),
    ("{ { { { { 1 } } } } }", ["{ { { { {…} } } } }"]),
    ("setmetatable({}, { __tostring = function() return 'own' end })", ["own"]),
    ("{ pfn = 255, at = 255 }", ["{ at = 255, pfn = 0xff }"]),
    // A list of records has columns: keys sorted, numbers right, absent values as a dash.
    (
      "{ { pfn = 16, zone = 'DMA' }, { pfn = 4096, zone = 'Normal' }, { pfn = 1 } }",
      ["   pfn  zone\n  0x10  DMA\n0x1000  Normal\n   0x1  -"]
    ),
    ("{ { a = 1, b = {} }, { a = 2, b = {} } }", ["{ { a = 1, b = {} }, { a = 2, b = {} } }"]),
    ("{ { a = 1 }, { b = 2 } }", ["{ { a = 1 }, { b = 2 } }"]),
    (
      "{ { a = 1, b = 2 }, { a = 3, b = 4 }, n = 1 }",
      ["{ { a = 1, b = 2 }, { a = 3, b = 4 }, n = 1 }"]
    ),
    ("(function() local t = {} t.t = t return t end)()", ["{ t = <cycle> }"]),
    ("'\\xff'", ["\"\\xff\""]),
  ])
  func displays(line: String, shown: [String]) {
    #expect(Fixture.session().evaluate(line).displays == shown)
  }

  @Test func longTablesAreCut() {
    let session = Fixture.session()
    _ = session.run("t = {} for i = 1, 1000 do t[i] = i end")
    let shown = session.evaluate("t").displays.first ?? ""
    #expect(shown.hasSuffix("63, 64, … 936 more\n}"))
    #expect(shown.split(separator: "\n").allSatisfy { $0.count <= 78 })
    _ = session.run("t = {} for i = 1, 60 do t[i] = {} for j = 1, 60 do t[i][j] = j end end")
    #expect((session.evaluate("t").displays.first ?? "").count < 8_000)
  }

  @Test func resultsAreKept() {
    let session = Fixture.session()
    _ = session.evaluate("10, 20")
    #expect(session.evaluate("_ + _1 + _2").displays == ["40"])
    _ = session.evaluate("local x = 1")
    #expect(session.evaluate("_").displays == ["40"])
  }

  @Test(arguments: [
    "for i = 1, 2 do", "x = ", "f(", "return function()", "--[[", "x = [[", "if x then",
  ])
  func incomplete(line: String) {
    #expect(Fixture.session().evaluate(line).outcome.failure?.isIncompleteInput == true)
  }

  @Test(arguments: ["x = = 1", "end", "'a\n", "1 +* 2", "]]"]) func wrong(line: String) {
    let failure = Fixture.session().evaluate(line).outcome.failure
    #expect(failure != nil)
    #expect(failure?.isIncompleteInput == false)
  }

  @Test func showingCanBeStopped() {
    let session = Fixture.session(LuaLimits(time: .milliseconds(50)))
    let endless = "setmetatable({}, { __tostring = function() while true do end end })"
    #expect(session.evaluate(endless).outcome.failure?.stop == .time)
    #expect(session.evaluate("1").displays == ["1"])
  }

  @Test func refusalsReadWell() {
    let session = Fixture.session()
    _ = session.run("c = counter{ start = 1000 }")
    #expect(session.evaluate("c:add()").displays == ["nil", "ENOSPC  the counter is full"])
    #expect(session.evaluate("_2.errno, _2.rule").displays == ["\"ENOSPC\"", "\"C1.2\""])
    #expect(session.run("assert(c:add())").failure?.message == "ENOSPC  the counter is full")
  }

  @Test func errorsAtEveryDepth() {
    let session = Fixture.session()
    let failure = session.run(
      """
      local function inner() error("deep") end
      local function outer() inner() end
      outer()
      """, chunkName: "=t"
    ).failure
    #expect(failure?.message == "t:1: deep")
    #expect(
      failure?.traceback == """
        stack traceback:
        \tt:1: in upvalue 'inner'
        \tt:2: in local 'outer'
        \tt:3: in main chunk
        """)
    #expect(
      session.run("error({ code = 1, 'x' })").failure?.message == "error value { \"x\", code = 1 }")
    #expect(session.run("error()").failure?.message == "error value nil")
    #expect(
      session.run("error(setmetatable({}, {__tostring = function() return 'own' end}))").failure?
        .message == "own")
    #expect(session.run("x = = 1", chunkName: "=t").failure?.traceback == "")
    #expect(session.run("return ...", arguments: ["a", "b"]).values?.count == 2)
  }
}

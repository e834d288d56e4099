import LuaBridge
import Testing

@Suite struct CallTests {
  @Test func methodsPropertiesAndResults() {
    #expect(
      Fixture.printed(
        """
        local c = counter{ start = 3 }
        print(c:add(2), c.count, #c, c, c.map)
        c.count = 999
        print(c:add(), c:add())
        print(c < counter{ start = 2000 }, c == c, c ~= counter{})
        print(pages.count(7), alloc_pages(3, "movable | nowait"), alloc_pages(0, {"zero"}))
        """)
          == """
          5\t5\t5\tcounter at 5\t###
          1000\tnil\tENOSPC  the counter is full
          true\ttrue\ttrue
          7\t8\t1\t2

          """)
  }

  @Test(arguments: [
    (
      "counter{}:map()",
      "t:1: attempt to call a string value (method 'map'); 'map' holds a value: write .map without ()"
    ),
    (
      "local t = {} t:map()", "t:1: attempt to call a nil value (method 'map')"
    ),
    (
      "alloc_pages(11)",
      "t:1: bad argument #1 'order' to 'alloc_pages' (expected an integer 0..10, got 11)"
    ),
    (
      "alloc_pages('1')",
      "t:1: bad argument #1 'order' to 'alloc_pages' (expected an integer 0..10, got \"1\"; write the number without quotes)"
    ),
    (
      "alloc_pages(1.5)",
      "t:1: bad argument #1 'order' to 'alloc_pages' (expected an integer 0..10, got 1.5; use // for whole division)"
    ),
    (
      "alloc_pages()",
      "t:1: bad argument #1 'order' to 'alloc_pages' (expected an integer 0..10, got nothing)"
    ),
    (
      "pick('frist')",
      "t:1: bad argument #1 'name' to 'pick' (expected one of \"first\", \"second\", got \"frist\"; did you mean \"first\"?)"
    ),
    ("counter{ strat = 1 }", "t:1: unknown field 'strat' in 'counter'; did you mean 'start'?"),
    ("counter{ 1 }", "t:1: 'counter' takes named fields, got an entry [1]; write name = value"),
    (
      "counter(5)",
      "t:1: 'counter' takes one table with named fields, as in counter{ start = … }, got 5"
    ),
    (
      "counter{ ram = '4Q' }",
      "t:1: bad field 'ram' in 'counter' (expected a size: bytes, or a string such as \"4G\" or \"512MiB\", got \"4Q\")"
    ),
    ("local c = counter{} print(c.mapp)", "t:1: no field 'mapp' on counter; did you mean 'map'?"),
    ("local c = counter{} c.map = 1", "t:1: field 'map' of counter is read-only"),
    (
      "local c = counter{} c.add()",
      "t:1: 'add' is a method of counter: write object:add(…), got nothing for the object"
    ),
    ("local b = box() b:slto(1)", "t:1: no field 'slto' on box; did you mean 'slot'?"),
    (
      "local b = box() b:free(counter{})",
      "t:1: bad argument #1 'slot' to 'free' (expected a slot, got a counter)"
    ),
    (
      "local b = box() local s = b:slot(1) b:free(s) print(s.value)",
      "t:1: the object of 'value' is stale: the slot it named no longer exists"
    ),
    (
      "local c = counter{} c:close() c:add()",
      "t:1: the object of 'add' is closed: this counter was given back by close"
    ),
    ("box(1)", "t:1: too many arguments to 'box' (expected 0, got 1)"),
    ("failing('own words')", "t:1: own words"),
    ("local c = counter{} c:walk(1)", "t:1: 'walk' can yield only inside a coroutine"),
    ("each({1}, function() error('inner') end)", "t:1: inner"),
  ])
  func messages(source: String, message: String) {
    #expect(Fixture.error(source) == message)
  }

  /// `f("name")` for `f{ name = "name" }`, when the first field is a string.
  @Test func nameAlone() {
    #expect(Fixture.printed("print(labelled('one'))") == "one alone\n")
    #expect(Fixture.printed("print(labelled{ label = 'one' })") == "one with fields\n")
    #expect(Fixture.error("labelled(1)").contains("takes one table with named fields"))
  }

  @Test(arguments: [
    ("'300G'", 300 << 30), ("'1.5G'", 3 << 29), ("'512MiB'", 512 << 20), ("'4k'", 4096),
    ("2^20", 1 << 20), ("'0x1000'", 4096), ("' 7 B '", 7), ("'0.5K'", 512), ("0", 0),
  ])
  func sizes(source: String, bytes: Int) {
    #expect(Fixture.session().run("return size(\(source))").values?.first?.integer == Int64(bytes))
  }

  @Test(arguments: ["'0.3K'", "''", "'G'", "'1X'", "-1", "1.5", "'9E9'", "'99999999999G'", "'1 2'"])
  func sizesThatAreNone(source: String) {
    #expect(Fixture.error("size(\(source))").contains("expected a size"))
  }

  /// Every way an object can leave: closed, collected, dropped by an error, or held to the end.
  @Test func objectsAreReleased() {
    final class Probe {}
    final class Log: @unchecked Sendable { var made: [WeakProbe] = [] }
    struct WeakProbe { weak var probe: Probe? }
    let log = Log()
    let library = LuaLibrary(
      "probe", doc: "", types: [LuaType("probe", Probe.self, doc: "", close: { $0.closeObject() })],
      functions: [
        LuaFunction(
          "probe", .positional, [LuaParameter("n", .integer(), optional: true)], doc: ""
        ) { call throws(LuaFailure) in
          let probe = Probe()
          log.made.append(WeakProbe(probe: probe))
          call.returns(LuaHandle("probe", probe))
          if call.isGiven(0) { throw LuaFailure("after a result") }
        }
      ])
    do {
      let session = LuaSession { _ in }
      session.register(library)
      let outcome = session.run(
        """
        for i = 1, 100 do pcall(function() local p <close> = probe() error('x') end) end
        for i = 1, 100 do probe() end
        for i = 1, 100 do pcall(probe, 1) end
        kept = probe()
        """)
      #expect(outcome.failure == nil)
    }
    #expect(log.made.count == 301)
    #expect(log.made.allSatisfy { $0.probe == nil })
  }

  @Test func theSameObjectIsTheSameKey() {
    #expect(
      Fixture.printed("local b = box() local t = {[b:slot(1)] = 1} print(b:slot(1) == b:slot(1))")
        == "true\n")
  }

  @Test func valuesPassThroughSwift() {
    #expect(
      Fixture.printed(
        "print(echo(1, 2.5, 'x', true)) local t = echo{1, 2, k = {'v'}} print(t[2], t.k[1])")
        == "1\t2.5\tx\ttrue\n2\tv\n")
  }

  @Test func callbacksReturnValuesAndErrors() {
    #expect(
      Fixture.printed("print(each({1, 2, 3}, function(x) return x * 2 end))") == "2\t4\t6\n")
    #expect(
      Fixture.printed("print(pcall(each, {1}, function(x) coroutine.yield() end))")
        .contains("attempt to yield"))
  }

  @Test func bodiesYieldAndContinue() {
    #expect(
      Fixture.printed(
        """
        local c = counter{}
        local f = coroutine.wrap(function() return "end", c:walk(3) end)
        print(f()) print(f('ignored')) print(f()) print(f())
        for i = 1, 50 do local f = coroutine.wrap(function() c:walk(3) end) f() end
        collectgarbage()
        """) == "1\n2\n3\nend\tdone\n")
  }

  @Test func functionsAreKeptBetweenRuns() throws {
    let session = Fixture.session()
    let values = try #require(session.run("return function(a, b) return a + b end").values)
    guard case .function(let f) = values[0] else { throw LuaErrorExpected() }
    #expect(session.call(f, arguments: [1, 2]).values?.first?.integer == 3)
    #expect(session.call(f, arguments: [.nil]).failure?.message.contains("arithmetic") == true)
  }
}

@Suite struct ReentryTests {
  /// A body that uses its own session is told so, and its results stay as they were.
  @Test func aRunningSessionRefusesAnotherRun() {
    final class Keep: @unchecked Sendable {
      var session: LuaSession?
      var function: LuaReference?
    }
    let keep = Keep()
    let session = LuaSession { _ in }
    keep.session = session
    defer { keep.session = nil }
    session.register(
      LuaLibrary(
        "reentry", doc: "",
        functions: [
          LuaFunction("again", .positional, [LuaParameter("f", .function)], doc: "") { call in
            call.returns(1)
            keep.function = call.reference(0)
            if let function = keep.function {
              let outcome = keep.session?.call(function, arguments: [5, 6, 7])
              call.returns(outcome?.failure?.message ?? "ran")
            }
            call.returns(keep.session?.run("x = 1").failure?.message ?? "ran")
          }
        ]))
    let values = session.run("return again(print)").values
    #expect(values?.count == 3)
    #expect(values?[0].integer == 1)
    #expect(values?[1].string == "the session already runs")
    keep.function = nil
  }
}

struct LuaErrorExpected: Error {}

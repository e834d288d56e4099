// A small host that the tests script: counters that hold numbers, boxes whose slots come and go.

import LuaBridge
import Testing

final class Counter {
  var count: Int

  init(_ count: Int) { self.count = count }
}

/// A table of slots with generations, as a zone table has.
final class Box {
  var values: [Int]
  var generations: [UInt32]

  init(_ size: Int) {
    values = Array(repeating: 0, count: size)
    generations = Array(repeating: 0, count: size)
  }
}

final class Steps {
  var done = 0
}

enum Fixture {
  static let counter = LuaType(
    "counter", Counter.self, doc: "Counts.\n\nIt is full at 1000.",
    properties: [
      LuaProperty(
        "count", .integer(), "How far it has counted.",
        get: { $0.returns($0.object(as: Counter.self).count) },
        set: { $0.object(as: Counter.self).count = $0.integer(0) }),
      LuaProperty("map", .string, "A picture.") { $0.returns("###") },
    ],
    methods: [
      LuaFunction(
        "add", .positional, [LuaParameter("n", .integer(1...100), default: "1", "How many.")],
        returns: [LuaResult(.integer(), "The new count.")],
        errors: [LuaErrno("ENOSPC", "the counter is full")], doc: "Counts up.",
        kernel: ["atomic_add()"], rules: ["C1.2"],
        example: "c = counter{ start = 3 }\nc:add(2) --> 5"
      ) { call throws(LuaFailure) in
        let counter = call.object(as: Counter.self)
        guard counter.count < 1_000 else {
          return call.refuse(errno: "ENOSPC", message: "the counter is full", rule: "C1.2")
        }
        counter.count += call.integer(0, default: 1)
        call.returns(counter.count)
      },
      LuaFunction("close", doc: "Gives it back.") { call throws(LuaFailure) in call.closeObject() },
      LuaFunction("walk", .positional, [LuaParameter("steps", .integer(0...1000))], doc: "Yields.")
      { call throws(LuaFailure) in
        let state = call.continuation(as: Steps.self) ?? Steps()
        guard state.done < call.integer(0) else { return call.returns("done") }
        state.done += 1
        call.returns(state.done)
        call.yieldAgain(state)
      },
    ],
    display: { "counter at \($0.owner(as: Counter.self).count)" },
    less: { $0.owner(as: Counter.self).count < $1.owner(as: Counter.self).count },
    length: { $0.owner(as: Counter.self).count },
    close: { $0.closeObject() })

  static let box = LuaType(
    "box", Box.self, doc: "Has slots.",
    methods: [
      LuaFunction("slot", .positional, [LuaParameter("i", .integer(0...9))], doc: "A slot.") {
        call in
        let box = call.object(as: Box.self)
        call.returns(
          LuaHandle(
            "slot", box, index: call.integer(0), generation: box.generations[call.integer(0)]))
      },
      LuaFunction(
        "free", .positional, [LuaParameter("slot", .object("slot"))], doc: "Frees a slot."
      ) { call in
        call.object(as: Box.self).generations[call.handle(0).index] += 1
      },
      LuaFunction(
        "method", .positional, [LuaParameter("order", .integer(0...10))], doc: "For speed."
      ) { call in
        call.returns(1 << call.integer(0))
      },
    ])

  static let slot = LuaType(
    "slot", Box.self, doc: "A slot of a box.",
    properties: [
      LuaProperty(
        "value", .integer(), get: { $0.returns($0.object(as: Box.self).values[$0.index]) },
        set: { $0.object(as: Box.self).values[$0.index] = $0.integer(0) })
    ],
    isLive: { $0.owner(as: Box.self).generations[$0.index] == $0.generation })

  static let functions: [LuaFunction] = [
    LuaFunction(
      "counter", .named,
      [
        LuaParameter("start", .integer(), default: "0"),
        LuaParameter("kernel", .choice(["6.12", "5.10", "4.2"]), optional: true, "Which."),
        LuaParameter("ram", .size(), optional: true), LuaParameter("path", .file, optional: true),
      ], returns: [LuaResult(.object("counter"))], doc: "Makes a counter."
    ) { $0.returns(LuaHandle("counter", Counter($0.integer(0, default: 0)))) },
    LuaFunction(
      "labelled", .named, [LuaParameter("label", .string, optional: true)],
      doc: "Says how it was called."
    ) { $0.returns($0.string(0) + ($0.isNameAlone ? " alone" : " with fields")) },
    LuaFunction("box", .positional, [], doc: "Makes a box.") {
      $0.returns(LuaHandle("box", Box(10)))
    },
    LuaFunction(
      "alloc_pages", .positional,
      [
        LuaParameter("order", .integer(0...10)),
        LuaParameter("flags", .flags(["movable", "zero", "nowait"]), optional: true),
      ], doc: "Checks."
    ) {
      $0.returns(1 << $0.integer(0))
      $0.returns(Int($0.flags(1)))
    },
    LuaFunction("size", .positional, [LuaParameter("bytes", .size())], doc: "Bytes.") {
      $0.returns($0.integer(0))
    },
    LuaFunction("pages.count", .positional, [LuaParameter("pfn", .pfn)], doc: "In a table.") {
      $0.returns($0.integer(0))
    },
    LuaFunction("pick", .positional, [LuaParameter("name", .choice(["first", "second"]))], doc: "")
    {
      $0.returns($0.integer(0))
    },
    LuaFunction(
      "echo", .positional, [LuaParameter("values", .any, rest: true)], doc: "Copies through Swift."
    ) { call in
      for i in 0..<call.count { call.returns(call.value(i)) }
    },
    LuaFunction(
      "each", .positional,
      [LuaParameter("list", .table), LuaParameter("f", .function)], doc: "Calls back."
    ) { call throws(LuaFailure) in
      for element in call.value(0).table?.elements ?? [] {
        switch call.invoke(call.callback(1), [element]) {
        case .values(let values): call.returns(values.first ?? .nil)
        case .failure(let error): throw LuaCall.rethrow(error)
        }
      }
    },
    LuaFunction("spin", doc: "Loops in Swift until stopped.") { call throws(LuaFailure) in
      while !call.shouldStop() {}
      throw LuaFailure("stopped by itself")
    },
    LuaFunction("failing", .positional, [LuaParameter("text", .string)], doc: "Fails.") {
      call throws(LuaFailure) in throw LuaFailure(call.string(0))
    },
  ]

  static let library = LuaLibrary(
    "test", doc: "The test library.", types: [counter, box, slot], functions: functions,
    hexKeys: ["pfn"])

  static func session(
    _ limits: LuaLimits = .none, sandbox: Bool = true, seed: UInt64 = 1,
    output: @escaping (String) -> Void = { _ in }
  ) -> LuaSession {
    let session = LuaSession(limits: limits, sandbox: sandbox, seed: seed, output: output)
    session.register(library)
    return session
  }

  /// What a script prints, and its error as the last line.
  static func printed(
    _ source: String, limits: LuaLimits = .none, sandbox: Bool = true, seed: UInt64 = 1
  ) -> String {
    var text = ""
    let session = session(limits, sandbox: sandbox, seed: seed) { text += $0 }
    if case .failure(let error) = session.run(source, chunkName: "=t") {
      text += "ERROR \(error.message)\n"
    }
    return text
  }

  /// The message a script fails with; empty when it does not.
  static func error(_ source: String, limits: LuaLimits = .none) -> String {
    session(limits).run(source, chunkName: "=t").failure?.message ?? ""
  }
}

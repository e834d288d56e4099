import LuaBridge
import MemoryLua
import Testing

/// Every function of the API with every nasty value in place of each argument, the others plausible: it
/// returns, or says in words what was wrong, and the machines stay sound.
@Suite struct NastyValueTests {
  static let values = [
    "nil", "true", "0", "-1", "1 << 40", "math.maxinteger", "math.mininteger", "0.5", "0/0", "1/0",
    "-1/0", "''", "'x'", "'-1'", "'3K'", "'99999999999999999999P'", "{}", "{ -1 }",
    "{ nonsense = 1 }", "print", "coroutine.create(print)", "0xfff", "0x7f0000000fff", "n",
    "q", "gone.guest", "gone.pin", "gone.buffer", "gone.ref", "gone.mapping",
  ]

  /// Objects whose thing is gone: released, unpinned, exited.
  static let prelude =
    RandomCallTests.prelude + """

      gone = {}
      gone.guest = m:guest{ ram = "1M" }
      gone.guest:touch(0, "64K")
      gone.pin = gone.guest:pin{ length = "4K" }
      gone.device = gone.guest:vfio()
      gone.mapping = gone.device:map{ from = "16K", length = "4K" }
      gone.mapping:unmap()
      gone.pin:unpin()
      gone.ref = m:temp_ref(vm:page("12K"))
      gone.ref:release()
      gone.guest:exit()
      gone.buffer = m:cma_alloc(1)
      if gone.buffer then gone.buffer:release() end
      """

  /// A value that may be right for a parameter.
  private func plausible(_ parameter: LuaParameter) -> String {
    switch parameter.type {
    case .boolean: "true"
    case .integer(let range): String(range.contains(1) ? 1 : range.lowerBound)
    case .number: "1.0"
    case .size: "'64K'"
    case .pfn: "0x100"
    case .address: "0x10000"
    case .choice(let names): "'\(names.first ?? "")'"
    case .flags(let names): "'\(names.first ?? "")'"
    case .table: "{}"
    case .function: "function() end"
    case .object(let name): RandomCallTests.objects[name] ?? "nil"
    case .string: "'vm0'"
    default: "1"
    }
  }

  private func calls(_ name: String, _ function: LuaFunction) -> [(source: String, value: String)] {
    var calls: [(String, String)] = []
    for index in function.parameters.indices {
      for value in Self.values {
        if function.style == .named {
          var fields = ["\(function.parameters[index].name) = \(value)"]
          for (other, parameter) in function.parameters.enumerated()
          where other != index && !parameter.isOptional {
            fields.append("\(parameter.name) = \(plausible(parameter))")
          }
          calls.append(("return \(name){ \(fields.joined(separator: ", ")) }", value))
        } else {
          var arguments = function.parameters[..<index].map(plausible)
          arguments.append(value)
          arguments += function.parameters[(index + 1)...].filter { !$0.isOptional }.map(plausible)
          calls.append(("return \(name)(\(arguments.joined(separator: ", ")))", value))
        }
      }
    }
    return calls
  }

  @Test("Every parameter, every nasty value", arguments: 0..<4)
  func sweep(part: Int) {
    let library = MemoryLibrary.library(MemoryContext())
    var all: [(source: String, value: String, name: String)] = []
    for function in library.functions {
      all += calls(function.name, function).map { ($0.source, $0.value, function.name) }
    }
    for type in library.types {
      guard let object = RandomCallTests.objects[type.name] else { continue }
      for method in type.methods {
        let name = "\(object):\(method.name)"
        all += calls(name, method).map { ($0.source, $0.value, method.name) }
      }
    }
    #expect(all.count > 3000)
    func limited() -> Session {
      Session(limits: LuaLimits(memory: 256 << 20, time: .milliseconds(500)))
    }
    // A guest of 1 TiB makes a check slow, which is nobody's fault: the session is made anew.
    func isSlow(_ text: String) -> Bool { text.contains("time limit reached") }
    var session = limited()
    var tried = 0
    for (index, call) in all.enumerated() where index % 4 == part {
      if tried % 60 == 0 {
        var failure = session.lua.run(Self.prelude).failure
        if let message = failure?.message, isSlow(message) {
          session = limited()
          failure = session.lua.run(Self.prelude).failure
        }
        #expect(failure.map { isSlow($0.message) } ?? true, "before \(call.source)")
      }
      tried += 1
      let outcome = session.lua.run(call.source, chunkName: "=nasty")
      if let message = outcome.failure?.message {
        #expect(!message.isEmpty && !message.contains("unexpected"), "\(call.source): \(message)")
      }
      if tried % 20 == 0 {
        let sound = session.shown("m:check() and n:check()")
        #expect(sound == "true" || isSlow(sound), "after \(call.source)")
        if isSlow(sound) {
          session = limited()
          _ = session.lua.run(Self.prelude)
        }
      }
    }
  }

  @Test("What is gone says so, in every method and field")
  func gone() {
    let library = MemoryLibrary.library(MemoryContext())
    let objects = [
      "guest": "gone.guest", "pin": "gone.pin", "cma_buffer": "gone.buffer",
      "temp_ref": "gone.ref", "mapping": "gone.mapping", "device": "gone.device",
    ]
    let session = Session(limits: LuaLimits(memory: 256 << 20, time: .milliseconds(500)))
    #expect(session.lua.run(Self.prelude).failure == nil)
    for type in library.types {
      guard let object = objects[type.name] else { continue }
      var sources = type.properties.map { "return \(object).\($0.name)" }
      sources += type.methods.map { method in
        let arguments = method.parameters.filter { !$0.isOptional }
        if method.style == .named {
          let fields = arguments.map { "\($0.name) = \(plausible($0))" }
          return "return \(object):\(method.name){ \(fields.joined(separator: ", ")) }"
        }
        let values = arguments.map(plausible).joined(separator: ", ")
        return "return \(object):\(method.name)(\(values))"
      }
      for source in sources {
        let outcome = session.lua.run(source, chunkName: "=gone")
        if let message = outcome.failure?.message { #expect(!message.isEmpty, "\(source)") }
        let sound = session.shown("m:check() and n:check()")
        #expect(sound == "true", "after \(source)")
      }
    }
  }
}

// An embedded Lua with declared functions, limits and a sandbox.
//
// Declare what scripts may use, make a session, run text:
//
//     final class Counter { var count = 0 }
//
//     let counter = LuaType(
//       "counter", Counter.self, doc: "Counts.",
//       properties: [
//         LuaProperty("count", .integer(), "How far it has counted.") { call in
//           call.returns(call.object(as: Counter.self).count)
//         }
//       ],
//       methods: [
//         LuaFunction(
//           "add", .positional, [LuaParameter("n", .integer(1...100), default: "1", "How many.")],
//           returns: [LuaResult(.integer(), "The new count.")], doc: "Counts up.",
//           example: "c = counter{ start = 3 }\nc:add(2) --> 5"
//         ) { call throws(LuaFailure) in
//           let counter = call.object(as: Counter.self)
//           guard counter.count < 1_000 else {
//             return call.refuse(errno: "ENOSPC", message: "the counter is full", rule: "C1.2")
//           }
//           counter.count += call.integer(0, default: 1)
//           call.returns(counter.count)
//         }
//       ],
//       display: { "counter at \($0.owner(as: Counter.self).count)" })
//
//     let library = LuaLibrary(
//       "counting", doc: "Counters.", types: [counter],
//       functions: [
//         LuaFunction(
//           "counter", .named, [LuaParameter("start", .integer(), default: "0")],
//           returns: [LuaResult(.object("counter"))], doc: "Makes a counter."
//         ) { call in
//           let made = Counter()
//           made.count = call.integer(0, default: 0)
//           call.returns(LuaHandle("counter", made))
//         }
//       ])
//
//     let session = LuaSession(limits: LuaLimits(memory: 64 << 20)) { print($0, terminator: "") }
//     session.register(library)
//     switch session.run("local c = counter{ start = 3 } return c:add(2)", chunkName: "=demo") {
//     case .values(let values): print(values)          // [.integer(5)]
//     case .failure(let error): print(error.message)   // demo:1: bad argument #1 'n' to 'add' …
//     }
//
// A session is used from one thread at a time. Only its interrupter may be called from elsewhere.

internal import CLuaGate

/// A Lua state with what was registered in it.
public final class LuaSession {
  let core: SessionCore

  /// A new session.
  ///
  /// - Parameters:
  ///   - limits: What each run may use.
  ///   - sandbox: Leaves out files, processes, bytecode, C modules and the unsafe part of `debug`.
  ///   - seed: Where `math.random` starts.
  ///   - output: Receives the text of `print`, `io.write`, `warn` and `help`.
  public init(
    limits: LuaLimits = .none, sandbox: Bool = true, seed: UInt64 = 0,
    output: @escaping (String) -> Void
  ) {
    core = SessionCore(limits: limits, sandbox: sandbox, seed: seed, sink: output)
    core.registerHelp()
  }

  deinit { core.close() }

  /// Makes a library's types and functions known to scripts.
  ///
  /// - Precondition: No type of that name was registered before, and no run is on.
  public func register(_ library: LuaLibrary) { core.register(library) }

  /// Where output goes from now on.
  public var output: (String) -> Void {
    get { core.sink }
    set { core.sink = newValue }
  }

  /// Stops this session's scripts from a signal handler or another thread.
  public var interrupter: LuaInterrupter { LuaInterrupter(core: core) }

  /// Bytes that Lua holds.
  public var memoryUsed: Int { unsafe Int(gate_memory_used(core.session)) }
}

extension LuaSession {
  /// Registers `plain_c(order)` and `plain_object():method(order)`, written against the Lua API by
  /// hand, for a benchmark to compare declared functions with.
  public func registerPlainC() { unsafe _ = gate_bench_plain_c(core.session) }

  /// Runs a script.
  ///
  /// - Parameters:
  ///   - chunkName: How messages name it: `@file.lua` for a file, `=name` for any other.
  ///   - arguments: The script's `...` and global `arg`; nil leaves `arg` as it is.
  public func run(
    _ source: String, chunkName: String = "=script", arguments: [String]? = nil
  ) -> LuaOutcome {
    let status = unsafe withCStrings(arguments ?? []) { pointers in
      unsafe withUTF8(source) { bytes in
        unsafe gate_run(
          core.session, bytes.baseAddress!, bytes.count, chunkName,
          arguments == nil ? nil : pointers.baseAddress, Int32(pointers.count))
      }
    }
    return finish(status) { (values(), false) }
  }

  /// Calls a Lua function from outside a run.
  public func call(_ function: LuaReference, arguments: [LuaValue] = []) -> LuaOutcome {
    var call = unsafe gate_make_builder(core.session)
    let base = unsafe call.arena.pointee.count
    unsafe withUnsafeMutablePointer(to: &call) { pointer in
      let builder = unsafe LuaCall(pointer, core)
      for argument in arguments { builder.returns(argument) }
    }
    return finish(unsafe gate_call_reference(core.session, function.slot, base)) {
      (values(), false)
    }
  }

  /// Runs a line of the prompt: first as an expression, else as a statement.
  ///
  /// Its results become the globals `_` (the first) and `_1` … `_n`.
  public func evaluate(_ line: String, chunkName: String = "=stdin") -> LuaEvaluation {
    core.refusal = nil
    let status = unsafe withUTF8(line) { bytes in
      unsafe gate_evaluate(core.session, bytes.baseAddress!, bytes.count, chunkName)
    }
    var displays: [String] = []
    let outcome = finish(status) {
      displays = unsafe (0..<gate_result_count(core.session)).map { display(at: $0 + 1) }
      return (values(), true)
    }
    return LuaEvaluation(
      outcome: outcome, displays: outcome.failure == nil ? displays : [], refusal: core.refusal)
  }

  private func finish(_ status: Int32, results: () -> (values: [LuaValue], isShown: Bool))
    -> LuaOutcome
  {
    guard status != Int32(GATE_RUN_BUSY) else {
      return .failure(
        LuaError(
          message: "the session already runs", traceback: "", isIncompleteInput: false, stop: nil))
    }
    defer { unsafe gate_finish(core.session) }
    if status == Int32(GATE_RUN_OK) {
      let found = results()
      // Showing a value runs its __tostring, which may be interrupted, too.
      guard let stop = unsafe LuaStop(gate_stop_reason(core.session)), found.isShown else {
        return .values(found.values)
      }
      return .failure(
        LuaError(message: "\(stop)", traceback: "", isIncompleteInput: false, stop: stop))
    }
    var length = 0
    let message = unsafe text(gate_message(core.session, &length), length)
    let traceback = unsafe text(gate_traceback(core.session, &length), length)
    return .failure(
      LuaError(
        message: Self.advised(message), traceback: Self.trimmed(traceback),
        isIncompleteInput: status == Int32(GATE_RUN_INCOMPLETE),
        stop: unsafe LuaStop(gate_stop_reason(core.session))))
  }

  private func values() -> [LuaValue] {
    let reader = unsafe StackReader(core: core, thread: gate_main(core.session))
    return unsafe (0..<gate_result_count(core.session)).map { reader.value(at: $0 + 1) }
  }

  private func display(at slot: Int32) -> String {
    var length = 0
    let shown = unsafe gate_display(core.session, gate_main(core.session), slot, true, &length)
    return unsafe text(shown, length)
  }

  private func text(_ start: UnsafePointer<CChar>, _ length: Int) -> String {
    unsafe String(decoding: UnsafeRawBufferPointer(start: start, count: length), as: UTF8.self)
  }

  /// Lua's own message where something that holds a value was called as a method, with what to write.
  private static func advised(_ message: String) -> String {
    let mark = " value (method '"
    guard message.hasSuffix("')"), !message.contains(" a nil" + mark),
      let found = message.firstRange(of: mark)
    else { return message }
    let name = message[found.upperBound...].dropLast(2)
    return message + "; '\(name)' holds a value: write .\(name) without ()"
  }

  /// A traceback without the frames of the gate.
  private static func trimmed(_ traceback: String) -> String {
    var lines = traceback.split(separator: "\n").map(String.init)
    while let last = lines.last, last.hasPrefix("\t[C]: in ") { lines.removeLast() }
    lines.removeAll { $0.hasPrefix("\tprinter:") || $0 == "\t[C]: in function 'error'" }
    return lines.count > 1 ? lines.joined(separator: "\n") : ""
  }
}

/// What a line of the prompt came to.
public struct LuaEvaluation {
  public let outcome: LuaOutcome
  /// The text of each result as a prompt shows it: strings quoted, tables written out within
  /// limits, objects by their display.
  public let displays: [String]
  /// What a function refused last (``LuaCall/refuse(errno:message:rule:fields:)``), as text: an assignment
  /// to one name loses it.
  public let refusal: String?
}

private func withUTF8<Result>(
  _ text: String, _ body: (UnsafeBufferPointer<CChar>) -> Result
) -> Result {
  // C needs an address even for the empty text, so the terminating zero is there, and not counted.
  unsafe text.utf8CString.withUnsafeBufferPointer { bytes in
    unsafe body(UnsafeBufferPointer(start: bytes.baseAddress, count: bytes.count - 1))
  }
}

private func withCStrings<Result>(
  _ strings: [String], _ body: (UnsafeBufferPointer<UnsafePointer<CChar>>) -> Result
) -> Result {
  let memory = NativeMemory()
  let pointers = unsafe strings.map { unsafe memory.string($0) }
  return withExtendedLifetime(memory) {
    unsafe pointers.withUnsafeBufferPointer { unsafe body($0) }
  }
}

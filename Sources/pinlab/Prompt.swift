import Console
import LuaBridge
import PinLab

/// The prompt around a session.
struct Prompt {
  private let session: PinLabSession
  private let color: Bool
  private let seed: UInt64
  /// Takes the user through lessons, where there are any.
  private let tutor: Tutor?
  private let history = UndoHistory()

  /// A prompt that keeps from now on what undo goes back to.
  init(session: PinLabSession, color: Bool, seed: UInt64, tutor: Tutor?) {
    self.session = session
    self.color = color
    self.seed = seed
    self.tutor = tutor
    session.context.history = history
    session.context.writing = .anywhere
  }

  /// Talks until the user leaves.
  ///
  /// - Parameter opening: What stands below the program's name; nil for what to try first.
  func run(opening: String? = nil) {
    let transcript = Transcript(comment: "--", mark: "saved by pinlab")
    session.lua.register(library(transcript))
    session.lua.register(Self.undoLibrary(history))
    if let tutor { session.lua.register(tutor.library) }
    unsafe Stopper.current = session.interrupter
    var console = Console { input in evaluate(input, transcript) }
    console.color = color
    console.transcript = transcript
    console.history = History(path: History.defaultPath(application: "pinlab"))
    console.interruptHook = { unsafe Stopper.current?.interrupt() }
    console.idle = { history.settle() }
    console.complete = { statement, cursor in complete(statement, cursor) }
    console.runsWhole = { lines in
      // A local lives as long as its input.
      lines.split(separator: "\n").contains { $0.hasPrefix("local ") }
    }
    let name = "pinlab \(Pinlab.version) · Linux \(session.context.kernel.name) · help() · "
    console.run(
      banner: opening.map { name + "Ctrl-D leaves\n\n" + $0 }
        ?? name + (tutor == nil ? "" : "lessons() · ") + "Ctrl-D leaves\n"
        + "try: m = machine{ ram = \"4G\", cma = \"1G\" }   m:map()   m:alloc_pages(0)")
  }

  private func evaluate(_ input: String, _ transcript: Transcript) -> Evaluation {
    var hasValue = false
    let evaluation = evaluate(input, transcript, &hasValue)
    guard let tutor else { return evaluation }
    if case .failure(let message) = evaluation, let advice = tutor.advise(on: input) {
      return .failure("\(message)\n\(advice)")
    }
    guard case .done(let output) = evaluation else { return evaluation }
    let more = tutor.look(after: input, hasValue: hasValue)
    Output.flush()
    if more.isEmpty { return evaluation }
    return .done(output: output.map { "\($0)\n\(more)" } ?? more)
  }

  private func evaluate(
    _ input: String, _ transcript: Transcript, _ hasValue: inout Bool
  ) -> Evaluation {
    switch input.split(whereSeparator: \.isWhitespace).joined() {
    case "quit", "exit", "quit()", "exit()":
      // A way out that everybody tries, unless the session uses the name.
      let name = String(input.split { !$0.isLetter }[0])
      if isUndefined(name) { return .leave }
    case "help":
      return evaluate("help()", transcript, &hasValue)
    case let name where Tutor.commands.contains(name) && tutor != nil && isFunction(name):
      return evaluate("\(name)()", transcript, &hasValue)
    default: break
    }
    session.context.history?.begin(input)
    let evaluation = session.evaluate(showingLastLine(input))
    for note in session.context.history?.end() ?? [] { Output.write(note + "\n") }
    Output.flush()
    switch evaluation.outcome {
    case .failure(let error) where error.isIncompleteInput: return .incomplete
    case .failure(let error):
      return .failure(error.message + trace(error))
    case .values(let values):
      hasValue = !values.isEmpty
      if isExpression(input) { transcript.recordCurrent(as: "_ = " + input) }
      if let refusal = evaluation.refusal, values.isEmpty, let name = assignedName(input),
        isUndefined(name)
      {
        return .done(output: "\(name) is nil: \(refusal)")
      }
      return .done(output: text(values, evaluation.displays, of: input))
    }
  }

  /// Lines that run as one chunk, so that their last one shows its value, as it does when it is typed alone.
  private func showingLastLine(_ input: String) -> String {
    guard let end = input.lastIndex(of: "\n") else { return input }
    let (before, last) = (input[...end], input[input.index(after: end)...])
    // A line that begins with a sign may go on with the expression before it.
    guard let first = last.first(where: { !$0.isWhitespace }), first.isLetter || first == "_"
    else { return input }
    let shown = before + "return " + last
    // Lines that are whole without it: it may be inside of a long string.
    let areWhole = session.run(
      "local before, shown = ... return load(before) ~= nil and load(shown) ~= nil",
      chunkName: "=prompt", arguments: [String(before), String(shown)])
    return areWhole.values?.first?.boolean == true ? String(shown) : input
  }

  /// The name in `name = …`, which takes the first result and loses why it is nil.
  private func assignedName(_ input: String) -> String? {
    guard let match = input.wholeMatch(of: /\s*([A-Za-z_]\w*)\s*=[^=](?s:.*)/) else { return nil }
    return String(match.1)
  }

  private func isFunction(_ name: String) -> Bool {
    session.run(
      "return type(rawget(_G, ...)) == 'function'", chunkName: "=prompt", arguments: [name]
    )
    .values?.first?.boolean == true
  }

  private func isUndefined(_ name: String) -> Bool {
    session.run("return rawget(_G, ...) == nil", chunkName: "=prompt", arguments: [name])
      .values?.first?.boolean == true
  }

  /// The traceback, when it says more than that the input called something.
  private func trace(_ error: LuaError) -> String {
    let callers = error.traceback.split(separator: "\n").dropFirst().filter {
      !$0.hasPrefix("\t[C]:")
    }
    return callers.count > 1 ? "\n" + error.traceback : ""
  }

  /// Whether the input is an expression: in a script it needs something to be assigned to.
  private func isExpression(_ input: String) -> Bool {
    session.run("return load('return ' .. ...) ~= nil", chunkName: "=prompt", arguments: [input])
      .values?.first?.boolean == true
  }

  /// Texts of several lines, such as maps and /proc files, stand as they are; the rest as Lua
  /// would write it.
  private func text(_ values: [LuaValue], _ displays: [String], of input: String) -> String? {
    if values.isEmpty { return nil }
    if values.count == 1, case .integer(let number) = values[0], number >= 0, isNumberInHex(input) {
      return "0x" + String(number, radix: 16)
    }
    if values.count == 1, case .string(let text) = values[0], text.contains("\n") {
      return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }
    return displays.joined(separator: "  ")
  }

  /// Whether an input ends in a field that is declared as a pfn or an address, as `p.pfn` does.
  private func isNumberInHex(_ input: String) -> Bool {
    let words = input.split(whereSeparator: \.isWhitespace).joined()
    let name = words.reversed().prefix { $0.isLetter || $0 == "_" }.reversed()
    guard words.dropLast(name.count).last == "." else { return false }
    return Self.fieldsInHex.contains(String(name))
  }

  private static let fieldsInHex: Set<String> = {
    var names: Set<String> = []
    for type in MemoryLibrary.library(MemoryContext()).types {
      for property in type.properties {
        switch property.type {
        case .pfn, .address: names.insert(property.name)
        default: break
        }
      }
    }
    return names
  }()

  private func complete(_ statement: String, _ cursor: Int) -> Completions {
    // The bridge counts characters, the console bytes.
    let bytes = Array(statement.utf8)
    let head = String(decoding: bytes.prefix(cursor), as: UTF8.self)
    let found = session.lua.complete(statement, cursor: head.count)
    let start = statement.prefix(found.start).utf8.count
    if found.wantsFileNames { return Completions(start: start, isFileName: true) }
    return Completions(
      start: start,
      candidates: found.candidates.map { candidate in
        switch candidate.kind {
        case .argument where !candidate.text.contains("="): candidate.text + " = "
        default: candidate.text
        }
      },
      // A value stands between quotes.
      suffix: found.candidates.first?.kind == .value ? "\"" : nil)
  }

  private func library(_ transcript: Transcript) -> LuaLibrary {
    // The prompt, its transcript, its tutor and its session live on one thread.
    nonisolated(unsafe) let transcript = transcript
    nonisolated(unsafe) let tutor = tutor
    let seed = seed
    return LuaLibrary(
      "prompt", doc: "What only the prompt has.",
      functions: [
        LuaFunction(
          "save", .positional,
          [
            LuaParameter("file", .file, "Where to write."),
            LuaParameter(
              "force", .boolean, default: "false", "Replace a file that save did not write."),
          ],
          doc: "Writes the inputs of this session that worked as a script that runs."
        ) { call throws(LuaFailure) in
          if unsafe tutor?.hasBegun == true {
            throw LuaFailure(
              "save: a script has no lesson that makes this session's machines; save from a session without one"
            )
          }
          do throws(FileFailure) {
            try unsafe transcript.save(
              to: call.string(0),
              header: ["pinlab \(Pinlab.version), --seed \(seed)"],
              force: call.boolean(1))
            let count = unsafe transcript.inputs.count
            call.write("saved \(count) input\(count == 1 ? "" : "s") to \(call.string(0))\n")
          } catch {
            throw LuaFailure(
              "save: \(error.description); choose another name, or save(name, true)")
          }
        }
      ])
  }
}

extension Prompt {
  /// `undo()` and `redo()`: of machines, not of Lua's variables.
  fileprivate static func undoLibrary(_ history: UndoHistory) -> LuaLibrary {
    // The prompt, its history and its session live on one thread.
    nonisolated(unsafe) let history = history
    func function(
      _ name: String, _ doc: String, _ nothing: String, _ verb: String,
      _ body: @escaping @Sendable () -> String?
    ) -> LuaFunction {
      LuaFunction(name, doc: doc) { call in
        call.write((body().map { "\(verb): \($0)" } ?? nothing) + "\n")
      }
    }
    return LuaLibrary(
      "undo", doc: "Going back at the prompt.",
      functions: [
        function(
          "undo",
          """
          Takes back what the last statement that changed a machine did to it.

          Variables of Lua stay as they are. Kept are the states that fit into 256 MiB; the prompt says \
          when it drops one.
          """, "nothing to undo", "undone"
        ) { unsafe history.undo() },
        function(
          "redo", "Does again what undo took back.", "nothing to redo", "done again"
        ) { unsafe history.redo() },
      ])
  }
}

/// The session that Ctrl-C stops.
///
/// Set before the prompt starts, read by the signal handler.
enum Stopper {
  nonisolated(unsafe) static var current: LuaInterrupter?
}

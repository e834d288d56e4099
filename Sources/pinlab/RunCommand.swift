public import ArgumentParser
public import Console
import MemoryLua
import PinLab

/// `pinlab [options] [script [args]]`: the prompt, or a script.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "A model of the Linux memory manager behind a Lua prompt.",
    usage:
      "pinlab [options] [script [args]]\npinlab learn [LESSON]\npinlab scenarios [list|run ID|check]\npinlab replay FILE...\npinlab capture DIR",
    discussion: """
      Without a script, and with a terminal on standard input, pinlab shows a prompt. A pipe runs \
      as a script; so does '-'. Options are those of the standalone lua. At the prompt, help() \
      lists what there is.

      `pinlab learn` lists lessons that look whether a task is done. `pinlab scenarios` lists scripts that show what the threads argue about. `pinlab replay` \
      replays recorded kernels on the model and compares everything; `pinlab \
      capture` records this host's memory for machine{ from = "DIR" }. Each has --help.
      """,
    shouldDisplay: false)

  @Option(name: .customShort("e"), help: "Run this statement first; may be repeated.")
  var execute: [String] = []

  @Option(
    name: .customShort("l"),
    help: "Require this module into a global of its name; needs --unsafe.")
  var require: [String] = []

  @Flag(name: .customShort("i"), help: "Show the prompt after the script.")
  var interactive = false

  @Flag(name: .customShort("v"), help: "Print the version.")
  var showVersion = false

  @Flag(name: .customShort("E"), help: "Ignore LUA_INIT, which only --unsafe reads.")
  var ignoreEnvironment = false

  @Flag(name: .customShort("W"), help: "Turn warnings on.")
  var warnings = false

  @Option(help: "Where math.random starts.")
  var seed: UInt64 = 0

  @Option(help: "The kernel of machines that name none.")
  var kernel: String = Kernel.v6_12.name

  @Option(help: "Colour: auto, always or never. NO_COLOR is respected.")
  var color: ColorChoice = .auto

  @Flag(help: "Open Lua's full standard library: files, processes, modules, debug.")
  var unsafe = false

  @Option(help: "Bytes of Lua memory, for example 512M.")
  var memoryLimit: String = "1G"

  @Option(help: "Seconds that a script or an input may run.")
  var timeLimit: Double?

  @Argument(
    parsing: .captureForPassthrough,
    help: ArgumentHelp(
      "A Lua file, or - for standard input; then its arguments.", valueName: "script"))
  var script: [String] = []

  mutating func validate() throws {
    // `--` ends the options and stays in what is passed through.
    if script.first == "--" {
      script.removeFirst()
      return try validateValues()
    }
    // What is passed through is not searched for help.
    if script.first == "-h" || script.first == "--help" {
      throw CleanExit.helpRequest(RunCommand.self)
    }
    if let option = script.first, option.count > 1, option.hasPrefix("-") {
      throw ValidationError("unrecognized option '\(option)'")
    }
    try validateValues()
  }

  private func validateValues() throws {
    guard Kernel.named(kernel) != nil else {
      throw ValidationError(KernelPreset.unknown(kernel))
    }
    guard let bytes = parseSize(memoryLimit), bytes >= 1 << 20 else {
      throw ValidationError("--memory-limit \(memoryLimit): expected a size of 1M or more")
    }
    if let timeLimit, !(timeLimit >= 0.001 && timeLimit <= 1e9) {
      throw ValidationError("--time-limit \(timeLimit): expected seconds from 0.001 to 1e9")
    }
    if !require.isEmpty && !unsafe {
      throw ValidationError("-l loads modules from files, which the sandbox has not; add --unsafe")
    }
  }

  func run() throws {
    var limits = LuaLimits(memory: parseSize(memoryLimit))
    limits.time = timeLimit.map { .milliseconds(Int64($0 * 1000)) }
    let useColor = color.allowsColor(isTerminal: Terminal.isOutputInteractive)
    let context = MemoryContext(
      columns: { Terminal.isOutputInteractive ? Terminal.columns : 80 }, color: useColor,
      // What goes into a file is the same everywhere.
      unicode: !Terminal.isOutputInteractive || Terminal.showsUnicode,
      kernel: Kernel.named(kernel) ?? .v6_12)
    context.writing = unsafe ? .anywhere : .beneath(".")
    let session = PinLabSession(
      limits: limits, sandbox: !unsafe, seed: seed, context: context, output: Output.write)

    if showVersion {
      Output.write("pinlab \(Pinlab.version)  Lua 5.4  Linux \(context.kernel.release)\n")
    }
    session.run(warnings ? "warn('@on')" : "warn('@off')")
    if unsafe, !ignoreEnvironment { try runInit(session) }
    for name in require {
      try check(session.run("_G[...] = require(...)", chunkName: "=-l", arguments: [name]))
    }
    for statement in execute {
      try check(session.run(statement, chunkName: "=(command line)"))
    }
    let readsInput = script.first == "-"
    if let file = script.first {
      let source = readsInput ? try standardInput() : try read(file)
      try check(
        session.run(
          source, chunkName: readsInput ? "=stdin" : "@\(file)",
          arguments: Array(script.dropFirst())))
    }
    let isPrompt =
      interactive || (script.isEmpty && execute.isEmpty && require.isEmpty && !showVersion)
    guard isPrompt else { return Output.flush() }
    if Terminal.isInputInteractive {
      // Without its folder of lessons the program is as good a prompt.
      let lessons = (try? Lesson.load(ScriptFolder.find("lessons", nil))) ?? []
      let tutor =
        lessons.isEmpty
        ? nil : Tutor(session, lessons, LessonProgress(path: LessonProgress.defaultPath()))
      Prompt(session: session, color: useColor, seed: seed, tutor: tutor).run()
    } else if script.isEmpty {
      try check(session.run(try standardInput(), chunkName: "=stdin"))
    }
  }

  private func runInit(_ session: PinLabSession) throws {
    let name = ["LUA_INIT_5_4", "LUA_INIT"].first { Terminal.environment($0) != nil }
    guard let name, let value = Terminal.environment(name) else { return }
    if value.hasPrefix("@") {
      let file = String(value.dropFirst())
      try check(session.run(try read(file), chunkName: "@\(file)"))
    } else {
      try check(session.run(value, chunkName: "=\(name)"))
    }
  }

  private func standardInput() throws -> String {
    do {
      return String(decoding: try Terminal.readAll(), as: UTF8.self)
    } catch {
      complain("pinlab: \(error.description)")
      throw ExitCode(1)
    }
  }

  private func read(_ file: String) throws -> String {
    do {
      let bytes = try Files.read(file)
      var text = String(decoding: bytes, as: UTF8.self)
      // A first line such as #!/usr/bin/env pinlab; its newline keeps the line numbers.
      if text.hasPrefix("#") { text = String(text.drop { $0 != "\n" }) }
      let isGzip = bytes.starts(with: [0x1F, 0x8B])
      if isGzip || text.hasPrefix("{\"op\"") {
        complain("pinlab: \(file) is a recording; did you mean: pinlab replay \(file)")
        throw ExitCode(1)
      }
      return text
    } catch let failure as FileFailure {
      complain("pinlab: cannot open \(failure)")
      throw ExitCode(1)
    }
  }

  private func check(_ outcome: LuaOutcome) throws {
    Output.flush()
    guard case .failure(let error) = outcome else { return }
    complain("pinlab: \(error.message)")
    if !error.traceback.isEmpty { complain(error.traceback) }
    throw ExitCode(1)
  }

  private func parseSize(_ text: String) -> Int? {
    let digits = text.prefix { $0.isNumber }
    guard let number = Int(digits) else { return nil }
    switch text.dropFirst(digits.count).uppercased() {
    case "": return number
    case "K", "KIB", "KB": return number << 10
    case "M", "MIB", "MB": return number << 20
    case "G", "GIB", "GB": return number << 30
    default: return nil
    }
  }
}

extension ColorChoice: ExpressibleByArgument {}

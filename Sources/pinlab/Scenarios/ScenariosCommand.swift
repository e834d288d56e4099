import ArgumentParser
import Console
import MemoryLua
import PinLab

/// The subcommand `pinlab scenarios`.
struct ScenariosCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scenarios",
    abstract: "What the threads argue about, as scripts that run and check themselves.",
    discussion: """
      Scenarios are Lua files in folders below Scripts/scenarios of a checkout, or share/pinlab of an \
      installation. Each opens with the question that it answers.
      """,
    subcommands: [List.self, Run.self, Check.self, Threads.self], defaultSubcommand: List.self)

  struct Place: ParsableArguments {
    @Option(help: "The folder of scenarios, when it is not the one beside the program.")
    var path: String?

    func load() throws -> [Scenario] {
      do {
        return try ScenarioFolder.load(try ScriptFolder.find("scenarios", path))
      } catch {
        complain("pinlab scenarios: \(error)")
        throw ExitCode(1)
      }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "The scenarios, with the question that each answers.")

    @OptionGroup var place: Place

    func run() throws {
      var folder = ""
      for scenario in try place.load() {
        if scenario.folder != folder {
          Output.write((folder.isEmpty ? "" : "\n") + scenario.folder + "\n")
          folder = scenario.folder
        }
        Output.write("  \(scenario.id.padded(7))\(scenario.title)\n")
        Output.write("         \(scenario.question)\n         \(scenario.rules)\n")
      }
      Output.flush()
    }
  }

  struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Run one scenario and print what happens.")

    @OptionGroup var place: Place
    @Option(help: "The kernel of machines that name none; expectations then only tell.")
    var kernel: String?
    @Option(help: "Where math.random starts.")
    var seed: UInt64 = 0
    @Option(help: "Colour: auto, always or never. NO_COLOR is respected.")
    var color: ColorChoice = .auto
    @Argument(help: "Its number, such as S1.20, or words of its title.")
    var name: String
    @Argument(help: "What the script gets as `...`: S1.4 takes a size, such as 300G.")
    var arguments: [String] = []

    func validate() throws {
      if let kernel, Kernel.named(kernel) == nil {
        throw ValidationError(KernelPreset.unknown(kernel))
      }
    }

    func run() throws {
      let all = try place.load()
      let lower = name.lowercased()
      var found = all.filter { $0.id.lowercased() == lower }
      if found.isEmpty {
        found = all.filter {
          $0.title.lowercased().contains(lower) || $0.path.lowercased().contains(lower)
        }
      }
      guard found.count == 1 else {
        complain(
          found.isEmpty
            ? "pinlab scenarios: there is no scenario '\(name)'; pinlab scenarios lists them"
            : "pinlab scenarios: '\(name)' may be \(found.map(\.id).joined(separator: ", "))")
        throw ExitCode(1)
      }
      let context = MemoryContext(
        columns: { Terminal.isOutputInteractive ? Terminal.columns : 80 },
        color: color.allowsColor(isTerminal: Terminal.isOutputInteractive),
        kernel: kernel.flatMap { Kernel.named($0) } ?? .v6_12)
      context.isTrial = kernel != nil && context.kernel != .v6_12
      let session = PinLabSession(seed: seed, context: context, output: Output.write)
      let outcome = session.run(
        found[0].source, chunkName: "@\(found[0].path)", arguments: arguments)
      Output.flush()
      guard let error = outcome.failure else { return }
      complain("pinlab: \(error.message)")
      throw ExitCode(1)
    }
  }

  struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Run every scenario and compare it with what it expects.")

    @OptionGroup var place: Place
    @Argument(help: "Only these: numbers or folders.")
    var names: [String] = []

    func run() throws {
      var failed = 0
      let chosen = try place.load().filter {
        names.isEmpty || names.contains($0.id)
          || names.contains($0.folder)
      }
      guard !chosen.isEmpty else {
        complain("pinlab scenarios: there is none of that name; pinlab scenarios lists them")
        throw ExitCode(1)
      }
      for scenario in chosen {
        let transcript = CheckTranscript()
        let session = PinLabSession(context: MemoryContext()) { transcript.text += $0 }
        let outcome = session.run(scenario.source, chunkName: "@\(scenario.path)")
        let checks = transcript.text.split(separator: "\n").count { $0.hasPrefix("  ok  ") }
        if let error = outcome.failure {
          failed += 1
          Output.write("FAILED  \(scenario.id.padded(7))\(scenario.title)\n")
          Output.write("        \(error.message)\n")
        } else if checks == 0 {
          failed += 1
          Output.write("FAILED  \(scenario.id.padded(7))\(scenario.title)\n")
          Output.write("        it checks nothing; expect(what, got, wanted) does\n")
        } else {
          Output.write(
            "ok      \(scenario.id.padded(7))\(scenario.title): \(checks) values\n")
        }
      }
      Output.write("\(chosen.count - failed) of \(chosen.count) scenarios hold\n")
      Output.flush()
      if failed > 0 { throw ExitCode(1) }
    }
  }
}

/// What a scenario prints while it is checked.
final class CheckTranscript {
  var text = ""
}

extension String {
  func padded(_ width: Int) -> String {
    count >= width ? self : self + String(repeating: " ", count: width - count)
  }
}

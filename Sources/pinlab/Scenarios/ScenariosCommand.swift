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
        return try ScenarioFolder.load(try ScenarioFolder.find(path))
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
        let known = Kernel.presets.map(\.name).joined(separator: ", ")
        throw ValidationError("there is no kernel '\(kernel)'; known are \(known)")
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
        let transcript = Transcript()
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

extension ScenariosCommand {
  struct Threads: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "What the threads state, with the scenario that shows it, as Markdown.")

    @OptionGroup var place: Place

    private static let names = [
      "000": "The helper of 2018: get_user_pages_cma_migrate",
      "001": "The series of December 2020: no pins in ZONE_MOVABLE",
      "002": "The endless pin of June 2024: THP and the per-CPU lists",
      "003": "The patch of August 2015: out of CMA before pinning",
      "004": "The advice of October 2022: MADV_NOMOVABLE",
    ]

    func run() throws {
      let scenarios = try place.load()
      var text = """
        # What the threads state

        Written by `pinlab scenarios threads` from `Scripts/scenarios/threads.txt`; a test compares it.
        `pinlab scenarios run S1.9` runs a scenario. One that is not linked is not a script yet.

        """
      var thread = ""
      do {
        let root = try ScenarioFolder.find(place.path)
        let rows = String(decoding: try Files.read(root + "/threads.txt"), as: UTF8.self)
        for row in rows.split(separator: "\n") where !row.hasPrefix("#") {
          let cells = row.split(separator: "|").map { cell in
            String(String(cell.drop { $0 == " " }.reversed()).drop { $0 == " " }.reversed())
          }
          guard cells.count == 4 else {
            throw FileFailure(path: root + "/threads.txt", reason: "not four cells: \(row)")
          }
          if cells[0] != thread {
            thread = cells[0]
            text += "\n## \(thread) · \(Self.names[thread] ?? thread)\n\n"
            text += "| statement | rules | scenario |\n|---|---|---|\n"
          }
          let shown = cells[3].split(separator: ",").map { name in
            let id = String(name.drop { $0 == " " })
            guard let scenario = scenarios.first(where: { $0.id == id }) else { return id }
            let file = scenario.path.split(separator: "/").last.map(String.init) ?? ""
            return "[\(id)](../Scripts/scenarios/\(scenario.folder)/\(file)) \(scenario.title)"
          }
          text += "| \(cells[1]) | \(cells[2]) | \(shown.joined(separator: "<br>")) |\n"
        }
      } catch let failure as FileFailure {
        complain("pinlab scenarios: \(failure)")
        throw ExitCode(1)
      }
      Output.write(text)
      Output.flush()
    }
  }
}

/// What a scenario prints while it is checked.
private final class Transcript {
  var text = ""
}

extension String {
  fileprivate func padded(_ width: Int) -> String {
    count >= width ? self : self + String(repeating: " ", count: width - count)
  }
}

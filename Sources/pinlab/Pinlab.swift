import ArgumentParser

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

@main
struct Pinlab: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "pinlab",
    abstract: "A model of the Linux memory manager behind a Lua prompt.",
    version: "pinlab \(version)",
    subcommands: [
      RunCommand.self, LearnCommand.self, ScenariosCommand.self, ReplayCommand.self,
      CaptureCommand.self,
      ReferenceCommand.self,
    ],
    defaultSubcommand: RunCommand.self)

  /// Bad usage exits with 2, as the standalone lua and most Unix tools do.
  static func main() {
    prepareProcess()
    // The prompt is what the program is for, so its help is the program's.
    let arguments = CommandLine.arguments.dropFirst()
    if let first = arguments.first, arguments.count == 1, ["-h", "--help", "help"].contains(first) {
      return print(helpMessage(for: RunCommand.self))
    }
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      let code = exitCode(for: error)
      // Readers know the default subcommand only as pinlab itself.
      let text = fullMessage(for: error).replacing("pinlab run --help", with: "pinlab --help")
      if code == .success {
        if !text.isEmpty { print(text) }
        Glibc.exit(0)
      }
      if !text.isEmpty { complain(text) }
      Glibc.exit(code == .validationFailure ? 2 : code.rawValue)
    }
  }
}

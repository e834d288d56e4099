import ArgumentParser
import Recordings

/// The subcommand `pinlab replay FILE…`.
struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Replay recorded kernels on the model and compare everything.",
    discussion: """
      Each FILE is a recording in JSON Lines, plain or gzip. The model starts from the recording's \
      first full dump, takes only requests from it, and is compared page frame by page frame, and \
      list by list at every later dump. Exit status 0 means that everything compared agrees.
      """)

  @Flag(help: "One JSON object a file instead of text.")
  var json = false

  @Argument(help: "Recordings (.jsonl or .jsonl.gz).", completion: .file())
  var files: [String]

  func run() throws {
    var agreeing = 0
    var failed = false
    for file in files {
      do {
        let report = try ReplayFile.run(file)
        Output.write((json ? report.json : report.text) + "\n")
        if report.agrees { agreeing += 1 } else { failed = true }
      } catch {
        complain("pinlab replay: \(error.message)")
        failed = true
      }
    }
    if !json && files.count > 1 {
      Output.write("\(agreeing) of \(files.count) recordings agree\n")
    }
    Output.flush()
    if failed { throw ExitCode(1) }
  }
}

import ArgumentParser
import Recordings

/// The subcommand `pinlab replay FILE…`.
struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Replay recorded kernels on the model and compare everything.",
    discussion: """
      Each FILE is a recording in JSON Lines, plain or gzip, or a folder of them. The model starts from \
      the recording's first full dump, takes only requests from it, and is compared page frame by page \
      frame, and list by list at every later dump. A recording without such a dump is skipped. Exit \
      status 0 means that everything compared agrees.
      """)

  @Flag(help: "One JSON object a file instead of text.")
  var json = false

  @Argument(
    help: "Recordings (.jsonl or .jsonl.gz), or folders of them.", completion: .file())
  var files: [String]

  func run() throws {
    var summary = ReplaySummary()
    var isEmpty = false
    for argument in files {
      do {
        for file in try ReplayFile.recordings(at: argument) { replay(file, &summary) }
      } catch {
        complain("pinlab replay: \(error.message)")
        isEmpty = true
      }
    }
    if !json && summary.files > 1 { Output.write(summary.text + "\n") }
    Output.flush()
    if isEmpty || !summary.isGood { throw ExitCode(1) }
  }

  private func replay(_ file: String, _ summary: inout ReplaySummary) {
    do {
      let report = try ReplayFile.run(file)
      Output.write((json ? report.json : report.text) + "\n")
      summary.add(report)
    } catch  where error.isUnreplayable {
      Output.write(
        (json ? ReplayReport.json(skipped: file, error.message) : "skipped: \(error.message)")
          + "\n")
      summary.skipped += 1
    } catch {
      complain("pinlab replay: \(error.message)")
      summary.unreadable += 1
    }
    // A folder takes a while: each line is seen as it comes.
    Output.flush()
  }
}

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
      frame, and list by list at every later dump. A recording without such a dump is skipped, \
      and so is a file of a folder that is something else. Exit status 0 means that everything compared agrees.

      With --expect it means that every recording agrees to its end, but for those on a list, each of which \
      has to differ at its place: "D-gup-28 #167 why", a line a recording.
      """)

  @Flag(help: "One JSON object a file instead of text.")
  var json = false

  @Option(
    name: .customLong("expect"),
    help: ArgumentHelp(
      "The recordings that differ, where, and why.", valueName: "list"), completion: .file())
  var list: String?

  @Argument(
    help: "Recordings (.jsonl or .jsonl.gz), or folders of them.", completion: .file())
  var files: [String]

  func run() throws {
    var summary = ReplaySummary()
    var isEmpty = false
    var expected: ExpectedDifferences?
    if let list {
      do {
        expected = try ExpectedDifferences(path: list)
      } catch {
        complain("pinlab replay: \(error.message)")
        throw ExitCode(1)
      }
    }
    for argument in files {
      do {
        for file in try ReplayFile.recordings(at: argument) {
          replay(file, isNamed: file == argument, expected, &summary)
        }
      } catch {
        complain("pinlab replay: \(error.message)")
        isEmpty = true
      }
    }
    if !json && summary.files > 1 { Output.write(summary.text + "\n") }
    Output.flush()
    if isEmpty || !summary.isGood { throw ExitCode(1) }
  }

  private func replay(
    _ file: String, isNamed: Bool, _ expected: ExpectedDifferences?,
    _ summary: inout ReplaySummary
  ) {
    do {
      let report = try ReplayFile.run(file)
      let verdict = expected?.verdict(on: report)
      Output.write((json ? report.json(verdict) : report.text) + "\n")
      if !json {
        switch verdict {
        case .asExpected(let reason): Output.write("  as expected: \(reason)\n")
        case .unexpected(let text): Output.write("  NOT as expected: \(text)\n")
        case .agrees, nil: break
        }
      }
      summary.add(report, verdict)
    } catch  where error.isUnreplayable || error.isForeign && !isNamed {
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

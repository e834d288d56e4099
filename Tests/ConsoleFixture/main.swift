// A prompt around a language of a dozen words, so that the console can be tested alone.
//
// `echo TEXT`, `fail`, `spin` (until Ctrl-C), `width`, `lines N`, `save PATH`, `quit`. An open `{` is
// an unfinished statement. Anything else is shown with its line breaks as `|`.
//
// Arguments: a choice of colour, `hook` to see Ctrl-C arrive, `twice` for a second prompt.

import Console
import Glibc

func evaluate(_ input: String, _ transcript: Transcript) -> Evaluation {
  let opened = input.filter { $0 == "{" }.count
  let closed = input.filter { $0 == "}" }.count
  if opened > closed { return .incomplete }
  let words = input.split(separator: " ", maxSplits: 1)
  switch words.first {
  case "echo": return .done(output: words.count > 1 ? String(words[1]) : nil)
  case "fail": return .failure("error: as asked")
  case "quit": return .leave
  case "width": return .done(output: "width is \(Terminal.columns)")
  case "spin":
    print("spinning")
    while !Interrupt.isPending {}
    return .failure("interrupted!")
  case "lines":
    let count = words.count > 1 ? Int(words[1]) ?? 0 : 0
    return .done(output: (0..<count).map { "line \($0) of \(count)" }.joined(separator: "\n"))
  case "save":
    do throws(FileFailure) {
      try transcript.save(to: String(words[1]), header: ["seed 7"])
      return .done(output: "saved")
    } catch {
      return .failure("\(error)")
    }
  default:
    return .done(output: "= " + input.split(separator: "\n").joined(separator: "|"))
  }
}

/// Completes the word before the cursor; in quotes, a file name.
func complete(_ line: String, _ cursor: Int) -> Completions {
  let bytes = Array(line.utf8.prefix(cursor))
  if let quote = bytes.lastIndex(of: UInt8(ascii: "\"")) {
    return Completions(start: quote + 1, isFileName: true)
  }
  let start = (bytes.lastIndex { $0 == 32 || $0 == 10 || $0 == 46 }).map { $0 + 1 } ?? 0
  let typed = String(decoding: bytes[start...], as: UTF8.self)
  switch typed {
  // Answers that make no sense must not upset the prompt.
  case "bad": return Completions(start: 4000, candidates: ["bad"])
  case "cut": return Completions(start: -1, candidates: ["cut\u{1B}[2J"])
  case "slow":
    print("searching")
    while !Interrupt.isPending {}
  default: break
  }
  let words =
    ["populate(", "pageblock", "pagecount", "zürich"] + (100..<400).map { "many\($0)" }
    + (line.contains("{\n") ? ["context"] : [])
  return Completions(start: start, candidates: words.filter { $0.hasPrefix(typed) })
}

let transcript = Transcript(comment: "--", mark: "saved by fixture")
var console = Console { evaluate($0, transcript) }
console.complete = complete
console.transcript = transcript
console.name = "fixture"
console.history = History(path: History.defaultPath(application: "fixture"))
console.color =
  (CommandLine.arguments.dropFirst().first.flatMap(ColorChoice.init(rawValue:)) ?? .auto)
  .allowsColor(isTerminal: Terminal.isOutputInteractive)
console.runsWhole = { $0.hasPrefix("local ") }
if CommandLine.arguments.contains("hook") {
  console.interruptHook = {
    let message: StaticString = "hook called\n"
    _ = unsafe write(STDOUT_FILENO, message.utf8Start, message.utf8CodeUnitCount)
  }
}
console.run(banner: "fixture 1.0")
if CommandLine.arguments.contains("twice") { console.run(banner: "again") }

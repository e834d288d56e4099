// The loop of a prompt: read, evaluate, print, remember.
//
// A statement may take several lines. `pending` is the statement so far, for which the evaluator
// asked for more. `entry` is all that was typed since the primary prompt, and becomes one history
// entry. Both are empty at the primary prompt; `entry` is at least as long as `pending`.

@unsafe @preconcurrency internal import Glibc

/// A prompt around some language, of which it knows nothing but two functions.
///
/// ```swift
/// var console = Console(evaluate: session.evaluate)
/// console.complete = session.complete
/// console.run(banner: "pinlab 0.1")
/// ```
///
/// There may be one at a time, because readline and Ctrl-C belong to the process.
public struct Console {
  /// What the user's inputrc may ask for with `$if`, and what our warnings begin with.
  public var name = "pinlab"

  /// The text before a line: the first line of a statement, or one that continues it.
  public var prompt: (_ isContinuation: Bool) -> String = { $0 ? ">> " : "> " }

  /// Whether prompts and errors are coloured.
  public var color = false

  public var history = History(path: nil)

  /// Receives every input that ran without failure.
  public var transcript: Transcript?

  /// Called by Ctrl-C while an input runs; see `Interrupt` for the other way.
  public var interruptHook: Interrupt.Hook?

  /// Runs an input; after `.incomplete` it is called again with the same text and more.
  public var evaluate: (String) -> Evaluation

  /// Says how a statement, all its lines so far, may go on at a byte offset.
  public var complete: (_ statement: String, _ cursor: Int) -> Completions = { _, _ in .none }

  /// Called once a prompt is shown, for work that nobody should wait for.
  public var idle: () -> Void = {}

  /// Whether several lines that came at once, pasted or recalled, must run as one input.
  ///
  /// Otherwise they run statement by statement as if typed, so that each shows its result. A
  /// language whose declarations end with the input says true for lines that declare something.
  public var runsWhole: (String) -> Bool = { _ in false }

  private var pending = ""
  private var entry = ""

  public init(evaluate: @escaping (String) -> Evaluation) { self.evaluate = evaluate }

  /// Talks until the user leaves.
  ///
  /// Without a terminal on standard input, lines are taken as they come, with no banner, prompt or
  /// history.
  public mutating func run(banner: String? = nil) {
    Interrupt.install()
    defer { Interrupt.remove() }

    guard Terminal.isInputInteractive else {
      let reader = LineReader.pipe(PipeLines())
      converse(reader)
      return
    }
    if let failure = history.load() { warn("history is not kept: \(failure)") }
    if let banner { show(banner, on: STDOUT_FILENO) }
    let reader = LineReader.terminal(
      TerminalLines(
        name: name, entries: history.entries, limit: history.limit, color: color))
    converse(reader)
  }

  private mutating func converse(_ reader: LineReader) {
    while true {
      switch nextLine(reader) {
      case .text(let text):
        if takeIn(text) == .leave {
          remember(reader)
          return
        }
        if pending.isEmpty { remember(reader) }
      case .interrupted:
        pending = ""
        entry = ""
      case .end:
        guard !pending.isEmpty else { return }
        // On a continuation line, the way out of the statement.
        if case .pipe = reader { fail("unfinished statement at the end of the input") }
        pending = ""
        entry = ""
      }
    }
  }

  private func nextLine(_ reader: LineReader) -> Line {
    switch reader {
    case .pipe(let lines):
      return lines.next()
    case .terminal(let lines):
      return lines.next(
        prompt: prompt(!pending.isEmpty), context: pending, hook: interruptHook, idle: idle,
        complete: complete)
    }
  }

  private enum Next { case proceed, leave }

  /// Evaluates what was entered, as far as it makes whole statements.
  private mutating func takeIn(_ text: String) -> Next {
    entry = entry.isEmpty ? text : "\(entry)\n\(text)"
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let pieces = lines.count > 1 && runsWhole(entry) ? [text[...]] : lines
    for (index, piece) in pieces.enumerated() {
      if pending.isEmpty && piece.allSatisfy(\.isWhitespace) { continue }
      let input = pending.isEmpty ? String(piece) : "\(pending)\n\(piece)"
      pending = ""
      switch evaluateInterruptibly(input) {
      case .incomplete:
        pending = input
      case .done(let output):
        transcript?.add(input)
        if let output { show(output, on: STDOUT_FILENO) }
        // Ctrl-C that came too late for this statement still means the ones after it.
        if !Interrupt.isPending { break }
        return stop(before: pieces.count - index - 1)
      case .failure(let message):
        transcript?.forgetCurrent()
        fail(message)
        return stop(before: pieces.count - index - 1)
      case .leave:
        transcript?.add(input)
        return .leave
      }
    }
    return .proceed
  }

  private func evaluateInterruptibly(_ input: String) -> Evaluation {
    let result = Interrupt.during(interruptHook) { evaluate(input) }
    // What the evaluator printed through stdio comes before what we write.
    unsafe fflush(stdout)
    return result
  }

  /// Says that lines entered together with one that failed were not run.
  private func stop(before count: Int) -> Next {
    if count > 0 {
      fail(count == 1 ? "1 line after it not run" : "\(count) lines after it not run")
    }
    return .proceed
  }

  private mutating func remember(_ reader: LineReader) {
    defer { entry = "" }
    guard case .terminal(let lines) = reader else { return }
    let trimmed = entry.lastIndex { !$0.isWhitespace }.map { String(entry[...$0]) } ?? ""
    let isNew = !trimmed.isEmpty && history.entries.last != trimmed
    if let failure = history.add(trimmed) { warn("history is not kept: \(failure)") }
    if isNew { lines.remember(trimmed) }
  }

  // MARK: - Output

  /// Writes a text and ends its last line, until Ctrl-C.
  private func show(_ text: String, on descriptor: CInt) {
    guard !text.isEmpty else { return }
    let line = text.hasSuffix("\n") ? text : text + "\n"
    Terminal.write(Array(line.utf8), to: descriptor) { Interrupt.isPending }
    if Interrupt.isPending { Terminal.write([UInt8(ascii: "\n")], to: descriptor) }
  }

  private func fail(_ message: String) {
    // Ctrl-C is why there is a message, so it does not cut the message short.
    let text = color ? Style.failure(message) : message
    Terminal.write(Array("\(text)\n".utf8), to: STDERR_FILENO)
  }

  private func warn(_ message: String) { fail("\(name): \(message)") }
}

// Tab. Readline wants words; the caller of a console speaks of a byte offset in the statement.
//
// For readline the word to complete is therefore the whole line up to the cursor (no character
// breaks words), and each match is that line with its end replaced. The part before the candidate
// is cut off again where the matches are shown. What the caller says is checked here, so that no
// answer of it can take away what was typed or upset the display.

@unsafe @preconcurrency internal import CReadline
internal import Glibc

/// The Tab that is under way, for readline's callbacks, which take no context.
private struct CompletionState {
  var context = ""
  var hook: Interrupt.Hook?
  var locale: EditingLocale?
  var complete: ((String, Int) -> Completions)?
  /// Whole lines, and how many bytes of each need not be shown.
  var matches: [String] = []
  var shownFrom = 0
}

/// Touched only by the thread that runs the console, inside its calls of readline.
private nonisolated(unsafe) var state = CompletionState()

/// The connection between readline's Tab and a function of ours.
enum Completer {
  /// Candidates that ask for more, so that nothing is added behind them.
  private static let openEnds: Set<UInt8> = Set("(.:\"'{[=/".utf8)

  static func install() {
    unsafe rl_completer_word_break_characters = unsafe UnsafePointer(noWordBreaks)
    unsafe rl_attempted_completion_function = { _, _, end in
      unsafe Completer.matches(cursor: Int(end))
    }
    unsafe rl_completion_display_matches_hook = { matches, count, _ in
      unsafe Completer.show(matches, Int(count))
    }
  }

  static func begin(
    context: String, hook: Interrupt.Hook?, locale: EditingLocale,
    _ complete: @escaping (String, Int) -> Completions
  ) {
    unsafe state = CompletionState(
      context: context, hook: hook, locale: locale, complete: complete)
  }

  static func end() { unsafe state = CompletionState() }

  /// Readline's list of matches for the line up to `cursor`, nil for none.
  private static func matches(
    cursor: Int
  ) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
    // Otherwise readline would go on to offer file names.
    rl_attempted_completion_over = 1
    rl_completion_append_character = 0
    rl_completion_suppress_append = 1

    // A line that is not UTF-8 has no offsets that we could speak of.
    guard let complete = unsafe state.complete,
      let line = unsafe String(validatingCString: rl_line_buffer)
    else { return nil }
    guard let answer = ask(complete, line, cursor) else { return nil }
    unsafe state.matches = answer.isFileName ? fileNames(answer, line, cursor) : answer.candidates
    guard unsafe !state.matches.isEmpty else { return nil }

    let kept = String(decoding: line.utf8.prefix(answer.start), as: UTF8.self)
    let typed = Array(line.utf8.prefix(cursor).dropFirst(answer.start))
    unsafe state.shownFrom = answer.start + (answer.isFileName ? folderLength(typed) : 0)
    if unsafe state.matches.count == 1, let suffix = suffix(answer, line, cursor) {
      rl_completion_append_character = CInt(suffix)
      rl_completion_suppress_append = 0
    }
    unsafe state.matches = unsafe state.matches.map { kept + $0 }
    let word = String(decoding: line.utf8.prefix(cursor), as: UTF8.self)
    return unsafe rl_completion_matches(word) { _, _ in
      unsafe state.matches.isEmpty ? nil : strdup(state.matches.removeFirst())
    }
  }

  /// The caller's answer with offsets into the line alone, or nil if it makes no sense.
  private static func ask(
    _ complete: (String, Int) -> Completions, _ line: String, _ cursor: Int
  ) -> Completions? {
    let context = unsafe state.context.isEmpty ? "" : state.context + "\n"
    let offset = context.utf8.count
    // To find candidates may run code of the user, which Ctrl-C has to stop like a statement.
    rl_clear_signals()
    unsafe state.locale?.leave()
    var answer = unsafe Interrupt.during(state.hook) { complete(context + line, offset + cursor) }
    unsafe state.locale?.enter()
    rl_set_signals()
    let wasInterrupted = Interrupt.isPending
    Interrupt.clear()

    answer.start -= offset
    guard !wasInterrupted, answer.start >= 0, answer.start <= cursor,
      line.utf8.count >= cursor, isBoundary(answer.start, of: line), isBoundary(cursor, of: line)
    else { return nil }
    let typed = Array(line.utf8.prefix(cursor).dropFirst(answer.start))
    answer.candidates.removeAll { candidate in
      !candidate.utf8.starts(with: typed) || candidate.unicodeScalars.contains(where: isControl)
    }
    return answer
  }

  /// Readline's own file names for what is typed.
  private static func fileNames(_ answer: Completions, _ line: String, _ cursor: Int) -> [String] {
    let typed = String(
      decoding: line.utf8.prefix(cursor).dropFirst(answer.start), as: UTF8.self)
    var names: [String] = []
    var turn: CInt = 0
    while let found = unsafe rl_filename_completion_function(typed, turn) {
      turn = 1
      defer { unsafe free(found) }
      // A name that would need an escape, or is not text, is not offered.
      guard var name = unsafe String(validatingCString: found),
        !name.unicodeScalars.contains(where: {
          isControl($0) || "\"'\\".unicodeScalars.contains($0)
        })
      else { continue }
      if isFolder(name) && !name.hasSuffix("/") { name += "/" }
      names.append(name)
    }
    return names
  }

  /// What readline should add behind the only match.
  private static func suffix(_ answer: Completions, _ line: String, _ cursor: Int) -> UInt8? {
    guard let last = unsafe state.matches[0].utf8.last, !openEnds.contains(last) else { return nil }
    guard answer.isFileName else {
      return answer.suffix.flatMap { $0.isASCII && !isControl($0) ? UInt8($0.value) : nil }
    }
    // A name is complete: close the quote that it began with, unless that is done.
    let line = Array(line.utf8)
    guard answer.start > 0, cursor == line.count || line[cursor] != line[answer.start - 1],
      line[answer.start - 1] == UInt8(ascii: "\"") || line[answer.start - 1] == UInt8(ascii: "'")
    else { return nil }
    return line[answer.start - 1]
  }

  /// Lists the matches below the line, without what they have in common with the line.
  private static func show(
    _ matches: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ count: Int
  ) {
    guard let matches = unsafe matches else { return }
    // Readline would ask "Display all 300 possibilities?"; to show the first ones needs no answer.
    let limit = rl_completion_query_items > 0 ? Int(rl_completion_query_items) : count
    let shown = min(count, limit)
    var list = unsafe [UnsafeMutablePointer<CChar>?](unsafeUninitializedCapacity: shown + 2) {
      buffer, initialized in
      for index in 0...shown {
        let skipped = unsafe min(state.shownFrom, matches[index].map { unsafe strlen($0) } ?? 0)
        unsafe buffer[index] = unsafe matches[index].map { unsafe $0 + skipped }
      }
      unsafe buffer[shown + 1] = nil
      initialized = shown + 2
    }
    let width = unsafe list[1...shown].map { unsafe $0.map { unsafe strlen($0) } ?? 0 }.max() ?? 0
    unsafe rl_display_match_list(&list, CInt(shown), CInt(width))
    if shown < count {
      unsafe fputs("… \(count - shown) more\n", rl_outstream)
    }
    rl_forced_update_display()
  }
}

/// The empty set of characters that end a word; readline keeps the pointer.
private nonisolated(unsafe) let noWordBreaks = unsafe strdup("")!

private func isControl(_ scalar: Unicode.Scalar) -> Bool {
  scalar.value < 0x20 || scalar.value == 0x7F
}

/// Whether no character of `text` is cut in two by the byte offset.
private func isBoundary(_ offset: Int, of text: String) -> Bool {
  let index = text.utf8.index(text.utf8.startIndex, offsetBy: offset)
  return index.samePosition(in: text.unicodeScalars) != nil
}

private func folderLength(_ name: [UInt8]) -> Int {
  name.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
}

private func isFolder(_ path: String) -> Bool {
  guard let expanded = unsafe tilde_expand(path) else { return false }
  defer { unsafe free(expanded) }
  var status = stat()
  return unsafe stat(expanded, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

// Lines from a terminal, edited by GNU readline, or from a pipe.
//
// Readline is one per process and keeps its state in global variables. A `TerminalLines` borrows
// them: it saves what it changes and gives it back when it ends, and there is one at a time.
//
// We use readline's callback interface and wait for keys ourselves. Its plain interface goes on
// reading after a Ctrl-C, and the usual way out of that, a longjmp from the handler, may not cross a
// Swift frame.

@unsafe @preconcurrency internal import CReadline
internal import CReadlineSupport
@unsafe @preconcurrency internal import Glibc

/// What came of asking for a line.
enum Line {
  /// A line without its end; it has line breaks inside if it was pasted or recalled.
  case text(String)
  /// Ctrl-C: what was typed counts for nothing.
  case interrupted
  case end
}

/// Where lines come from.
enum LineReader {
  case terminal(TerminalLines)
  case pipe(PipeLines)
}

/// Lines of a standard input that nobody types into: no prompt, no editing, no history.
final class PipeLines {
  private var isAtEnd = false

  func next() -> Line {
    if isAtEnd { return .end }
    var bytes: [UInt8] = []
    var byte: UInt8 = 0
    // One byte at a time, so that what follows the line is left for a script that reads input.
    while true {
      let count = unsafe read(STDIN_FILENO, &byte, 1)
      if count == 1 {
        if byte == UInt8(ascii: "\n") { break }
        bytes.append(byte)
      } else if count == 0 || errno != EINTR {
        isAtEnd = true
        if bytes.isEmpty { return .end }
        break
      }
    }
    return .text(String(decoding: bytes, as: UTF8.self))
  }
}

/// What readline's callbacks, which take no context, have to say.
///
/// Touched only by the thread that runs the console, between its calls of readline.
private nonisolated(unsafe) var finishedLine: Line?

/// Lines that a person types.
@safe
final class TerminalLines {
  private let saved: ReadlineSettings
  private let locale: EditingLocale
  private let color: Bool

  /// Takes over readline.
  ///
  /// - Parameter name: What a user's inputrc calls us in `$if`.
  init(name: String, entries: [String], limit: Int, color: Bool) {
    saved = ReadlineSettings()
    self.color = color

    unsafe rl_readline_name = UnsafePointer(saved.name(name))
    unsafe rl_instream = stdin
    // With the output going to a file, the prompt belongs with the person.
    unsafe rl_outstream = isatty(STDOUT_FILENO) == 1 ? stdout : stderr
    rl_catch_signals = 1
    rl_catch_sigwinch = 1
    // Otherwise readline's handlers would be in place only inside its functions, and we wait
    // outside.
    rl_persistent_signal_handlers = 1
    // A process that we start must see the window as it is, not as readline last saw it.
    rl_change_environment = 0
    // A key sequence that begins with Escape waits for the rest; Escape alone is not used.
    rl_initialize()
    locale = EditingLocale()

    stifle_history(CInt(limit))
    for entry in entries { unsafe add_history(entry) }
    Completer.install()
  }

  deinit { saved.restore() }

  /// Adds an entry to what Up recalls.
  func remember(_ entry: String) { unsafe add_history(entry) }

  /// Shows `prompt` and lets the user edit a line.
  ///
  /// - Parameter context: The lines of the statement so far. Completion sees them before the line.
  /// - Parameter idle: Called once the prompt is shown.
  /// - Parameter complete: Called with Tab. It has the terminal's Ctrl-C like a statement.
  func next(
    prompt: String, context: String, hook: Interrupt.Hook?, idle: () -> Void,
    complete: @escaping (String, Int) -> Completions
  ) -> Line {
    locale.enter()
    defer { locale.leave() }
    Completer.begin(context: context, hook: hook, locale: locale, complete)
    defer { Completer.end() }

    unsafe finishedLine = nil
    Interrupt.clear()
    unsafe fflush(stdout)
    // The window may have been resized while no one listened.
    rl_reset_screen_size()
    unsafe rl_callback_handler_install(painted(prompt)) { text in
      // Without this, readline would show the prompt again at once.
      rl_callback_handler_remove()
      guard let text = unsafe text else {
        unsafe finishedLine = .end
        return
      }
      unsafe finishedLine = .text(String(cString: text))
      unsafe free(text)
    }
    _ = console_take_continued()
    idle()
    while true {
      // After a stop, the shell has drawn over our line. Readline may have dealt with the stop while
      // it dealt with a key, so it is the return that we look out for.
      if console_take_continued() { rl_forced_update_display() }
      guard waitForKey() else {
        if rl_pending_signal() == SIGINT { moveToEnd() }
        rl_check_signals()
        if Interrupt.isPending { return abandon() }
        continue
      }
      rl_callback_read_char()
      if let line = unsafe finishedLine {
        if case .end = line, !hasEndedLine { endLine() }
        return line
      }
      if Interrupt.isPending { return abandon() }
    }
  }

  /// The prompt in colour, with the colour marked as taking no room.
  private func painted(_ prompt: String) -> String {
    guard color, !prompt.isEmpty else { return prompt }
    // RL_PROMPT_START_IGNORE and RL_PROMPT_END_IGNORE.
    return "\u{01}\(Style.prompt.rawValue)\u{02}\(prompt)\u{01}\(Style.reset)\u{02}"
  }

  /// Waits until there is a key to read or a signal to look after.
  ///
  /// Signals are let in only while we sleep. If they came between looking and sleeping, Ctrl-C would
  /// do nothing until the next key.
  ///
  /// - Returns: Whether there is a key.
  private func waitForKey() -> Bool {
    var blocked = sigset_t()
    var usual = sigset_t()
    unsafe sigemptyset(&blocked)
    for signal in [
      SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGCONT,
    ] {
      unsafe sigaddset(&blocked, signal)
    }
    unsafe pthread_sigmask(SIG_BLOCK, &blocked, &usual)
    defer { unsafe pthread_sigmask(SIG_SETMASK, &usual, nil) }
    guard rl_pending_signal() == 0, !Interrupt.isPending, !console_has_continued() else {
      return false
    }
    return unsafe console_wait_for_input(STDIN_FILENO, &usual)
  }

  /// Puts the cursor behind all that was typed, so that what comes next does not write over it.
  private func moveToEnd() {
    rl_point = rl_end
    rl_redisplay()
  }

  private func abandon() -> Line {
    Interrupt.clear()
    rl_free_line_state()
    unsafe rl_replace_line("", 0)
    rl_callback_handler_remove()
    endLine()
    return .interrupted
  }

  /// Whether readline has gone to a new line itself at the end of input.
  ///
  /// It does so from 8.1 on, but only where it also has to tell the terminal that pastes are no
  /// longer to be marked; on a dumb terminal it turns that setting off.
  private var hasEndedLine: Bool {
    guard rl_readline_version >= 0x0801,
      let setting = unsafe rl_variable_value("enable-bracketed-paste")
    else { return false }
    return unsafe String(cString: setting) == "on"
  }

  private func endLine() {
    unsafe fputs("\n", rl_outstream)
    unsafe fflush(rl_outstream)
  }
}

/// What readline was like before, so that a program that uses it too finds it so again.
///
/// Key bindings from the user's inputrc stay: readline reads it once per process and cannot forget.
@safe
private struct ReadlineSettings {
  private let readlineName = unsafe rl_readline_name
  // Nil until readline is first used, and then never again: it fills them in only once.
  private let input = unsafe rl_instream ?? stdin
  private let output = unsafe rl_outstream ?? stdout
  private let catchesSignals = rl_catch_signals
  private let catchesResize = rl_catch_sigwinch
  private let persistentHandlers = rl_persistent_signal_handlers
  private let changesEnvironment = rl_change_environment
  private let completion = unsafe rl_attempted_completion_function
  private let display = unsafe rl_completion_display_matches_hook
  private let wordBreaks = unsafe rl_completer_word_break_characters
  private let history = unsafe history_get_history_state()
  private let isStifled = history_is_stifled() != 0
  private let limit = history_max_entries
  private let ownName: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

  init() {
    unsafe ownName = .allocate(capacity: 1)
    unsafe ownName.initialize(to: nil)
    var empty = unsafe HISTORY_STATE()
    unsafe history_set_history_state(&empty)
  }

  /// A copy of `name` that lives as long as readline may look at it.
  func name(_ name: String) -> UnsafeMutablePointer<CChar>? {
    unsafe ownName.pointee = strdup(name)
    return unsafe ownName.pointee
  }

  func restore() {
    unsafe rl_readline_name = unsafe readlineName
    unsafe rl_instream = unsafe input
    unsafe rl_outstream = unsafe output
    rl_catch_signals = catchesSignals
    rl_catch_sigwinch = catchesResize
    rl_persistent_signal_handlers = persistentHandlers
    rl_change_environment = changesEnvironment
    unsafe rl_attempted_completion_function = unsafe completion
    unsafe rl_completion_display_matches_hook = unsafe display
    unsafe rl_completer_word_break_characters = unsafe wordBreaks

    clear_history()
    unstifle_history()
    if isStifled { stifle_history(limit) }
    if let history = unsafe history {
      unsafe history_set_history_state(history)
      unsafe free(history)
    }
    unsafe free(ownName.pointee)
    unsafe ownName.deallocate()
  }
}

/// The locale in which readline tells characters from bytes.
///
/// Readline needs the user's. Scripts must not have it: it changes what C's `isalpha` and `toupper`
/// say, and with them what a script prints. So it is in force only while a line is edited.
struct EditingLocale {
  private let usual: String
  private let editing: String

  /// To be created after `rl_initialize()`, which sets the user's locale.
  init() {
    let fromEnvironment = unsafe setlocale(LC_CTYPE, nil).map { unsafe String(cString: $0) }
    // Without any setting, as in containers, a terminal still shows UTF-8.
    let isUnset = ["LC_ALL", "LC_CTYPE", "LANG"].allSatisfy {
      Terminal.environment($0)?.isEmpty ?? true
    }
    usual = "C"
    editing = isUnset ? "C.UTF-8" : fromEnvironment ?? "C"
    if isUnset {
      unsafe rl_variable_bind("input-meta", "on")
      unsafe rl_variable_bind("output-meta", "on")
      unsafe rl_variable_bind("convert-meta", "off")
    }
    leave()
  }

  func enter() { unsafe setlocale(LC_CTYPE, editing) }

  func leave() { unsafe setlocale(LC_CTYPE, usual) }
}

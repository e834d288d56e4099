// A program in a terminal of its own, as a person would have it: keys go in, a screen comes out.
//
// Nothing here sleeps for a time in which the program is hoped to be ready. Every wait is for a
// condition on what was shown, wakes with each byte, and fails at its deadline with the screen.

@unsafe @preconcurrency internal import Glibc

/// A wait that came to its deadline, or a program that could not be started.
public struct TerminalError: Error, CustomStringConvertible {
  public var description: String
}

/// A child process whose standard input, output and error are a terminal.
public final class PseudoTerminal {
  /// How a process ended.
  public enum Exit: Equatable, Sendable {
    case status(Int)
    case signal(Int)
  }

  /// What a person would see now.
  public private(set) var screen: Screen

  /// All text so far in the order it was shown, without escape sequences.
  public var text: String { String(decoding: textBytes, as: UTF8.self) }

  /// All bytes so far.
  public private(set) var bytes: [UInt8] = []

  /// What must live as long as the program, such as the folder that is its home.
  public var kept: [AnyObject] = []

  private var main: CInt
  private var textBytes: [UInt8] = []
  private var child: pid_t = 0
  private var exit: Exit?
  private var plain = PlainText()
  /// How many bytes of `text` earlier waits have seen.
  private var seen = 0

  /// Starts a program.
  ///
  /// - Parameter environment: All of it; nothing is inherited. `TERM` is `xterm` unless given.
  public init(
    _ program: String, _ arguments: [String] = [], environment: [String: String] = [:],
    columns: Int = 80, rows: Int = 24
  ) throws(TerminalError) {
    screen = Screen(columns: columns, rows: rows)
    // What posix_openpt(), unlockpt() and ptsname() do, which are not visible from Swift. Closed on
    // exec from the start: a program that another test starts now must not hold our terminal open.
    main = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    var number: CUnsignedInt = 0
    var isLocked: CInt = 0
    let getNumber: UInt = 0x8004_5430  // TIOCGPTN
    let setLock: UInt = 0x4004_5431  // TIOCSPTLCK
    guard main >= 0, unsafe ioctl(main, setLock, &isLocked) == 0,
      unsafe ioctl(main, getNumber, &number) == 0
    else { throw TerminalError(description: "no pseudo-terminal: errno \(errno)") }
    let terminal = "/dev/pts/\(number)"
    setSize(columns, rows)

    // The leader of a new session gets the first terminal that it opens as its own.
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, terminal, O_RDWR, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, 0, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, 0, 2)
    // A test runner may ignore or block signals, and children inherit that.
    var attributes = posix_spawnattr_t()
    var signals = sigset_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    unsafe sigfillset(&signals)
    unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    let newSession: CInt = 0x80  // POSIX_SPAWN_SETSID
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(newSession | CInt(POSIX_SPAWN_SETSIGDEF) | CInt(POSIX_SPAWN_SETSIGMASK)))

    let variables = environment.merging(["TERM": "xterm"]) { given, _ in given }
    var argumentList = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    var variableList = unsafe variables.map { unsafe strdup("\($0)=\($1)") } + [nil]
    defer {
      unsafe argumentList.forEach { unsafe free($0) }
      unsafe variableList.forEach { unsafe free($0) }
    }
    let code = unsafe posix_spawn(
      &child, program, &actions, &attributes, &argumentList, &variableList)
    if code != 0 {
      throw TerminalError(
        description: unsafe "cannot start \(program): \(String(cString: strerror(code)))")
    }
  }

  deinit {
    if exit == nil && child > 0 {
      kill(child, SIGKILL)
      var status: CInt = 0
      unsafe waitpid(child, &status, 0)
    }
    if main >= 0 { close(main) }
  }

  // MARK: - Keys

  /// Types `keys` as they are; Return is `\r`.
  public func send(_ keys: String) {
    var rest = Array(keys.utf8)[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe write(main, $0.baseAddress, $0.count) }
      guard count > 0 || errno == EINTR else { return }
      rest = rest.dropFirst(max(count, 0))
    }
  }

  /// Types `keys` and Return.
  public func enter(_ keys: String) { send(keys + "\r") }

  /// Pastes, as a terminal does for programs that asked to be told.
  public func paste(_ text: String) {
    send("\u{1B}[200~" + text.split(separator: "\n").joined(separator: "\r") + "\u{1B}[201~")
  }

  /// Changes the size of the window; the program is told.
  public func resize(columns: Int, rows: Int) {
    screen = Screen(columns: columns, rows: rows)
    setSize(columns, rows)
  }

  private func setSize(_ columns: Int, _ rows: Int) {
    var size = winsize(
      ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
    _ = unsafe ioctl(main, UInt(TIOCSWINSZ), &size)
  }

  // MARK: - Waiting

  /// Waits until `expected` is shown after what earlier waits have seen.
  ///
  /// - Returns: The text from there up to and with `expected`.
  @discardableResult
  public func wait(
    for expected: String, seconds: Double = 20
  ) throws(TerminalError) -> String {
    let wanted = Array(expected.utf8)
    let start = seen
    var searched = seen
    try wait(until: "“\(expected)”", seconds: seconds) { terminal in
      if let end = terminal.textBytes[searched...].firstEnd(of: wanted) {
        terminal.seen = end
        return true
      }
      // The next bytes may complete an occurrence that has begun.
      searched = max(searched, terminal.textBytes.count - wanted.count + 1)
      return false
    }
    return String(decoding: textBytes[start..<seen], as: UTF8.self)
  }

  /// Waits until the screen is as `condition` says.
  ///
  /// What was shown until then counts as seen.
  public func waitForScreen(
    _ what: String, seconds: Double = 20, _ condition: (Screen) -> Bool
  ) throws(TerminalError) {
    try wait(until: what, seconds: seconds) { condition($0.screen) }
    seen = textBytes.count
  }

  /// Waits until anything more is shown.
  public func waitForMore(seconds: Double = 20) throws(TerminalError) {
    let count = bytes.count
    try wait(until: "anything", seconds: seconds) { $0.bytes.count > count }
  }

  /// Takes the terminal away, as closing its window does.
  public func hangUp() {
    close(main)
    main = -1
  }

  /// Waits until the program has ended, and everything that it showed is here.
  public func waitForExit(seconds: Double = 20) throws(TerminalError) -> Exit {
    let deadline = Deadline(seconds)
    while receive(deadline) {}
    while exit == nil {
      var status: CInt = 0
      if unsafe waitpid(child, &status, WNOHANG) == child {
        exit = status & 0x7F == 0 ? .status(Int(status >> 8 & 0xFF)) : .signal(Int(status & 0x7F))
      } else if deadline.hasPassed {
        throw failure("the program to end", seconds)
      } else {
        // The terminal is closed already, so this is the moment between that and the exit.
        usleep(1000)
      }
    }
    return exit!
  }

  private func wait(
    until what: String, seconds: Double, _ condition: (PseudoTerminal) -> Bool
  ) throws(TerminalError) {
    let deadline = Deadline(seconds)
    while !condition(self) {
      guard receive(deadline) else { throw failure(what, seconds) }
    }
  }

  /// Takes in what comes next.
  ///
  /// - Returns: False at the deadline, or when the program has closed the terminal.
  private func receive(_ deadline: Deadline) -> Bool {
    // poll() would wait for a closed one.
    guard main >= 0 else { return false }
    var request = pollfd(fd: main, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&request, 1, deadline.milliseconds) > 0 else { return false }
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = unsafe read(main, &buffer, buffer.count)
    // EIO is how Linux says that nobody has the other side open.
    guard count > 0 else { return false }
    bytes += buffer[..<count]
    textBytes += plain.take(buffer[..<count]).utf8
    screen.show(buffer[..<count])
    return true
  }

  private func failure(_ what: String, _ seconds: Double) -> TerminalError {
    TerminalError(
      description: """
        waited \(seconds) s in vain for \(what); the screen is
        \(screen.lines.map { "  |\($0)" }.joined(separator: "\n"))
        """)
  }
}

/// The path of a program of this package, beside the test runner.
public func builtProgram(_ name: String) -> String {
  var path = [CChar](repeating: 0, count: Int(PATH_MAX))
  let count = unsafe readlink("/proc/self/exe", &path, path.count)
  let runner = String(decoding: path[..<max(count, 0)].map(UInt8.init(bitPattern:)), as: UTF8.self)
  return runner.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/\(name)"
}

private struct Deadline {
  private let end: ContinuousClock.Instant

  init(_ seconds: Double) { end = .now + .seconds(seconds) }

  var hasPassed: Bool { .now >= end }

  var milliseconds: CInt {
    let left = ContinuousClock.now.duration(to: end) / .milliseconds(1)
    return CInt(max(0, left.rounded(.up)))
  }
}

extension ArraySlice<UInt8> {
  /// The index behind the first occurrence of `part`.
  fileprivate func firstEnd(of part: [UInt8]) -> Int? {
    guard count >= part.count else { return nil }
    for start in startIndex...(endIndex - part.count)
    where self[start] == part.first && self[start...].starts(with: part) {
      return start + part.count
    }
    return nil
  }
}

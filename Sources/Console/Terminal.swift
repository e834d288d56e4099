// The descriptors that a prompt speaks through. Nothing here remembers anything: the width is asked
// for each time, because windows are resized at any moment.

internal import Glibc

/// Questions to the terminal, and reading and writing that is not disturbed by signals.
public enum Terminal {
  /// Whether a person types the input.
  public static var isInputInteractive: Bool { isatty(STDIN_FILENO) == 1 }

  /// Whether the locale has more than ASCII: one that is not set, or says UTF-8.
  public static var showsUnicode: Bool {
    for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
      guard let locale = environment(name)?.lowercased(), !locale.isEmpty else { continue }
      return locale.contains("utf-8") || locale.contains("utf8")
    }
    return true
  }

  /// Whether the output is seen by a person rather than by a program.
  public static var isOutputInteractive: Bool { isatty(STDOUT_FILENO) == 1 }

  /// The width of the window in characters.
  ///
  /// Asked of the terminal on standard output; without one, `COLUMNS` from the environment; without
  /// that, 80.
  public static var columns: Int {
    var size = winsize()
    let isKnown = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0
    if isKnown && size.ws_col > 0 { return Int(size.ws_col) }
    guard let columns = environment("COLUMNS").flatMap({ Int($0) }), columns > 0 else { return 80 }
    return columns
  }

  /// A variable of the environment, or nil if it is not set.
  public static func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }

  /// Everything that can be read from `descriptor`, as bytes, because a script need not be UTF-8.
  ///
  /// This is how a program reads its script when standard input is not a terminal.
  public static func readAll(_ descriptor: CInt = 0) throws(FileFailure) -> [UInt8] {
    var bytes: [UInt8] = []
    // One read of a pipe yields at most this much.
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe read(descriptor, &buffer, buffer.count)
      if count > 0 {
        bytes.append(contentsOf: buffer[..<count])
      } else if count == 0 {
        return bytes
      } else if errno != EINTR {
        throw FileFailure(path: "input")
      }
    }
  }

  /// Writes all of `bytes`, however many calls it takes.
  ///
  /// - Parameter isCancelled: Asked before each call; output ends early when it says true.
  /// - Returns: Nil, or the `errno` of the call that failed.
  @discardableResult
  static func write(
    _ bytes: [UInt8], to descriptor: CInt, unless isCancelled: () -> Bool = { false }
  ) -> CInt? {
    var rest = bytes[...]
    while !rest.isEmpty && !isCancelled() {
      // A terminal takes 4096 bytes at a time; more per call would only delay Ctrl-C.
      let piece = rest.prefix(4096)
      let count = unsafe piece.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      if count >= 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        // Another program sharing the terminal made it non-blocking.
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        unsafe poll(&request, 1, -1)
      } else if errno != EINTR {
        return errno
      }
    }
    return nil
  }
}

// The statements of earlier sessions, in a file that several sessions may write at once.
//
// The file holds one entry a line, the oldest first. A line break inside an entry is written `\n`
// and a backslash `\\`, so an entry of many lines is still one line, and grep finds it. Entries are
// appended under a lock, each with one open: sessions interleave by entry and none overwrites
// another. When the file has grown to twice the limit it is replaced by its newer half; a writer
// that waited for the lock of the replaced file notices and opens the new one.
//
// History is a comfort. No failure here stops a session: the first is reported, then the history
// lives in memory only.

internal import Glibc

/// The inputs that Up recalls, kept from session to session.
public struct History {
  /// Where the entries are kept, or nil to keep them in memory.
  public private(set) var path: String?

  /// How many entries are offered and kept.
  public let limit: Int

  /// The entries, the oldest first; never the same twice in a row.
  public private(set) var entries: [String] = []

  /// Opens no file yet; see `load()`.
  ///
  /// - Parameter path: Usually `defaultPath(application:)`.
  public init(path: String?, limit: Int = 1000) {
    precondition(limit > 0, "a history needs room for an entry")
    self.path = path
    self.limit = limit
  }

  /// `$XDG_STATE_HOME/application/history`, by default below `~/.local/state`.
  ///
  /// - Returns: Nil if neither `XDG_STATE_HOME` nor `HOME` is an absolute path.
  public static func defaultPath(
    application: String, environment: (String) -> String? = Terminal.environment
  ) -> String? {
    // The base directory specification says that a relative path is to be ignored.
    if let state = environment("XDG_STATE_HOME"), state.hasPrefix("/") {
      return "\(state)/\(application)/history"
    }
    guard let home = environment("HOME"), home.hasPrefix("/") else { return nil }
    return "\(home)/.local/state/\(application)/history"
  }

  /// Reads the file, and makes sure that it can be written, creating it and its folders if need be.
  ///
  /// - Returns: Why the history will not be kept, if so.
  public mutating func load() -> FileFailure? {
    guard let path else { return nil }
    do throws(FileFailure) {
      try createFolders(above: path)
      let lines = try locked(path) { file throws(FileFailure) in
        let lines = try Self.lines(of: file)
        if lines.count > 2 * limit { try Self.replace(path, by: lines.suffix(limit)) }
        return lines.suffix(limit)
      }
      entries = []
      for line in lines { remember(Self.decode(line)) }
      return nil
    } catch {
      self.path = nil
      return error
    }
  }

  /// Adds an entry, unless it is blank or the same as the one before.
  ///
  /// - Returns: Why the entry and those to come are not kept, if so.
  public mutating func add(_ entry: String) -> FileFailure? {
    guard !entry.allSatisfy(\.isWhitespace), remember(entry), let path else { return nil }
    do throws(FileFailure) {
      try locked(path) { file throws(FileFailure) in
        var bytes = Array(Self.encode(entry).utf8) + [newline]
        if try Self.isTorn(file, path) { bytes.insert(newline, at: 0) }
        if let code = Terminal.write(bytes, to: file) {
          throw FileFailure(path: path, reason: unsafe String(cString: strerror(code)))
        }
      }
      return nil
    } catch {
      self.path = nil
      return error
    }
  }

  /// - Returns: Whether the entry is a new one.
  @discardableResult
  private mutating func remember(_ entry: String) -> Bool {
    guard entry != entries.last else { return false }
    entries.append(entry)
    if entries.count > limit { entries.removeFirst() }
    return true
  }
}

// MARK: - Lines

private let newline = UInt8(ascii: "\n")

extension History {
  static func encode(_ entry: String) -> String {
    var line = ""
    for scalar in entry.unicodeScalars {
      switch scalar {
      case "\\": line += "\\\\"
      case "\n": line += "\\n"
      case "\r": line += "\\r"
      default: line.unicodeScalars.append(scalar)
      }
    }
    return line
  }

  /// The entry behind a line; a backslash that begins no escape of ours stands for itself.
  static func decode(_ line: some StringProtocol) -> String {
    var entry = ""
    var rest = line.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "\\", let next = rest.first else {
        entry.unicodeScalars.append(scalar)
        continue
      }
      switch next {
      case "\\": entry += "\\"
      case "n": entry += "\n"
      case "r": entry += "\r"
      default: entry.unicodeScalars.append(contentsOf: [scalar, next])
      }
      rest.removeFirst()
    }
    return entry
  }

  private static func lines(of file: CInt) throws(FileFailure) -> [String] {
    try Terminal.readAll(file).split(separator: newline).map { String(decoding: $0, as: UTF8.self) }
  }

  private static func replace(
    _ path: String, by lines: ArraySlice<String>
  ) throws(FileFailure) {
    let bytes = lines.flatMap { Array($0.utf8) + [newline] }
    try replaceFile(at: path, with: bytes, mode: 0o600)
  }

  /// Whether the last line has no end, because its writer was killed.
  private static func isTorn(_ file: CInt, _ path: String) throws(FileFailure) -> Bool {
    let size = lseek(file, 0, SEEK_END)
    if size < 0 { throw FileFailure(path: path) }
    guard size > 0 else { return false }
    var last: UInt8 = 0
    return unsafe pread(file, &last, 1, size - 1) == 1 && last != newline
  }
}

// MARK: - Files

/// Calls `body` with the file open for reading and appending, while no other session has it.
private func locked<Result>(
  _ path: String, _ body: (CInt) throws(FileFailure) -> Result
) throws(FileFailure) -> Result {
  while true {
    let file = try OpenFile(path, O_RDWR | O_APPEND | O_CREAT, mode: 0o600)
    while flock(file.descriptor, LOCK_EX) != 0 {
      // A file system without locks: interleaving by entry still holds, since appends are atomic.
      if errno != EINTR { break }
    }
    var opened = stat()
    var named = stat()
    let isOpen = unsafe fstat(file.descriptor, &opened) == 0
    let isNamed = unsafe stat(path, &named) == 0
    guard isOpen && isNamed else { throw FileFailure(path: path) }
    // Replaced by another session while we waited for the lock: what we hold has no name any more.
    if opened.st_ino == named.st_ino && opened.st_dev == named.st_dev {
      return try body(file.descriptor)
    }
  }
}

/// Creates the missing folders on the way to a file, for the user alone, as the base directory
/// specification asks.
package func createFolders(above path: String) throws(FileFailure) {
  for index in path.indices.dropFirst() where path[index] == "/" {
    let folder = String(path[..<index])
    if unsafe mkdir(folder, 0o700) == 0 || errno == EEXIST || errno == EISDIR { continue }
    // A parent that we may not write but that is there is fine; the open that follows decides.
    if unsafe access(folder, F_OK) != 0 { throw FileFailure(path: folder) }
  }
}

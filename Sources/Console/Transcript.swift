// The session as a script: what was typed and worked, in order.
//
// The file begins with a line that only we write. It is how a later save knows that it may replace
// the file: a script that the user wrote by hand is never lost to a slip of the fingers.

internal import Glibc

/// The inputs of a session that ran without failure.
///
/// A reference, because two sides share it: the console adds the inputs, and the language of the
/// prompt offers the user a function that calls `save`.
public final class Transcript {
  /// The inputs, the oldest first; one may have several lines.
  public private(set) var inputs: [String] = []

  private let comment: String
  private let mark: String
  private var replacement: String??

  /// - Parameter comment: What begins a comment in the language, such as `--`.
  /// - Parameter mark: What the first line of a saved script says, such as `saved by pinlab`.
  public init(comment: String, mark: String) {
    self.comment = comment
    self.mark = "\(comment) \(mark)"
  }

  /// Keeps `text` for the input that is being evaluated instead of the input itself, nil for nothing.
  ///
  /// An input need not be a statement of a script: an expression is shown at the prompt, but a
  /// script that contains it does not compile. The evaluator knows, and gives the words.
  public func recordCurrent(as text: String?) { replacement = .some(text) }

  /// Adds an input that ran.
  func add(_ input: String) {
    if let text = replacement ?? input { inputs.append(text) }
    replacement = nil
  }

  /// Drops what was said of an input that failed.
  func forgetCurrent() { replacement = nil }

  /// The session as the text of a script.
  ///
  /// - Parameter header: Lines to put before it as comments: version, seed, whatever makes it
  ///   repeatable.
  public func script(header: [String] = []) -> String {
    var lines = [mark]
    for line in header.flatMap({ $0.split(separator: "\n") }) { lines.append("\(comment) \(line)") }
    return (lines + [""] + inputs).joined(separator: "\n") + "\n"
  }

  /// Writes the session to a file, whole or not at all.
  ///
  /// A file that exists is replaced only if an earlier `save` wrote it, or if `force` is given. The
  /// input that called this is left out of the record: run again, the script should not save itself.
  ///
  /// - Throws: A `FileFailure` if the file may not be replaced or cannot be written. It is then as
  ///   it was before.
  public func save(
    to path: String, header: [String] = [], force: Bool = false
  ) throws(FileFailure) {
    recordCurrent(as: nil)
    var status = stat()
    let exists = unsafe stat(path, &status) == 0
    if exists {
      guard status.st_mode & S_IFMT == S_IFREG else {
        throw FileFailure(path: path, reason: "Not a regular file")
      }
      // `||` does not carry the type of a throw.
      let mayReplace = if force { true } else { try isOurs(path) }
      guard mayReplace else {
        throw FileFailure(path: path, reason: "File exists and is not a saved session")
      }
    }
    let mode = exists ? status.st_mode & 0o777 : 0o666
    try replaceFile(at: path, with: Array(script(header: header).utf8), mode: mode)
  }

  private func isOurs(_ path: String) throws(FileFailure) -> Bool {
    let file = try OpenFile(path, O_RDONLY)
    var start = [UInt8](repeating: 0, count: mark.utf8.count + 1)
    let count = unsafe read(file.descriptor, &start, start.count)
    return count == start.count && start.elementsEqual("\(mark)\n".utf8)
  }
}

// Files for one test.

@unsafe @preconcurrency internal import Glibc

/// A folder for one test, gone when the test is.
public final class TemporaryFolder {
  public let path: String

  public init() throws(TerminalError) {
    var template = Array("/tmp/terminal-testing-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else {
      throw TerminalError(description: "no temporary folder: errno \(errno)")
    }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit {
    Self.remove(path)
  }

  /// Creates a file with this text, or replaces it.
  public func write(_ text: String, to name: String) {
    let file = unsafe fopen("\(path)/\(name)", "w")!
    unsafe fputs(text, file)
    unsafe fclose(file)
  }

  /// The text of a file, nil if there is none.
  public func read(_ name: String) -> String? {
    guard let file = unsafe fopen("\(path)/\(name)", "r") else { return nil }
    defer { unsafe fclose(file) }
    var text = ""
    while let line = unsafe readLine(from: file) { text += line }
    return text
  }

  /// The permissions of a file, nil if there is none.
  public func mode(_ name: String) -> Int? {
    var status = stat()
    return unsafe stat("\(path)/\(name)", &status) == 0 ? Int(status.st_mode & 0o777) : nil
  }

  private func readLine(from file: UnsafeMutablePointer<FILE>) -> String? {
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { unsafe free(line) }
    guard unsafe getline(&line, &capacity, file) >= 0, let line = unsafe line else { return nil }
    return unsafe String(cString: line)
  }

  private static func remove(_ path: String) {
    // A link to a folder is a file here: unlink() removes it, and what it points to stays.
    if unsafe unlink(path) == 0 { return }
    guard let folder = unsafe opendir(path) else { return }
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
      }
      if name != "." && name != ".." { remove("\(path)/\(name)") }
    }
    unsafe closedir(folder)
    unsafe rmdir(path)
  }
}

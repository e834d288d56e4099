// Invariant: until `finish` returns, the file under the final name is the old one, or none.

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// A file that takes the place of another in one step, when it is whole.
final class OutputFile {
  private let target: String
  private let temporary: String
  private let shown: String
  private var descriptor: CInt
  private var isFinished = false
  private(set) var count = 0

  /// - Parameter target: Where it goes, see ``resolve(_:)``.
  /// - Parameter shown: How messages name it.
  init(_ target: String, shownAs shown: String) throws(RecordingError) {
    self.target = target
    self.shown = shown
    let slash = target.lastIndex(of: "/").map { target.index(after: $0) } ?? target.startIndex
    var number = 0
    var name = ""
    repeat {
      name = "\(target[..<slash]).\(target[slash...]).\(getpid()).\(number).tmp"
      descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
      number += 1
      // Names that are taken: another thread's, or left over by a process that had our id.
    } while descriptor < 0 && errno == EEXIST && number < 100
    temporary = name
    guard descriptor >= 0 else { throw failure() }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    if !isFinished { unsafe unlink(temporary) }
  }

  private func failure() -> RecordingError { RecordingError("\(shown): \(HostFile.reason(errno))") }

  func write(_ bytes: [UInt8]) throws(RecordingError) {
    var done = 0
    while done < bytes.count {
      let wrote = unsafe bytes.withUnsafeBytes { buffer in
        unsafe writeBytes(descriptor, buffer.baseAddress! + done, bytes.count - done)
      }
      if wrote < 0, errno == EINTR { continue }
      guard wrote > 0 else { throw failure() }
      done += wrote
    }
    count += bytes.count
  }

  /// Puts the file in its place.
  ///
  /// - Returns: Its size.
  func finish() throws(RecordingError) -> Int {
    guard fsync(descriptor) == 0 else { throw failure() }
    guard unsafe rename(temporary, target) == 0 else { throw failure() }
    isFinished = true
    // The name itself is only on the disk when its folder is.
    let folder = target.lastIndex(of: "/").map { String(target[...$0]) } ?? "."
    let directory = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
    return count
  }

  /// The file behind any symbolic links, or `path` itself if there is none yet.
  static func resolve(_ path: String) -> String {
    guard let resolved = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }

  static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
}

// Inside OutputFile the name of the system call is that of its own function.
private func writeBytes(_ file: CInt, _ buffer: UnsafeRawPointer, _ count: Int) -> Int {
  unsafe write(file, buffer, count)
}

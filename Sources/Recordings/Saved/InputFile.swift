#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// A regular file, read from its beginning.
struct InputFile: ~Copyable {
  private let descriptor: CInt
  private let size: Int

  static var cutOff: RecordingError { RecordingError("cut off: the file ends early") }

  init(_ path: String) throws(RecordingError) {
    descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw RecordingError(HostFile.reason(errno)) }
    var info = stat()
    guard unsafe fstat(descriptor, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw RecordingError("not a regular file")
    }
    size = Int(info.st_size)
  }

  deinit { close(descriptor) }

  /// Bytes behind what was read.
  var rest: Int { max(0, size - Int(lseek(descriptor, 0, SEEK_CUR))) }

  var isAtEnd: Bool { rest == 0 }

  /// The next bytes, exactly so many.
  func read(_ count: Int) throws(RecordingError) -> [UInt8] {
    guard count <= rest else { throw Self.cutOff }
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let got = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe readBytes(descriptor, buffer.baseAddress! + done, count - done)
      }
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw RecordingError(HostFile.reason(errno)) }
      if got == 0 { throw Self.cutOff }
      done += got
    }
    return bytes
  }
}

// Inside InputFile the name of the system call is that of its own function.
private func readBytes(_ file: CInt, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
  unsafe read(file, buffer, count)
}

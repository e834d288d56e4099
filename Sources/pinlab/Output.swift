import Console

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Standard output, collected into pieces of 64 KiB: scripts print many short lines.
enum Output {
  nonisolated(unsafe) private static var buffer: [UInt8] = []
  private static let isTerminal = Terminal.isOutputInteractive

  static func write(_ text: String) {
    unsafe buffer.append(contentsOf: text.utf8)
    if unsafe isTerminal || buffer.count >= 1 << 16 { flush() }
  }

  static func flush() {
    unsafe put(buffer, to: 1)
    unsafe buffer.removeAll(keepingCapacity: true)
  }

  static func put(_ bytes: [UInt8], to descriptor: CInt) {
    var done = 0
    while done < bytes.count {
      let written = unsafe bytes.withUnsafeBytes { bytes in
        unsafe Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
      }
      if written > 0 {
        done += written
        continue
      }
      let code = errno
      if code == EINTR { continue }
      // A full disk: what is missing in the file must not look like success.
      if descriptor == 1 {
        let reason = unsafe String(cString: strerror(code))
        put(Array("pinlab: cannot write to standard output: \(reason)\n".utf8), to: 2)
        exit(1)
      }
      return
    }
  }
}

/// What has to hold before anything is opened or written.
func prepareProcess() {
  // A file that is opened while standard output is closed would take its number, and get what is printed.
  for descriptor in 0...2 as ClosedRange<CInt> where fcntl(descriptor, F_GETFD) < 0 {
    _ = unsafe open("/dev/null", O_RDWR)
  }
  // A file that grows beyond `ulimit -f` is an error of the write, which m:save() tells of.
  _ = signal(SIGXFSZ, SIG_IGN)
}

/// Writes a line to standard error.
func complain(_ message: String) {
  Output.flush()
  Output.put(Array((message + "\n").utf8), to: 2)
}

/// Files that the user names on the command line.
enum Files {
  static func read(_ path: String) throws(FileFailure) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileFailure(path: path) }
    defer { close(descriptor) }
    do {
      return try Terminal.readAll(descriptor)
    } catch {
      throw FileFailure(path: path, reason: error.reason)
    }
  }
}

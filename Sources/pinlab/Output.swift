#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// Writes a line to standard error.
func complain(_ message: String) {
  let line = Array((message + "\n").utf8)
  var done = 0
  while done < line.count {
    let written = unsafe line.withUnsafeBytes { bytes in
      unsafe write(2, bytes.baseAddress! + done, line.count - done)
    }
    if written <= 0 { return }
    done += written
  }
}

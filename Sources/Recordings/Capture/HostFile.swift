// The one file of Capture/ that touches unsafe memory. Files under /proc and /sys say that they are
// empty until they are read, and some want reads of whole entries, so everything is read in pieces
// up to the end.

internal import CZlib

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// Reading and writing for a capture.
enum HostFile {
  /// Why a file could not be read or written, in the system's words.
  struct Failure: Error {
    var errno: Int32
    var isMissing: Bool { errno == ENOENT }
    var reason: String { HostFile.reason(errno) }
  }

  static func reason(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

  static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  static func read(_ path: String) throws(Failure) -> [UInt8] {
    var bytes: [UInt8] = []
    try forEachPiece(of: path) { bytes += $0 }
    return bytes
  }

  static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw Failure(errno: errno) }
    defer { close(file) }
    var done = 0
    while done < bytes.count {
      let rest = bytes.count - done
      let wrote = unsafe bytes.withUnsafeBytes { buffer in
        unsafe writeBytes(file, buffer.baseAddress! + done, rest)
      }
      guard wrote > 0 else { throw Failure(errno: errno) }
      done += wrote
    }
  }

  /// Copies a file into a gzip file; returns the bytes before packing.
  ///
  /// Level 1: the longer the copy takes, the more the host changes meanwhile, and the table of a
  /// mostly idle host packs to a few per cent anyway.
  static func pack(_ path: String, to packed: String) throws(Failure) -> Int {
    guard let file = unsafe gzopen(packed, "wb1") else { throw Failure(errno: errno) }
    var total = 0
    var isWritten = true
    do throws(Failure) {
      try forEachPiece(of: path) { piece in
        total += piece.count
        let wrote = unsafe piece.withUnsafeBytes { buffer in
          unsafe gzwrite(file, buffer.baseAddress!, UInt32(buffer.count))
        }
        if wrote != piece.count { isWritten = false }
      }
    } catch {
      unsafe gzclose_w(file)
      unsafe unlink(packed)
      throw error
    }
    let closed = unsafe gzclose_w(file)
    guard isWritten, closed == Z_OK else {
      unsafe unlink(packed)
      throw Failure(errno: ENOSPC)
    }
    return total
  }

  /// Reads 1 MiB at a time, a multiple of the 8 bytes in which /proc/kpageflags is read.
  private static func forEachPiece(
    of path: String, _ body: ([UInt8]) -> Void
  ) throws(Failure) {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Failure(errno: errno) }
    defer { close(file) }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let got = unsafe readBytes(file, &buffer, buffer.count)
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw Failure(errno: errno) }
      if got == 0 { return }
      body(got == buffer.count ? buffer : Array(buffer[..<got]))
    }
  }

  /// Calls `body` with the 64-bit words of a file, packed or not, in order.
  ///
  /// - Returns: The bytes left over at the end; anything but 0 means that the file was cut off.
  static func forEachWord(
    of path: String, _ body: (UInt64) -> Void
  ) throws(RecordingError) -> Int {
    guard let file = unsafe gzopen(path, "rb") else {
      throw RecordingError("\(path): \(reason(errno))")
    }
    defer { unsafe gzclose_r(file) }
    var words = [UInt64](repeating: 0, count: 1 << 15)
    let bytes = words.count * 8
    var unpacked = 0
    while true {
      let got = Int(
        unsafe words.withUnsafeMutableBytes { buffer in
          unsafe gzfread(buffer.baseAddress!, 1, bytes, file)
        })
      var code: Int32 = 0
      let text = unsafe String(cString: gzerror(file, &code))
      unpacked += got
      guard code == Z_OK || code == Z_STREAM_END else {
        throw RecordingError(
          "\(path): damaged or cut off after \(unpacked) unpacked bytes (\(text)); "
            + "capture the host again")
      }
      for index in 0..<got / 8 { body(UInt64(littleEndian: words[index])) }
      if got < bytes { return got % 8 }
    }
  }

  static func makeDirectory(_ path: String) throws(Failure) {
    guard unsafe mkdir(path, 0o755) == 0 || errno == EEXIST else { throw Failure(errno: errno) }
  }

  /// `uname -m` and the size of a page.
  static func architecture() -> (machine: String, pageSize: Int) {
    var name = utsname()
    unsafe uname(&name)
    let machine = unsafe withUnsafeBytes(of: &name.machine) { buffer in
      unsafe String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
    }
    return (machine, sysconf(Int32(_SC_PAGESIZE)))
  }
}

// Inside HostFile the names of the system calls are those of its own functions.

private func readBytes(_ file: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
  unsafe read(file, buffer, count)
}

private func writeBytes(_ file: Int32, _ buffer: UnsafeRawPointer, _ count: Int) -> Int {
  unsafe write(file, buffer, count)
}

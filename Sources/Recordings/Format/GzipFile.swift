internal import CZlib

#if canImport(Glibc)
  internal import Glibc
#else
  internal import Musl
#endif

/// Reads a whole file, unpacking it when it is gzip.
enum GzipFile {
  static func read(_ path: String) throws(RecordingError) -> [UInt8] {
    var info = stat()
    guard unsafe stat(path, &info) == 0 else {
      throw RecordingError("\(path): \(unsafe String(cString: strerror(errno)))")
    }
    guard info.st_mode & S_IFMT == S_IFREG else {
      throw RecordingError("\(path) is not a regular file")
    }
    guard let file = unsafe gzopen(path, "rb") else {
      throw RecordingError("\(path): \(unsafe String(cString: strerror(errno)))")
    }
    defer { unsafe gzclose_r(file) }
    var bytes: [UInt8] = []
    let chunk = 1 << 20
    while true {
      let used = bytes.count
      bytes.append(contentsOf: repeatElement(0, count: chunk))
      let got = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe gzread(file, buffer.baseAddress! + used, UInt32(chunk))
      }
      bytes.removeLast(chunk - max(0, Int(got)))
      var code: Int32 = 0
      let text = unsafe String(cString: gzerror(file, &code))
      // zlib reports a file that ends early only as Z_BUF_ERROR, after giving what there is.
      guard got >= 0, code == Z_OK || code == Z_STREAM_END else {
        throw RecordingError(
          "\(path): damaged or cut off after \(bytes.count) unpacked bytes (\(text)); "
            + "fetch the file again")
      }
      if got == 0 { return bytes }
    }
  }
}

import Glibc
import Recordings

/// A directory that is gone when the test is over.
struct Directory: ~Copyable {
  let path: String

  init() {
    var template = Array("/tmp/pinlab-test-XXXXXX".utf8CString)
    path = unsafe String(cString: mkdtemp(&template))
  }

  deinit { Self.remove(path) }

  func write(_ text: String, _ name: String) { Self.write(Array(text.utf8), path + "/" + name) }

  func write(_ bytes: [UInt8], _ name: String) { Self.write(bytes, path + "/" + name) }

  func makeDirectories(_ name: String) {
    var made = path
    for part in name.split(separator: "/") {
      made += "/" + part
      unsafe mkdir(made, 0o755)
    }
  }

  private static func write(_ bytes: [UInt8], _ path: String) {
    guard let file = unsafe fopen(path, "wb") else { return }
    unsafe fwrite(bytes, 1, bytes.count, file)
    unsafe fclose(file)
  }

  private static func remove(_ path: String) {
    if let directory = unsafe opendir(path) {
      while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
          unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name == "." || name == ".." { continue }
        remove(path + "/" + name)
      }
      unsafe closedir(directory)
      unsafe rmdir(path)
    } else {
      unsafe unlink(path)
    }
  }
}

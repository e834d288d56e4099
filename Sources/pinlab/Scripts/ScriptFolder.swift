import Console

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// The folders of scripts that come with the program.
enum ScriptFolder {
  /// Where the scripts of a kind are, "scenarios" or "lessons": `--path`, or what lies beside the
  /// program.
  ///
  /// An installed program finds them in `../share/pinlab/KIND`, one in a build folder in
  /// `Scripts/KIND` of the checkout above it.
  static func find(_ kind: String, _ given: String?) throws(FileFailure) -> String {
    if let given {
      guard isFolder(given) else { throw FileFailure(path: given, reason: "no such folder") }
      return given
    }
    var folder = parent(of: programPath())
    let installed = parent(of: folder) + "/share/pinlab/\(kind)"
    if isFolder(installed) { return installed }
    while folder != "/" && !folder.isEmpty {
      if isFolder(folder + "/Scripts/\(kind)") { return folder + "/Scripts/\(kind)" }
      folder = parent(of: folder)
    }
    throw FileFailure(
      path: kind,
      reason: "not found beside the program, in ../share/pinlab or in Scripts above it; use --path")
  }

  private static func parent(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
  }

  private static func programPath() -> String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4097) { buffer in
      let count = unsafe readlink("/proc/self/exe", buffer.baseAddress!, 4096)
      guard count > 0 else { return "" }
      let bytes = unsafe buffer[..<count].map { UInt8(bitPattern: $0) }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  static func isFolder(_ path: String) -> Bool {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { return false }
    close(descriptor)
    return true
  }

  /// What a folder holds, in order, hidden files apart.
  static func names(in path: String) throws(FileFailure) -> [String] {
    guard let folder = unsafe opendir(path) else { throw FileFailure(path: path) }
    defer { unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe String(cString: $0)
        }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }
}

import Console

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A script that answers one question of a thread, with what its opening comment says.
///
/// ```
/// -- S1.20 · one page that cannot move
/// -- 64 pages in CMA are pinned, and somebody holds page 3. …?
/// -- Thread: linux-mm, December 2020, …
/// -- Rules: P3.42, P3.50.
/// ```
struct Scenario {
  let path: String
  /// The folder below the root: the thread, such as `seed-001`.
  let folder: String
  let id: String
  let title: String
  let question: String
  let thread: String
  let rules: String
  let source: String

  init?(path: String, folder: String, source: String) {
    self.path = path
    self.folder = folder
    self.source = source
    var lines: [String] = []
    for line in source.split(separator: "\n", omittingEmptySubsequences: false) {
      guard line.hasPrefix("--") else { break }
      lines.append(String(line.dropFirst(2).drop { $0 == " " }))
    }
    let opening = (lines.first ?? "").split(separator: "·", maxSplits: 1)
    guard opening.count == 2 else { return nil }
    func trimmed(_ text: Substring) -> String {
      String(text.reversed().drop { $0 == " " }.reversed().drop { $0 == " " })
    }
    id = trimmed(opening[0])
    title = trimmed(opening[1])
    var parts: [String: String] = [:]
    var part = "Question"
    for line in lines.dropFirst() {
      var text = line
      for name in ["Thread", "Rules"] where line.hasPrefix("\(name): ") {
        part = name
        text = String(line.dropFirst(name.count + 2))
      }
      parts[part] = parts[part].map { "\($0) \(text)" } ?? text
    }
    question = parts["Question"] ?? ""
    thread = parts["Thread"] ?? ""
    rules = parts["Rules"] ?? ""
  }
}

/// The scenarios below a folder.
enum ScenarioFolder {
  /// Where the scenarios are: `--path`, or what lies beside the program.
  ///
  /// An installed program finds them in `../share/pinlab/scenarios`, one in a build folder in
  /// `Scripts/scenarios` of the checkout above it.
  static func find(_ given: String?) throws(FileFailure) -> String {
    if let given {
      guard isFolder(given) else { throw FileFailure(path: given, reason: "no such folder") }
      return given
    }
    var folder = parent(of: programPath())
    let installed = parent(of: folder) + "/share/pinlab/scenarios"
    if isFolder(installed) { return installed }
    while folder != "/" && !folder.isEmpty {
      if isFolder(folder + "/Scripts/scenarios") { return folder + "/Scripts/scenarios" }
      folder = parent(of: folder)
    }
    throw FileFailure(
      path: "scenarios",
      reason: "not found beside the program, in ../share/pinlab or in Scripts above it; use --path")
  }

  /// Every scenario, ordered by folder and number.
  static func load(_ root: String) throws(FileFailure) -> [Scenario] {
    var found: [Scenario] = []
    for folder in try names(in: root) where isFolder("\(root)/\(folder)") {
      for file in try names(in: "\(root)/\(folder)") where file.hasSuffix(".lua") {
        let path = "\(root)/\(folder)/\(file)"
        let text = String(decoding: try Files.read(path), as: UTF8.self)
        guard let scenario = Scenario(path: path, folder: folder, source: text) else {
          throw FileFailure(
            path: path, reason: "its first line is not `-- ID · title`, as of a scenario")
        }
        found.append(scenario)
      }
    }
    return found.sorted { key($0) < key($1) }
  }

  /// Numbers inside names count as numbers: S1.9 stands before S1.20.
  private static func key(_ scenario: Scenario) -> String {
    var key = scenario.folder + " "
    var digits = ""
    for character in scenario.id + " " {
      if character.isNumber {
        digits.append(character)
      } else {
        key += String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        digits = ""
        key.append(character)
      }
    }
    return key
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

  private static func isFolder(_ path: String) -> Bool {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 { return false }
    close(descriptor)
    return true
  }

  private static func names(in path: String) throws(FileFailure) -> [String] {
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

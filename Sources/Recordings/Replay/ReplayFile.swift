internal import FoundationEssentials
public import MemoryModel

/// A recording of any class.
public enum ReplayFile {
  /// Replays it, compares, and looks whether the model's machine is sound at the end.
  ///
  /// The machine of an older kernel's stream is not looked at: such a stream does not say all of it.
  public static func run(_ path: String) throws(RecordingError) -> ReplayReport {
    let lines = try Recording.lines(of: path)
    if isHistory(lines) {
      var replayer = try HistoryReplayer(try HistoryRecording(path: path, lines: lines))
      try replayer.run()
      return replayer.report
    }
    var replayer = try Replayer(try Recording(path: path, lines: lines))
    try replayer.run()
    var report = replayer.report
    report.unsound = replayer.machine.check()
    return report
  }

  /// The recordings of a folder by name, or the file itself.
  public static func recordings(at path: String) throws(RecordingError) -> [String] {
    var isFolder = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder
    else { return [path] }
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: path)
    } catch {
      throw RecordingError("\(path) cannot be read")
    }
    let found = names.filter { $0.hasSuffix(".jsonl") || $0.hasSuffix(".jsonl.gz") }.sorted()
    guard !found.isEmpty else {
      throw RecordingError("\(path) is a folder without recordings (.jsonl, .jsonl.gz)")
    }
    return found.map { path.hasSuffix("/") ? path + $0 : path + "/" + $0 }
  }

  /// The machine in the state of the first dump.
  public static func initialMachine(_ path: String) throws(RecordingError) -> Machine {
    let lines = try Recording.lines(of: path)
    if isHistory(lines) {
      return try HistoryReplayer.initialMachine(try HistoryRecording(path: path, lines: lines))
    }
    return try Replayer.initialMachine(try Recording(path: path, lines: lines))
  }

  /// Streams of older kernels name their class in the first line.
  private static func isHistory(_ lines: [Data]) -> Bool {
    struct Sniff: Decodable {
      let `class`: String?
    }
    return (try? JSONDecoder().decode(Sniff.self, from: lines[0]))?.class == "H"
  }
}

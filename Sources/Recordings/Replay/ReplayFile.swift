internal import FoundationEssentials

/// Replays a recording of any class.
public enum ReplayFile {
  public static func run(_ path: String) throws(RecordingError) -> ReplayReport {
    let lines = try Recording.lines(of: path)
    struct Sniff: Decodable {
      let `class`: String?
    }
    if (try? JSONDecoder().decode(Sniff.self, from: lines[0]))?.class == "H" {
      var replayer = try HistoryReplayer(try HistoryRecording(path: path, lines: lines))
      try replayer.run()
      return replayer.report
    }
    var replayer = try Replayer(try Recording(path: path, lines: lines))
    try replayer.run()
    return replayer.report
  }
}

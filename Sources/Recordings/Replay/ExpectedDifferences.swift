// Invariant: a recording is in it once at the most, with a place that is a sequence number.

/// Recordings that are known to differ from the model, each with where it begins to, and why.
///
/// A list of them goes stale when the model learns better, so a recording on it that agrees is as wrong as
/// one off it that differs.
public struct ExpectedDifferences: Sendable {
  struct Entry: Sendable {
    let index: Int
    let reason: String
  }

  /// What the list says of a recording.
  public enum Verdict: Sendable, Equatable {
    /// It is not on the list, and agrees to its end.
    case agrees
    /// It differs where the list says so; with the reason.
    case asExpected(String)
    /// It should do something else, in words.
    case unexpected(String)
  }

  private var entries: [String: Entry] = [:]

  /// Reads a list, a line a recording.
  ///
  /// A line has its name without `.jsonl.gz`; `#` and the number of the first record that differs, or of the
  /// last that is compared; and the reason. Lines that begin with `#` are comments.
  public init(path: String) throws(RecordingError) {
    let bytes: [UInt8]
    do {
      bytes = try HostFile.read(path)
    } catch {
      throw RecordingError("\(path): \(error.reason)")
    }
    try self.init(String(decoding: bytes, as: UTF8.self), path: path)
  }

  init(_ text: String, path: String) throws(RecordingError) {
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      let words = line.split(separator: " ", maxSplits: 2)
      guard let name = words.first, !name.hasPrefix("#") else { continue }
      guard words.count == 3, words[1].first == "#", let index = Int(words[1].dropFirst()) else {
        throw RecordingError(
          path, line: number + 1,
          "expected a recording, where it differs, and why: D-gup-28 #167 words")
      }
      guard entries[String(name)] == nil else {
        throw RecordingError(path, line: number + 1, "\(name) is on the list twice")
      }
      entries[String(name)] = Entry(index: index, reason: String(words[2]))
    }
  }

  public func verdict(on report: ReplayReport) -> Verdict {
    if let unsound = report.unsound { return .unexpected("its machine is not sound: \(unsound)") }
    let place = report.endOfAgreement
    guard let entry = entries[Self.name(report.file)] else {
      return place.map { .unexpected("it agrees only up to #\($0), and is on no list") } ?? .agrees
    }
    guard let place else {
      return .unexpected("it agrees to its end now: take it off the list (#\(entry.index))")
    }
    return place == entry.index
      ? .asExpected(entry.reason)
      : .unexpected("it agrees up to #\(place), and the list says #\(entry.index): \(entry.reason)")
  }

  /// The name of a recording on the list.
  private static func name(_ path: String) -> String {
    let file = path.split(separator: "/").last ?? ""
    for ending in [".jsonl.gz", ".jsonl"] where file.hasSuffix(ending) {
      return String(file.dropLast(ending.count))
    }
    return String(file)
  }
}

extension ReplayReport {
  /// The sequence number of the first record that differs, or behind which nothing is compared; nil where
  /// all agrees to the end.
  public var endOfAgreement: Int? {
    let states = dumps.filter { !$0.differences.isEmpty }.map(\.index)
    return (states + [firstDisagreement?.index, stopped?.index].compactMap { $0 }).min()
  }
}

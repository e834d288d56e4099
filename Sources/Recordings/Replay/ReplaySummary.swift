/// How many of several recordings agree.
public struct ReplaySummary: Sendable, Equatable {
  public private(set) var toTheEnd = 0
  /// Those that agree up to something that the model does not do.
  public private(set) var upToAPoint = 0
  public private(set) var disagreeing = 0
  /// Those that differ where a list says so.
  public private(set) var asExpected = 0
  /// Those in which there is nothing to replay.
  public var skipped = 0
  public var unreadable = 0

  public init() {}

  /// - Parameter verdict: What a list of expected differences says of it.
  public mutating func add(_ report: ReplayReport, _ verdict: ExpectedDifferences.Verdict? = nil) {
    if case .asExpected = verdict {
      asExpected += 1
    } else if case .unexpected = verdict {
      disagreeing += 1
    } else if !report.agrees {
      disagreeing += 1
    } else if report.stopped == nil {
      toTheEnd += 1
    } else {
      upToAPoint += 1
    }
  }

  /// Whether nothing disagrees, and every file could be read.
  public var isGood: Bool { disagreeing == 0 && unreadable == 0 }

  public var files: Int { toTheEnd + upToAPoint + asExpected + disagreeing + skipped + unreadable }

  /// One line.
  public var text: String {
    var parts = ["\(toTheEnd) agree to the end"]
    if upToAPoint > 0 { parts.append("\(upToAPoint) agree up to where the model stops") }
    if asExpected > 0 { parts.append("\(asExpected) differ as expected") }
    parts.append("\(disagreeing) disagree")
    if skipped > 0 { parts.append("\(skipped) skipped") }
    if unreadable > 0 { parts.append("\(unreadable) unreadable") }
    return "\(files) recordings: " + parts.joined(separator: ", ")
  }
}

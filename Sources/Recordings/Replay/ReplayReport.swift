/// What came of replaying one recording.
public struct ReplayReport: Sendable {
  /// The first operation in which the model and the kernel differ.
  public struct Disagreement: Sendable {
    /// Sequence number in the recording.
    public let index: Int
    public let command: String
    public let recorded: String
    public let model: String
    /// The operations before it, oldest first.
    public let before: [String]
  }

  /// How one later dump compares.
  public struct DumpComparison: Sendable {
    public let tag: String
    public let index: Int
    /// Values compared: every list, counter and mark is one.
    public let compared: Int
    /// What differs, in words.
    public let differences: [String]
  }

  public let file: String
  public let release: String
  public let description: String
  /// Operations compared.
  public var operations = 0
  /// Operations in which every page, failure and free count agreed.
  public var agreeing = 0
  /// Page allocations and frees compared, merged events counted one by one.
  public var pageEvents = 0
  /// Places that the recording leaves open and that were settled by the next dump.
  public var inferred = 0
  public var firstDisagreement: Disagreement?
  public var dumps: [DumpComparison] = []
  /// Where and why the comparison ended before the recording did.
  public var stopped: (index: Int, reason: String)?
  /// The first invariant that the machine breaks at the end, in words.
  public var unsound: String?
  /// Seconds spent in the model, decoding apart.
  public var seconds = 0.0

  /// Whether this run agreed for longer than another one.
  func reaches(beyond other: ReplayReport) -> Bool {
    if pageEvents != other.pageEvents { return pageEvents > other.pageEvents }
    let here = dumps.last?.differences.count ?? 0
    let there = other.dumps.last?.differences.count ?? 0
    return (dumps.count, -here) > (other.dumps.count, -there)
  }

  /// Whether the operations and their dumps agree; what boot derived is a comparison of its own.
  var followsRecording: Bool {
    firstDisagreement == nil && dumps.allSatisfy { $0.tag == "boot" || $0.differences.isEmpty }
  }

  public var agrees: Bool {
    unsound == nil && firstDisagreement == nil && dumps.allSatisfy { $0.differences.isEmpty }
  }
}

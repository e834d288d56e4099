public import MemoryModel

/// How far a machine that was rebuilt from a capture can be trusted.
public struct CaptureReport: Sendable {
  /// What a zone's rebuilt free lists hold, and what the host said that they hold.
  public struct Zone: Sendable {
    public var node: Int
    public var index: ZoneIndex
    public var managed: Int
    /// Free blocks of each order.
    public var rebuilt: [Int]
    /// /proc/buddyinfo right before the flags of all pages were read.
    public var before: [Int]
    /// The same right after, when the capture has it.
    public var after: [Int]?

    /// Sum over the orders of the difference in blocks: 0 when every list has its length.
    public var residualBlocks: Int { Self.distance(rebuilt, before) }

    /// The difference in free pages, with its sign: positive when too many were rebuilt.
    public var residualPages: Int { Self.pages(rebuilt) - Self.pages(before) }

    /// How much the host itself changed while it was read, in the same measure.
    public var driftBlocks: Int? { after.map { Self.distance(before, $0) } }

    public var freePages: Int { Self.pages(rebuilt) }

    private static func distance(_ one: [Int], _ other: [Int]) -> Int {
      zip(one, other).reduce(0) { $0 + abs($1.0 - $1.1) }
    }

    private static func pages(_ counts: [Int]) -> Int {
      counts.enumerated().reduce(0) { $0 + $1.element << $1.offset }
    }
  }

  /// `6.12.117` of /proc/version; nil when the capture does not have it.
  public var release: String?
  /// Whether the places of pages are the host's own, or invented.
  public var hasPageFlags = false
  public var zones: [Zone] = []
  /// What was assumed, left out or made up, a sentence each.
  public var notes: [String] = []

  public init() {}

  public var residualBlocks: Int { zones.reduce(0) { $0 + $1.residualBlocks } }
  public var residualPages: Int { zones.reduce(0) { $0 + abs($1.residualPages) } }

  /// A few lines for people, each ended by a newline.
  public var text: String {
    var text = "rebuilt from a host with Linux \(release ?? "(unknown)"), "
    text += hasPageFlags ? "page by page\n" : "from counts alone: no place is the host's own\n"
    for zone in zones {
      text += "node \(zone.node) \(zone.index.name): \(zone.freePages) free pages, "
      if zone.residualBlocks == 0 {
        text += "every list as long as buddyinfo says"
      } else {
        let sign = zone.residualPages > 0 ? "+" : ""
        text += "off by \(zone.residualBlocks) blocks and \(sign)\(zone.residualPages) pages"
      }
      if let drift = zone.driftBlocks, drift > 0 {
        text += "; the host changed by \(drift) blocks while it was read"
      }
      text += "\n"
    }
    for note in notes { text += "note: \(note)\n" }
    return text
  }
}

/// The last lines that the modelled kernel has printed, oldest first, without time stamps.
public struct KernelLog: Sendable, Codable {
  /// What is kept, in lines.
  public static let capacity = 1024
  /// The most bytes in one line; what continues it beyond starts another.
  ///
  /// Kernel: `PRINTKRB_RECORD_MAX`, less the byte that ends the text.
  static let lineLimit = 1023

  private var kept: [String] = []
  /// Lines since boot or since the last `clear()`.
  public private(set) var total = 0

  /// The lines still kept.
  public var lines: [String] { Array(kept.suffix(Self.capacity)) }

  mutating func append(_ line: String) {
    // Cut rarely, so that a line costs no more the fuller the log is.
    if kept.count == 2 * Self.capacity { kept.removeFirst(Self.capacity) }
    kept.append(line)
    total += 1
  }

  /// Adds to the last line, as long as it has room.
  ///
  /// Kernel: `pr_cont()`.
  mutating func append(continuing text: String) {
    guard let last = kept.last, last.utf8.count + text.utf8.count <= Self.lineLimit else {
      return append(text)
    }
    kept[kept.count - 1] += text
  }

  public mutating func clear() { self = KernelLog() }
}

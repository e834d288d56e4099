/// One event of a recording: a code, its numbers, and the task it came from if not the script's.
///
/// `[code, args…, n?, comm?]`; n merges n equal events whose pfn moves by one block each, down if
/// n is negative.
public struct RecordingEvent: Decodable, Sendable {
  public let code: String
  public let arguments: [Int]
  /// The code's one or two letters as a number, so that a replay compares no strings.
  let key: UInt16
  public let comm: String?

  public init(from decoder: any Decoder) throws {
    var container = try decoder.unkeyedContainer()
    code = try container.decode(String.self)
    var arguments: [Int] = []
    var comm: String?
    while !container.isAtEnd {
      if let number = try? container.decode(Int.self) {
        arguments.append(number)
      } else {
        comm = try container.decode(String.self)
      }
    }
    self.arguments = arguments
    key = Self.key(code)
    self.comm = comm
  }

  static func key(_ code: String) -> UInt16 {
    code.utf8.prefix(2).reduce(0) { $0 << 8 | UInt16($1) }
  }

  /// The number of events merged into this one, negative when the pfn goes down.
  func repetition(after count: Int) -> Int {
    arguments.count > count ? arguments[count] : 1
  }
}

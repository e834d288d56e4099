/// What is wrong with a file: its name, the line, what was found, and what to do.
public struct RecordingError: Error, Sendable, CustomStringConvertible {
  public let message: String
  /// The file is sound, but nothing in it can be replayed.
  public let isUnreplayable: Bool

  public init(_ message: String, isUnreplayable: Bool = false) {
    self.message = message
    self.isUnreplayable = isUnreplayable
  }

  public init(_ file: String, line: Int, _ problem: String) {
    self.init("\(file):\(line): \(problem)")
  }

  public var description: String { message }
}

/// What is wrong with a file: its name, the line, what was found, and what to do.
public struct RecordingError: Error, Sendable, CustomStringConvertible {
  public let message: String
  /// The file is sound, but nothing in it can be replayed.
  public let isUnreplayable: Bool
  /// The file is sound, and something else than a recording.
  public private(set) var isForeign = false

  public init(_ message: String, isUnreplayable: Bool = false) {
    self.message = message
    self.isUnreplayable = isUnreplayable
  }

  public init(_ file: String, line: Int, _ problem: String) {
    self.init("\(file):\(line): \(problem)")
  }

  static func foreign(_ file: String) -> RecordingError {
    var error = RecordingError(
      file, line: 1, "\"op\" is missing; not a pinlab recording, or of another version")
    error.isForeign = true
    return error
  }

  public var description: String { message }
}

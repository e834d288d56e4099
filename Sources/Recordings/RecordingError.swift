/// What is wrong with a file: its name, the line, what was found, and what to do.
public struct RecordingError: Error, Sendable, CustomStringConvertible {
  public let message: String

  public init(_ message: String) { self.message = message }

  public init(_ file: String, line: Int, _ problem: String) {
    message = "\(file):\(line): \(problem)"
  }

  public var description: String { message }
}

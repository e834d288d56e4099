internal import FoundationEssentials

/// A recorded kernel: the header lines, and the records, decoded one at a time.
///
/// The format is one JSON object a line, gzip or plain.
public struct Recording {
  public let path: String
  public let header: RecordingHeader
  public let kernel: RecordingKernel
  private let lines: [Data]
  private let decoder = JSONDecoder()

  /// The file's name without its folder.
  public var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  public init(path: String) throws(RecordingError) {
    let bytes = try GzipFile.read(path)
    let data = Data(bytes)
    var lines: [Data] = []
    var start = 0
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      if end > start { lines.append(data[start..<end]) }
      start = end + 1
    }
    guard let first = lines.first else { throw RecordingError("\(path) is empty") }
    guard first.first == UInt8(ascii: "{") else {
      throw RecordingError(path, line: 1, "not a recording: the first line is not a JSON object")
    }
    let header = try Self.decode(RecordingHeader.self, first, decoder, path, 1)
    guard header.op == "header" else {
      throw RecordingError(
        path, line: 1, "not a recording: op is \"\(header.op)\", expected \"header\"")
    }
    guard lines.count > 1 else {
      throw RecordingError(path, line: 2, "the recording ends after its header")
    }
    let kernel = try Self.decode(RecordingKernel.self, lines[1], decoder, path, 2)
    guard kernel.op == "kernel" else {
      throw RecordingError(path, line: 2, "op is \"\(kernel.op)\", expected \"kernel\"")
    }
    self.path = path
    self.header = header
    self.kernel = kernel
    self.lines = lines
  }

  /// The number of records behind the two header lines.
  public var count: Int { lines.count - 2 }

  public func record(_ index: Int) throws(RecordingError) -> RecordingRecord {
    try Self.decode(RecordingRecord.self, lines[index + 2], decoder, path, index + 3)
  }

  private static func decode<Value: Decodable>(
    _ type: Value.Type, _ line: Data, _ decoder: JSONDecoder, _ path: String, _ number: Int
  ) throws(RecordingError) -> Value {
    do {
      return try decoder.decode(type, from: line)
    } catch let error as DecodingError {
      throw RecordingError(path, line: number, explain(error, line))
    } catch {
      throw RecordingError(path, line: number, "\(error)")
    }
  }

  private static func explain(_ error: DecodingError, _ line: Data) -> String {
    func field(_ context: DecodingError.Context) -> String {
      let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }
      return path.isEmpty ? "" : " in " + path.joined(separator: ".")
    }
    switch error {
    case .dataCorrupted:
      if line.last != UInt8(ascii: "}") {
        return "the line is cut off; the file is incomplete, fetch it again"
      }
      return "not valid JSON; the file is damaged, fetch it again"
    case .keyNotFound(let key, let context):
      return "\"\(key.stringValue)\" is missing\(field(context)); not a pinlab recording, "
        + "or of another version"
    case .typeMismatch(let type, let context):
      return "expected \(type)\(field(context)); not a pinlab recording, or of another version"
    case .valueNotFound(_, let context):
      return "a value is null\(field(context))"
    @unknown default:
      return "\(error)"
    }
  }
}

internal import FoundationEssentials

/// A recorded kernel: the header lines, and the records, decoded one at a time.
///
/// The format is one JSON object a line, gzip or plain.
public struct Recording {
  public let path: String
  public let header: RecordingHeader
  public let kernel: RecordingKernel
  private let lines: [Data]

  /// The file's name without its folder.
  public var name: String { path.split(separator: "/").last.map(String.init) ?? path }

  public init(path: String) throws(RecordingError) {
    try self.init(path: path, lines: try Self.lines(of: path))
  }

  init(path: String, lines: [Data]) throws(RecordingError) {
    let first = lines[0]
    struct Sniff: Decodable {
      let op: String?
    }
    if let sniff = try? JSONDecoder().decode(Sniff.self, from: first), sniff.op == nil {
      throw .foreign(path)
    }
    let header = try LineDecoder.decode(RecordingHeader.self, first, path, 1)
    guard header.op == "header" else {
      throw RecordingError(
        path, line: 1, "not a recording: op is \"\(header.op)\", expected \"header\"")
    }
    guard lines.count > 1 else {
      throw RecordingError(path, line: 2, "the recording ends after its header")
    }
    let kernel = try LineDecoder.decode(RecordingKernel.self, lines[1], path, 2)
    guard kernel.op == "kernel" else {
      throw RecordingError(path, line: 2, "op is \"\(kernel.op)\", expected \"kernel\"")
    }
    self.path = path
    self.header = header
    self.kernel = kernel
    self.lines = lines
  }

  /// The lines of a recording of either class, at least one, the first of which is a JSON object.
  static func lines(of path: String) throws(RecordingError) -> [Data] {
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
    // A recording ends with a line end; whatever cut it off elsewhere lost more than that.
    guard bytes.last == UInt8(ascii: "\n") || lines.last?.last == UInt8(ascii: "}") else {
      throw RecordingError(
        path, line: lines.count, "the line is cut off; the file is incomplete, fetch it again")
    }
    return lines
  }

  /// The number of records behind the two header lines.
  public var count: Int { lines.count - 2 }

  public func record(_ index: Int) throws(RecordingError) -> RecordingRecord {
    let record = try LineDecoder.decode(RecordingRecord.self, lines[index + 2], path, index + 3)
    if let problem = record.problem() {
      throw RecordingError(path, line: index + 3, problem + "; the file is damaged, fetch it again")
    }
    return record
  }
}

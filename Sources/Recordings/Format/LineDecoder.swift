internal import FoundationEssentials

/// Decodes one line of a recording and words what is wrong with it.
enum LineDecoder {
  static func decode<Value: Decodable>(
    _ type: Value.Type, _ line: Data, _ path: String, _ number: Int
  ) throws(RecordingError) -> Value {
    do {
      return try JSONDecoder().decode(type, from: line)
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

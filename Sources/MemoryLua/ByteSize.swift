internal import LuaBridge

/// Sizes inside tables, where the argument checks do not reach.
enum ByteSize {
  /// The bytes of an integer, a whole float, or a string such as `"1.5G"`.
  static func bytes(_ value: LuaValue, _ field: String) throws(LuaFailure) -> Int {
    if let integer = value.integer, integer >= 0 { return Int(integer) }
    if case .string(let text) = value, let bytes = parse(text) { return bytes }
    throw LuaFailure(
      "bad field '\(field)' (expected a size such as \"512M\", got \(describe(value)))")
  }

  static func parse(_ text: String) -> Int? {
    var digits = Substring(text)
    if digits.hasSuffix("iB") {
      digits = digits.dropLast(2)
    } else if digits.hasSuffix("B") {
      digits = digits.dropLast()
    }
    var shift = 0
    if let unit = digits.last, let index = "KMGTP".firstIndex(of: Character(unit.uppercased())) {
      shift = 10 * ("KMGTP".distance(from: "KMGTP".startIndex, to: index) + 1)
      digits = digits.dropLast()
    }
    guard let number = Double(digits), number >= 0, number.isFinite else { return nil }
    let bytes = number * Double(1 << shift)
    return bytes < 0x1p62 && bytes == bytes.rounded() ? Int(bytes) : nil
  }

  static func describe(_ value: LuaValue) -> String {
    switch value {
    case .nil: "nil"
    case .boolean(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let value): "\"\(value)\""
    case .table: "a table"
    case .object(let handle): "a \(handle.typeName)"
    case .function: "a function"
    case .other(let name): "a \(name)"
    }
  }
}

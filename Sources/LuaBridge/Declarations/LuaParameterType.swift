// The types of parameters and results. Each knows its words for help and for editors.

/// What a parameter accepts, or what a result is.
///
/// In messages and help the words of the declaration appear; the C gate makes the checks.
public indirect enum LuaParameterType: Sendable {
  /// Anything, nil included.
  case any
  case boolean
  /// A whole number. A float with a whole value is taken; a string is not.
  case integer(ClosedRange<Int64> = .min ... .max)
  case number(ClosedRange<Double> = -.infinity ... .infinity)
  /// A number of bytes: an integer, a whole float, or a string such as `"300G"` or `"512MiB"`.
  /// Units are powers of 1024.
  case size(ClosedRange<Int64> = 0 ... .max)
  /// A page frame number: an integer that is not negative. Help shows it in hexadecimal.
  case pfn
  /// An address: an integer of any bit pattern.
  case address
  case string
  /// One name out of a list. The body sees its position.
  case choice([String])
  /// Names joined by `|`, or a list of them. The body sees bit i set for name i. At most 63 names.
  case flags([String])
  /// An object of a declared type.
  case object(String)
  /// An object of any declared type.
  case anyObject
  case table
  case function
  /// A string that names a file: completes as one.
  case file
}

extension LuaParameterType {
  /// The words for help: `integer 0..10`, `"first" | "second"`.
  public var words: String {
    switch self {
    case .any: "any"
    case .boolean: "boolean"
    case .integer(let range): "integer" + Self.words(range)
    case .number(let range):
      range.lowerBound == -.infinity && range.upperBound == .infinity
        ? "number" : "number \(range.lowerBound)..\(range.upperBound)"
    case .size: "size"
    case .pfn: "pfn"
    case .address: "address"
    case .string, .file: "string"
    case .choice(let names): names.map { "\"\($0)\"" }.joined(separator: " | ")
    case .flags(let names): "flags " + names.joined(separator: "|")
    case .object(let name): name
    case .anyObject: "object"
    case .table: "table"
    case .function: "function"
    }
  }

  private static func words(_ range: ClosedRange<Int64>) -> String {
    switch (range.lowerBound, range.upperBound) {
    case (.min, .max): ""
    case (let low, .max): " ≥ \(low)"
    case (.min, let high): " ≤ \(high)"
    case (let low, let high): " \(low)..\(high)"
    }
  }

  /// The type in the annotations that Lua editors read.
  var annotation: String {
    switch self {
    case .any: "any"
    case .boolean: "boolean"
    case .integer, .pfn, .address: "integer"
    case .number: "number"
    case .size: "integer|number|string"
    case .string, .file: "string"
    case .choice(let names): names.map { "\"\($0)\"" }.joined(separator: "|")
    case .flags: "string|string[]"
    case .object(let name): name
    case .anyObject: "userdata"
    case .table: "table"
    case .function: "function"
    }
  }

  /// The names that a string argument of this type may hold.
  var names: [String] {
    switch self {
    case .choice(let names), .flags(let names): names
    default: []
    }
  }
}

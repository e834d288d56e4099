// A Lua value as Swift sees it: copied out of Lua, except objects and functions, which are held.

/// A value read from Lua, or to be handed to it.
///
/// Strings that are not UTF-8 are repaired when they are read.
public enum LuaValue {
  case `nil`
  case boolean(Bool)
  case integer(Int64)
  case number(Double)
  case string(String)
  case table(LuaTable)
  /// A host object: the Swift object behind a Lua object of a declared type.
  case object(LuaHandle)
  /// A Lua function, kept alive for as long as the reference is.
  case function(LuaReference)
  /// A thread or a foreign userdata, by the name of its type. Cannot be handed to Lua.
  case other(String)
}

/// A table copied by value.
public struct LuaTable {
  /// The elements 1...n.
  public var elements: [LuaValue]
  /// The entries with string keys, in the order of the keys.
  public var fields: [(name: String, value: LuaValue)]

  public init(_ elements: [LuaValue] = [], fields: [(name: String, value: LuaValue)] = []) {
    self.elements = elements
    self.fields = fields
  }

  /// The value of a field, or nil when the table has none of that name.
  public subscript(name: String) -> LuaValue? { fields.first { $0.name == name }?.value }
}

extension LuaValue {
  /// The integer, also of a number that is whole.
  public var integer: Int64? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int64(exactly: value)
    default: nil
    }
  }

  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  public var boolean: Bool? {
    if case .boolean(let value) = self { value } else { nil }
  }

  public var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  public var table: LuaTable? {
    if case .table(let value) = self { value } else { nil }
  }

  public var isNil: Bool {
    if case .nil = self { true } else { false }
  }

  /// The Swift object of a host object of that class.
  public func object<Object: AnyObject>(as type: Object.Type) -> Object? {
    if case .object(let handle) = self { handle.object as? Object } else { nil }
  }
}

extension LuaValue: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByFloatLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(arrayLiteral elements: LuaValue...) { self = .table(LuaTable(elements)) }
  public init(dictionaryLiteral elements: (String, LuaValue)...) {
    self = .table(LuaTable(fields: elements.map { (name: $0.0, value: $0.1) }))
  }
}

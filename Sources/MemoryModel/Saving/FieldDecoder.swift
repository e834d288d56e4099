// Invariant: every read stays inside of the range of the value it belongs to, and a value that leaves
// bytes over is an error; so wrong bytes are refused, whatever they are.

/// What bytes hold that no value can be made of.
package struct FieldError: Error {
  package let text: String
  init(_ text: String) { self.text = text }
}

extension FieldBytes {
  package static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: [UInt8]
  ) throws -> Value {
    try FieldReader(bytes, 0..<bytes.count).value(type)
  }

  /// The names of a value's fields, and their bytes.
  package static func fields(of bytes: [UInt8]) -> [(name: String, value: ArraySlice<UInt8>)] {
    (FieldReader(bytes, 0..<bytes.count).fields() ?? []).map {
      (String(decoding: bytes[$0.name], as: UTF8.self), bytes[$0.value])
    }
  }
}

/// One value's bytes.
struct FieldReader {
  private let bytes: [UInt8]
  private let range: Range<Int>

  init(_ bytes: [UInt8], _ range: Range<Int>) {
    self.bytes = bytes
    self.range = range
  }

  func value<Value: Decodable>(_ type: Value.Type) throws -> Value {
    try Value(from: FieldDecoder(reader: self))
  }

  /// The length in front of a value, and where the value lies.
  private func measured(_ position: Int) -> Range<Int>? {
    guard position + 4 <= range.upperBound else { return nil }
    var length: UInt32 = 0
    for index in 0..<4 { length |= UInt32(bytes[position + index]) << (8 * index) }
    let start = position + 4
    if length == FieldBytes.rest { return start..<range.upperBound }
    guard Int(length) <= range.upperBound - start else { return nil }
    return start..<start + Int(length)
  }

  /// Where names and values lie; nil when the bytes are no fields.
  func fields() -> [(name: Range<Int>, value: Range<Int>)]? {
    var found: [(name: Range<Int>, value: Range<Int>)] = []
    var position = range.lowerBound
    while position < range.upperBound {
      let length = Int(bytes[position])
      let name = position + 1..<position + 1 + length
      guard length > 0, length < FieldBytes.none, let value = measured(name.upperBound) else {
        return nil
      }
      found.append((name, value))
      position = value.upperBound
    }
    return found
  }

  func elements() -> [Range<Int>]? {
    var found: [Range<Int>] = []
    var position = range.lowerBound
    while position < range.upperBound {
      guard let value = measured(position) else { return nil }
      found.append(value)
      position = value.upperBound
    }
    return found
  }

  func part(_ range: Range<Int>) -> FieldReader { FieldReader(bytes, range) }

  func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  func isNamed(_ name: Range<Int>, _ text: String) -> Bool { bytes[name].elementsEqual(text.utf8) }

  var isNone: Bool { range.count == 1 && bytes[range.lowerBound] == FieldBytes.none }

  func bool() throws -> Bool {
    guard range.count == 1, bytes[range.lowerBound] <= 1 else { throw FieldError("no truth value") }
    return bytes[range.lowerBound] == 1
  }

  func string() throws -> String {
    guard let first = range.first, bytes[first] == FieldBytes.string,
      let text = String(validating: bytes[first + 1..<range.upperBound], as: UTF8.self)
    else { throw FieldError("no text") }
    return text
  }

  func bits() throws -> UInt64 {
    guard range.count == 8 else { throw FieldError("no floating-point number") }
    return range.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
  }

  private func number() throws -> UInt64 {
    var value: UInt64 = 0
    guard (1...10).contains(range.count) else { throw FieldError("no number") }
    for (place, index) in range.enumerated() {
      let byte = bytes[index]
      guard (byte & 0x80 == 0) == (index == range.upperBound - 1), place < 9 || byte <= 1 else {
        throw FieldError("no number")
      }
      value |= UInt64(byte & 0x7F) << UInt64(7 * place)
    }
    return value
  }

  func unsigned<Value: FixedWidthInteger>(_: Value.Type) throws -> Value {
    guard let value = Value(exactly: try number()) else { throw FieldError("a number too large") }
    return value
  }

  func signed<Value: FixedWidthInteger>(_: Value.Type) throws -> Value {
    let raw = try number()
    let number = Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
    guard let value = Value(exactly: number) else { throw FieldError("a number too large") }
    return value
  }
}

private struct FieldDecoder: Decoder {
  let reader: FieldReader
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key>(keyedBy _: Key.Type) throws -> KeyedDecodingContainer<Key> {
    KeyedDecodingContainer(try FieldContainer<Key>(reader))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer { try ElementContainer(reader) }
  func singleValueContainer() -> any SingleValueDecodingContainer { ValueContainer(reader: reader) }
}

private struct FieldContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let reader: FieldReader
  private let fields: [(name: Range<Int>, value: Range<Int>)]
  var codingPath: [any CodingKey] { [] }

  init(_ reader: FieldReader) throws {
    guard let fields = reader.fields() else { throw FieldError("no fields") }
    self.reader = reader
    self.fields = fields
  }

  var allKeys: [Key] { fields.compactMap { Key(stringValue: reader.text($0.name)) } }

  private func find(_ key: Key) -> FieldReader? {
    let name = key.stringValue
    return fields.first { reader.isNamed($0.name, name) }.map { reader.part($0.value) }
  }

  private func value(_ key: Key) throws -> FieldReader {
    guard let value = find(key) else { throw FieldError("no field '\(key.stringValue)'") }
    return value
  }

  func contains(_ key: Key) -> Bool { find(key) != nil }
  func decodeNil(forKey key: Key) throws -> Bool { try value(key).isNone }
  func decode(_: Bool.Type, forKey key: Key) throws -> Bool { try value(key).bool() }
  func decode(_: String.Type, forKey key: Key) throws -> String { try value(key).string() }
  func decode(_: Double.Type, forKey key: Key) throws -> Double {
    Double(bitPattern: try value(key).bits())
  }
  func decode(_: Float.Type, forKey key: Key) throws -> Float {
    Float(bitPattern: UInt32(truncatingIfNeeded: try value(key).bits()))
  }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try value(key).signed(type) }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try value(key).signed(type) }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try value(key).signed(type) }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try value(key).signed(type) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try value(key).signed(type) }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try value(key).unsigned(type) }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 {
    try value(key).unsigned(type)
  }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 {
    try value(key).unsigned(type)
  }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 {
    try value(key).unsigned(type)
  }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 {
    try value(key).unsigned(type)
  }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
    do {
      return try value(key).value(type)
    } catch let error as FieldError {
      throw FieldError("\(key.stringValue): \(error.text)")
    }
  }

  func nestedContainer<Nested>(
    keyedBy _: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> {
    KeyedDecodingContainer(try FieldContainer<Nested>(try value(key)))
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try ElementContainer(try value(key))
  }

  func superDecoder() -> any Decoder { FieldDecoder(reader: reader) }
  func superDecoder(forKey key: Key) throws -> any Decoder {
    FieldDecoder(reader: try value(key))
  }
}

private struct ElementContainer: UnkeyedDecodingContainer {
  private let reader: FieldReader
  private let elements: [Range<Int>]
  private(set) var currentIndex = 0
  var codingPath: [any CodingKey] { [] }
  var count: Int? { elements.count }
  var isAtEnd: Bool { currentIndex == elements.count }

  init(_ reader: FieldReader) throws {
    guard let elements = reader.elements() else { throw FieldError("no elements") }
    self.reader = reader
    self.elements = elements
  }

  private mutating func next() throws -> FieldReader {
    guard !isAtEnd else { throw FieldError("too few elements") }
    currentIndex += 1
    return reader.part(elements[currentIndex - 1])
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd, reader.part(elements[currentIndex]).isNone else { return false }
    currentIndex += 1
    return true
  }
  mutating func decode(_: Bool.Type) throws -> Bool { try next().bool() }
  mutating func decode(_: String.Type) throws -> String { try next().string() }
  mutating func decode(_: Double.Type) throws -> Double { Double(bitPattern: try next().bits()) }
  mutating func decode(_: Float.Type) throws -> Float {
    Float(bitPattern: UInt32(truncatingIfNeeded: try next().bits()))
  }
  mutating func decode(_ type: Int.Type) throws -> Int { try next().signed(type) }
  mutating func decode(_ type: Int8.Type) throws -> Int8 { try next().signed(type) }
  mutating func decode(_ type: Int16.Type) throws -> Int16 { try next().signed(type) }
  mutating func decode(_ type: Int32.Type) throws -> Int32 { try next().signed(type) }
  mutating func decode(_ type: Int64.Type) throws -> Int64 { try next().signed(type) }
  mutating func decode(_ type: UInt.Type) throws -> UInt { try next().unsigned(type) }
  mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try next().unsigned(type) }
  mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try next().unsigned(type) }
  mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try next().unsigned(type) }
  mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try next().unsigned(type) }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    try next().value(type)
  }

  mutating func nestedContainer<Nested>(
    keyedBy _: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> {
    KeyedDecodingContainer(try FieldContainer<Nested>(try next()))
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try ElementContainer(try next())
  }

  mutating func superDecoder() throws -> any Decoder { FieldDecoder(reader: try next()) }
}

private struct ValueContainer: SingleValueDecodingContainer {
  let reader: FieldReader
  var codingPath: [any CodingKey] { [] }

  func decodeNil() -> Bool { reader.isNone }
  func decode(_: Bool.Type) throws -> Bool { try reader.bool() }
  func decode(_: String.Type) throws -> String { try reader.string() }
  func decode(_: Double.Type) throws -> Double { Double(bitPattern: try reader.bits()) }
  func decode(_: Float.Type) throws -> Float {
    Float(bitPattern: UInt32(truncatingIfNeeded: try reader.bits()))
  }
  func decode(_ type: Int.Type) throws -> Int { try reader.signed(type) }
  func decode(_ type: Int8.Type) throws -> Int8 { try reader.signed(type) }
  func decode(_ type: Int16.Type) throws -> Int16 { try reader.signed(type) }
  func decode(_ type: Int32.Type) throws -> Int32 { try reader.signed(type) }
  func decode(_ type: Int64.Type) throws -> Int64 { try reader.signed(type) }
  func decode(_ type: UInt.Type) throws -> UInt { try reader.unsigned(type) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try reader.unsigned(type) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try reader.unsigned(type) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try reader.unsigned(type) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try reader.unsigned(type) }
  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try reader.value(type) }
}

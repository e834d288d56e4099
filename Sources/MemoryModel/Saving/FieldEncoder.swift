// Invariant: a value is its bytes and nothing behind them; whoever holds it knows how many there are.
// Fields: for each, the length of its name in one byte, the name, and its value behind a length of four
// bytes; elements likewise without names. So a reader finds a field by its name, and refuses a file
// that was cut or bent without knowing what the bytes mean.

/// Any encodable value as bytes.
package enum FieldBytes {
  /// The bytes of no value at all.
  static let none: UInt8 = 0xFF
  /// A length that says: up to the end of what this value is part of.
  static let rest = UInt32.max
  static let string: UInt8 = 1

  package static func encode(_ value: some Encodable) throws -> [UInt8] {
    let sink = FieldSink()
    try sink.write(value)
    return sink.bytes
  }
}

/// Where an encoder and all of its containers write.
final class FieldSink {
  fileprivate(set) var bytes: [UInt8] = []

  func write<Value: Encodable>(_ value: Value) throws {
    let start = bytes.count
    try value.encode(to: FieldEncoder(sink: self))
    // Hashed collections come in an order of this process's own.
    if value is any OrderedByName { sortFields(from: start) }
  }

  func write(name: String) throws {
    guard let length = UInt8(exactly: name.utf8.count), length > 0, length < FieldBytes.none else {
      throw MemoryError(.misuse, "field '\(name)' cannot be saved: its name is too long")
    }
    bytes.append(length)
    bytes += name.utf8
  }

  /// Writes a value behind its length.
  func writeMeasured(_ body: () throws -> Void) throws {
    let start = bytes.count
    write(length: 0)
    try body()
    guard let length = UInt32(exactly: bytes.count - start - 4), length != FieldBytes.rest else {
      throw MemoryError(.misuse, "a value of more than 4 GiB cannot be saved")
    }
    for index in 0..<4 { bytes[start + index] = UInt8(truncatingIfNeeded: length >> (8 * index)) }
  }

  func write(length: UInt32) {
    for index in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: length >> (8 * index))) }
  }

  func write(_ number: UInt64) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  func write(_ number: Int64) {
    write(UInt64(bitPattern: number << 1 ^ number >> 63))
  }

  func write(bits: UInt64) {
    for index in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: bits >> (8 * index))) }
  }

  func write(text: String) {
    bytes.append(FieldBytes.string)
    bytes += text.utf8
  }

  func write(_ value: Bool) { bytes.append(value ? 1 : 0) }

  func writeNone() { bytes.append(FieldBytes.none) }

  private func sortFields(from start: Int) {
    guard let fields = FieldReader(bytes, start..<bytes.count).fields() else { return }
    let pieces = fields.map { Array(bytes[$0.name.lowerBound - 1..<$0.value.upperBound]) }
    bytes.removeSubrange(start...)
    pieces.sorted { $0.lexicographicallyPrecedes($1) }.forEach { bytes += $0 }
  }
}

/// A collection whose fields have no order of their own.
private protocol OrderedByName {}

extension Dictionary: OrderedByName {}

private struct FieldEncoder: Encoder {
  let sink: FieldSink
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key>(keyedBy _: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(FieldContainer<Key>(sink: sink))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer { ElementContainer(sink: sink) }
  func singleValueContainer() -> any SingleValueEncodingContainer { ValueContainer(sink: sink) }
}

private struct FieldContainer<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let sink: FieldSink
  var codingPath: [any CodingKey] { [] }

  private func put(_ key: Key, _ body: () throws -> Void) throws {
    try sink.write(name: key.stringValue)
    try sink.writeMeasured(body)
  }

  private func open(_ key: Key) {
    // Names of keys are those of properties and cases, which are short.
    try? sink.write(name: key.stringValue)
    sink.write(length: FieldBytes.rest)
  }

  func encodeNil(forKey key: Key) throws { try put(key) { sink.writeNone() } }
  func encode(_ value: Bool, forKey key: Key) throws { try put(key) { sink.write(value) } }
  func encode(_ value: String, forKey key: Key) throws { try put(key) { sink.write(text: value) } }
  func encode(_ value: Double, forKey key: Key) throws {
    try put(key) { sink.write(bits: value.bitPattern) }
  }
  func encode(_ value: Float, forKey key: Key) throws {
    try put(key) { sink.write(bits: UInt64(value.bitPattern)) }
  }
  func encode(_ value: Int, forKey key: Key) throws { try put(key) { sink.write(Int64(value)) } }
  func encode(_ value: Int8, forKey key: Key) throws { try put(key) { sink.write(Int64(value)) } }
  func encode(_ value: Int16, forKey key: Key) throws { try put(key) { sink.write(Int64(value)) } }
  func encode(_ value: Int32, forKey key: Key) throws { try put(key) { sink.write(Int64(value)) } }
  func encode(_ value: Int64, forKey key: Key) throws { try put(key) { sink.write(value) } }
  func encode(_ value: UInt, forKey key: Key) throws { try put(key) { sink.write(UInt64(value)) } }
  func encode(_ value: UInt8, forKey key: Key) throws { try put(key) { sink.write(UInt64(value)) } }
  func encode(_ value: UInt16, forKey key: Key) throws {
    try put(key) { sink.write(UInt64(value)) }
  }
  func encode(_ value: UInt32, forKey key: Key) throws {
    try put(key) { sink.write(UInt64(value)) }
  }
  func encode(_ value: UInt64, forKey key: Key) throws { try put(key) { sink.write(value) } }
  func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
    try put(key) { try sink.write(value) }
  }

  func nestedContainer<Nested>(
    keyedBy _: Nested.Type, forKey key: Key
  ) -> KeyedEncodingContainer<Nested> {
    open(key)
    return KeyedEncodingContainer(FieldContainer<Nested>(sink: sink))
  }

  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    open(key)
    return ElementContainer(sink: sink)
  }

  func superEncoder() -> any Encoder { FieldEncoder(sink: sink) }

  func superEncoder(forKey key: Key) -> any Encoder {
    open(key)
    return FieldEncoder(sink: sink)
  }
}

private struct ElementContainer: UnkeyedEncodingContainer {
  let sink: FieldSink
  var codingPath: [any CodingKey] { [] }
  private(set) var count = 0

  init(sink: FieldSink) { self.sink = sink }

  private mutating func put(_ body: (FieldSink) throws -> Void) throws {
    let sink = sink
    try sink.writeMeasured { try body(sink) }
    count += 1
  }

  mutating func encodeNil() throws { try put { $0.writeNone() } }
  mutating func encode(_ value: Bool) throws { try put { $0.write(value) } }
  mutating func encode(_ value: String) throws { try put { $0.write(text: value) } }
  mutating func encode(_ value: Double) throws { try put { $0.write(bits: value.bitPattern) } }
  mutating func encode(_ value: Float) throws {
    try put { $0.write(bits: UInt64(value.bitPattern)) }
  }
  mutating func encode(_ value: Int) throws { try put { $0.write(Int64(value)) } }
  mutating func encode(_ value: Int8) throws { try put { $0.write(Int64(value)) } }
  mutating func encode(_ value: Int16) throws { try put { $0.write(Int64(value)) } }
  mutating func encode(_ value: Int32) throws { try put { $0.write(Int64(value)) } }
  mutating func encode(_ value: Int64) throws { try put { $0.write(value) } }
  mutating func encode(_ value: UInt) throws { try put { $0.write(UInt64(value)) } }
  mutating func encode(_ value: UInt8) throws { try put { $0.write(UInt64(value)) } }
  mutating func encode(_ value: UInt16) throws { try put { $0.write(UInt64(value)) } }
  mutating func encode(_ value: UInt32) throws { try put { $0.write(UInt64(value)) } }
  mutating func encode(_ value: UInt64) throws { try put { $0.write(value) } }
  mutating func encode<Value: Encodable>(_ value: Value) throws {
    try put { try $0.write(value) }
  }

  mutating func nestedContainer<Nested>(
    keyedBy _: Nested.Type
  ) -> KeyedEncodingContainer<Nested> {
    sink.write(length: FieldBytes.rest)
    return KeyedEncodingContainer(FieldContainer<Nested>(sink: sink))
  }

  mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
    sink.write(length: FieldBytes.rest)
    return ElementContainer(sink: sink)
  }

  mutating func superEncoder() -> any Encoder { FieldEncoder(sink: sink) }
}

private struct ValueContainer: SingleValueEncodingContainer {
  let sink: FieldSink
  var codingPath: [any CodingKey] { [] }

  func encodeNil() throws { sink.writeNone() }
  func encode(_ value: Bool) throws { sink.write(value) }
  func encode(_ value: String) throws { sink.write(text: value) }
  func encode(_ value: Double) throws { sink.write(bits: value.bitPattern) }
  func encode(_ value: Float) throws { sink.write(bits: UInt64(value.bitPattern)) }
  func encode(_ value: Int) throws { sink.write(Int64(value)) }
  func encode(_ value: Int8) throws { sink.write(Int64(value)) }
  func encode(_ value: Int16) throws { sink.write(Int64(value)) }
  func encode(_ value: Int32) throws { sink.write(Int64(value)) }
  func encode(_ value: Int64) throws { sink.write(value) }
  func encode(_ value: UInt) throws { sink.write(UInt64(value)) }
  func encode(_ value: UInt8) throws { sink.write(UInt64(value)) }
  func encode(_ value: UInt16) throws { sink.write(UInt64(value)) }
  func encode(_ value: UInt32) throws { sink.write(UInt64(value)) }
  func encode(_ value: UInt64) throws { sink.write(value) }
  func encode<Value: Encodable>(_ value: Value) throws { try sink.write(value) }
}

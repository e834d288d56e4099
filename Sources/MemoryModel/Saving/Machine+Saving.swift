// Invariant: what is saved is the whole state between two operations; what is restored has been
// checked, so that nothing in it makes the model stop later.

extension Machine {
  /// The longest stretch of a table, in bytes.
  package static let stretchLimit = 1 << 20

  /// Everything outside of the tables, as bytes.
  package func savedFields() throws -> [UInt8] { try FieldBytes.encode(fields) }

  /// Calls `body` with the stretches of all tables that hold anything: the table's place in
  /// ``MachineShape/tables``, the offset in it, and the bytes.
  package func forEachStretch(_ body: (Int, Int, [UInt8]) throws -> Void) throws {
    try withoutActuallyEscaping(body) { body in
      var reader = StretchReader(body: body)
      try readTables(&reader)
    }
  }

  private struct StretchReader: TableReader {
    var table = 0
    let body: (Int, Int, [UInt8]) throws -> Void

    mutating func read<Element>(
      _ name: String, _ arena: borrowing Arena<Element>, used: Int
    ) throws {
      try arena.forEachStretch(prefix: used, limit: Machine.stretchLimit) { offset, bytes in
        try body(table, offset, bytes)
      }
      table += 1
    }
  }

  /// Takes over what ``savedFields()`` gave.
  ///
  /// - Throws: `.configuration` when no fields can be made of it.
  package mutating func restoreFields(_ bytes: [UInt8]) throws {
    do {
      fields = try FieldBytes.decode(Fields.self, from: bytes)
    } catch let error as FieldError {
      throw MemoryError(.configuration, "impossible contents: \(error.text)")
    } catch {
      throw MemoryError(.configuration, "impossible contents: \(error)")
    }
  }

  /// Takes over one stretch of a table.
  package mutating func restoreStretch(_ table: Int, _ offset: Int, _ bytes: [UInt8]) throws {
    var writer = StretchWriter(table: table, offset: offset, bytes: bytes)
    try writeTables(&writer)
    guard writer.fits else {
      throw MemoryError(.configuration, "impossible contents: bytes behind the end of a table")
    }
  }

  private struct StretchWriter: TableWriter {
    let table: Int
    let offset: Int
    let bytes: [UInt8]
    var place = 0
    var fits = false

    mutating func write<Element>(_ name: String, _ arena: inout Arena<Element>) throws {
      if place == table { fits = arena.load(bytes, at: offset) }
      place += 1
    }
  }
}

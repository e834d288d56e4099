// Invariant: two machines of which no difference is found behave the same from here on.

extension Machine {
  /// The first table or field in which the bytes of two machines differ, by its name; nil if none.
  ///
  /// Parts of tables that are not in use, left over from what was, are not compared.
  package func firstDifference(from other: borrowing Machine) throws -> String? {
    let mine = try FieldBytes.encode(MachineShape(self))
    if try FieldBytes.encode(MachineShape(other)) != mine { return "shape" }
    let fields = FieldBytes.fields(of: try FieldBytes.encode(self.fields))
    let others = FieldBytes.fields(of: try FieldBytes.encode(other.fields))
    if fields.map(\.name) != others.map(\.name) { return "an optional field" }
    for (field, other) in zip(fields, others) where field.value != other.value {
      return field.name
    }
    var left = Stretches()
    try readTables(&left)
    var right = Stretches()
    try other.readTables(&right)
    for (left, right) in zip(left.tables, right.tables) where left != right { return left.name }
    return nil
  }

  /// Whether the counters of two machines differ, which tells at once that the machines do.
  ///
  /// ``firstDifference(from:)`` writes all fields down and reads all tables first.
  package func countsDiffer(from other: borrowing Machine) -> Bool {
    !events.isEqual(to: other.events) || !nodeItems.isEqual(to: other.nodeItems)
      || !zoneItems.isEqual(to: other.zoneItems)
  }

  private struct Stretches: TableReader {
    struct Table: Equatable {
      let name: String
      var offsets: [Int] = []
      /// Of the bytes of each stretch.
      var hashes: [Int] = []
    }

    var tables: [Table] = []

    mutating func read<Element>(
      _ name: String, _ table: borrowing Arena<Element>, used: Int
    ) throws {
      var read = Table(name: name)
      try table.forEachStretch(prefix: used, limit: 1 << 20) { offset, bytes in
        read.offsets.append(offset)
        read.hashes.append(bytes.hashValue)
      }
      tables.append(read)
    }
  }
}

internal import LuaBridge
internal import MemoryModel
internal import MemoryRender

// Invariant: every row has a cell for each column; a column exists when any row gave it.

/// What one function did on several kernels.
final class Comparison {
  struct Row {
    let kernel: String
    /// By name, in the order in which they came.
    var cells: [(name: String, value: LuaValue)] = []

    subscript(name: String) -> LuaValue { cells.first { $0.name == name }?.value ?? .nil }
  }

  private(set) var rows: [Row] = []
  /// The names of the columns, in the order in which they first came.
  private(set) var columns: [String] = []
  /// Whether somebody asked for these columns, who then sees all of them.
  private var isChosen = false
  /// What changed in /proc/vmstat, a table a row.
  private(set) var counters: [LuaTable] = []

  func add(_ row: Row, counters: LuaTable) {
    rows.append(row)
    self.counters.append(counters)
    for cell in row.cells where !columns.contains(cell.name) { columns.append(cell.name) }
  }

  /// Columns in which something happened: not empty, zero or false in every row.
  private var shown: [String] {
    columns.filter { name in
      isChosen
        || rows.contains { row in
          switch row[name] {
          case .nil, .boolean(false), .integer(0): false
          default: true
          }
        }
    }
  }

  /// A table with a line for each kernel; a cell that differs from the last line's stands out: by color,
  /// or else by a star behind it, which a line below explains.
  ///
  /// - Parameter width: Where a line would be longer the columns that are left make a table of their own below.
  func text(color: Bool, width: Int) -> String {
    guard let last = rows.last else { return "no kernels" }
    let names = shown
    let marks = rows.map { row in
      [false] + names.map { Self.text(row[$0]) != Self.text(last[$0]) }
    }
    let headers = ["kernel"] + names
    let isMarked = headers.indices.map { column in marks.contains { $0[column] } }
    /// A column with a star in it has room for one in every cell.
    func starred(_ text: String, _ column: Int, _ mark: Bool) -> String {
      color || !isMarked[column] ? text : text + (mark ? "*" : " ")
    }
    let cells = zip(rows, marks).map { row, marks in
      ([row.kernel] + names.map { Self.text(row[$0]) }).enumerated().map {
        starred($1, $0, marks[$0])
      }
    }
    let widths = headers.indices.map { column in
      max(starred(headers[column], column, false).count, cells.map { $0[column].count }.max() ?? 0)
    }
    let numeric = names.map { name in
      rows.allSatisfy { row in
        switch row[name] {
        case .integer, .number, .nil: true
        default: false
        }
      }
    }
    /// Spaces behind a column; the room for stars is one of them.
    func gap(_ column: Int) -> Int { !color && isMarked[column] ? 1 : 2 }
    var lines: [String] = []
    func line(_ columns: [Int], _ fields: [String], _ marks: [Bool]) {
      var drawn = ""
      var before: Int?
      for column in columns {
        let field = fields[column]
        if let before { drawn += String(repeating: " ", count: gap(before)) }
        before = column
        let isRight = column > 0 && numeric[column - 1]
        let padded =
          isRight ? field.padded(left: widths[column]) : field.padded(widths[column])
        drawn += marks[column] && color ? "\u{1B}[1;33m\(padded)\u{1B}[0m" : padded
      }
      while drawn.last == " " { drawn.removeLast() }
      lines.append(drawn)
    }
    var parts = [[0]]
    var used = widths[0]
    for column in headers.indices.dropFirst() {
      let last = parts[parts.count - 1]
      if used + gap(last[last.count - 1]) + widths[column] > width, last.count > 1 {
        parts.append([0])
        used = widths[0]
      }
      let before = parts[parts.count - 1].last ?? 0
      parts[parts.count - 1].append(column)
      used += gap(before) + widths[column]
    }
    for (index, part) in parts.enumerated() {
      if index > 0 { lines.append("") }
      line(
        part, headers.enumerated().map { starred($1, $0, false) }, headers.map { _ in false })
      for (fields, marks) in zip(cells, marks) { line(part, fields, marks) }
    }
    if !color, isMarked.contains(true) { lines.append("* differs from \(last.kernel)") }
    return lines.joined(separator: "\n")
  }

  /// The same rows with these columns only, in this order.
  func only(_ names: [String]) -> Comparison {
    let narrow = Comparison()
    narrow.isChosen = true
    for (row, counters) in zip(rows, counters) {
      narrow.add(
        Row(kernel: row.kernel, cells: names.map { ($0, row[$0]) }), counters: counters)
    }
    return narrow
  }

  /// The names of columns that are not the same in every row.
  var differing: [String] {
    columns.filter { name in
      rows.contains { Self.text($0[name]) != Self.text(rows[0][name]) }
    }
  }

  static func text(_ value: LuaValue) -> String {
    switch value {
    case .nil: ""
    case .boolean(let value): value ? "true" : "false"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let text): text
    case .table(let table):
      "{" + table.elements.map { text($0) }.joined(separator: ", ") + "}"
    case .object(let handle): handle.typeName
    case .function: "function"
    case .other(let name): name
    }
  }

  /// Comma-separated values with a header, every column, as RFC 4180 has them.
  var csv: String {
    func quoted(_ text: String) -> String {
      text.contains { ",\"\n\r".contains($0) }
        ? "\"" + text.replacing("\"", with: "\"\"") + "\"" : text
    }
    var text = (["kernel"] + columns).map(quoted).joined(separator: ",") + "\n"
    for row in rows {
      text +=
        ([row.kernel] + columns.map { Self.text(row[$0]) }).map(quoted)
        .joined(separator: ",") + "\n"
    }
    return text
  }

  /// A JSON array with an object for each kernel; its counters are in `vmstat`.
  var json: String {
    let objects = zip(rows, counters).map { row, counters in
      let fields =
        [("kernel", LuaValue.string(row.kernel))] + columns.map { ($0, row[$0]) }
        + [("vmstat", .table(counters))]
      return Self.json(.table(LuaTable(fields: fields.map { (name: $0.0, value: $0.1) })))
    }
    return "[\n  " + objects.joined(separator: ",\n  ") + "\n]\n"
  }

  private static func json(_ value: LuaValue) -> String {
    switch value {
    case .nil: "null"
    case .boolean(let value): value ? "true" : "false"
    case .integer(let value): "\(value)"
    case .number(let value): value.isFinite ? "\(value)" : "null"
    case .string(let text): quoted(text)
    case .table(let table) where table.fields.isEmpty && !table.elements.isEmpty:
      "[" + table.elements.map { json($0) }.joined(separator: ", ") + "]"
    case .table(let table):
      "{" + table.fields.map { quoted($0.name) + ": " + json($0.value) }.joined(separator: ", ")
        + "}"
    case .object, .function, .other: quoted(text(value))
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// A row as a table: every column, and `vmstat`.
  func table(_ index: Int) -> LuaTable {
    let row = rows[index]
    return LuaTable(
      fields: [("kernel", .string(row.kernel))] + columns.map { ($0, row[$0]) }
        + [("vmstat", .table(counters[index]))])
  }
}

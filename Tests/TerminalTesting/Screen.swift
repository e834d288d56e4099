// As much of a terminal as line editors use: text, the cursor, and erasing.
//
// Both types take bytes in pieces cut anywhere, even inside a character or an escape sequence; what
// is not complete waits for the next piece. Each character takes one cell.

/// The characters that a person sees, with the cursor.
public struct Screen: Sendable {
  public let columns: Int
  public let rows: Int
  public private(set) var cursor = (row: 0, column: 0)

  private var cells: [[Character]]
  private var parser = EscapeParser()

  init(columns: Int, rows: Int) {
    self.columns = columns
    self.rows = rows
    cells = Array(repeating: Array(repeating: " ", count: columns), count: rows)
  }

  /// The lines without the blanks at their ends, up to the last that is not blank.
  public var lines: [String] {
    var lines = cells.map { row in
      String(row[...(row.lastIndex { $0 != " " } ?? -1)].map { $0 })
    }
    while lines.last == "" { lines.removeLast() }
    return lines
  }

  /// Whether these lines are the last on the screen; blanks at the ends of lines do not count.
  public func ends(with expected: String...) -> Bool {
    lines.suffix(expected.count) == expected[...]
  }

  mutating func show(_ bytes: ArraySlice<UInt8>) {
    for token in parser.take(bytes) { show(token) }
  }

  private mutating func show(_ token: EscapeParser.Token) {
    switch token {
    case .text(let scalar): put(Character(scalar))
    case .control("\n"): lineFeed()
    case .control("\r"): cursor.column = 0
    case .control("\u{08}"): cursor.column = max(0, cursor.column - 1)
    case .control("\t"): cursor.column = min(columns - 1, (cursor.column / 8 + 1) * 8)
    case .control: break
    case .sequence(let parameters, let command): obey(command, parameters)
    }
  }

  private mutating func put(_ character: Character) {
    // The cursor stays behind the last column until something more is written.
    if cursor.column == columns {
      cursor.column = 0
      lineFeed()
    }
    cells[cursor.row][cursor.column] = character
    cursor.column += 1
  }

  private mutating func lineFeed() {
    if cursor.row < rows - 1 {
      cursor.row += 1
    } else {
      cells.removeFirst()
      cells.append(Array(repeating: " ", count: columns))
    }
  }

  private mutating func obey(_ command: Character, _ parameters: [Int]) {
    let count = max(1, parameters.first ?? 1)
    let column = min(cursor.column, columns - 1)
    switch command {
    case "A": cursor.row = max(0, cursor.row - count)
    case "B": cursor.row = min(rows - 1, cursor.row + count)
    case "C": cursor.column = min(columns - 1, cursor.column + count)
    case "D": cursor.column = max(0, cursor.column - count)
    case "G": cursor.column = min(columns, count) - 1
    case "H":
      cursor.row = min(rows, count) - 1
      cursor.column = min(columns, max(1, parameters.count > 1 ? parameters[1] : 1)) - 1
    case "J":
      erase(cursor.row, from: parameters.first == 2 ? 0 : column)
      let first = parameters.first == 2 ? 0 : cursor.row + 1
      for row in first..<max(first, rows) { erase(row, from: 0) }
    case "K": erase(cursor.row, from: column)
    case "P":
      let removed = min(count, columns - column)
      cells[cursor.row].removeSubrange(column..<column + removed)
      cells[cursor.row] += Array(repeating: " ", count: removed)
    case "@":
      let added = min(count, columns - column)
      cells[cursor.row].insert(contentsOf: Array(repeating: " ", count: added), at: column)
      cells[cursor.row].removeLast(added)
    default: break
    }
  }

  private mutating func erase(_ row: Int, from column: Int) {
    for index in column..<columns { cells[row][index] = " " }
  }
}

/// Text in the order it was shown, without escape sequences and carriage returns.
struct PlainText {
  private var parser = EscapeParser()

  mutating func take(_ bytes: ArraySlice<UInt8>) -> String {
    var text = ""
    for token in parser.take(bytes) {
      switch token {
      case .text(let scalar): text.unicodeScalars.append(scalar)
      case .control("\n"): text += "\n"
      default: break
      }
    }
    return text
  }
}

/// Bytes cut into characters, control characters and sequences that begin with `ESC [`.
struct EscapeParser: Sendable {
  enum Token {
    case text(Unicode.Scalar)
    case control(Unicode.Scalar)
    case sequence([Int], Character)
  }

  private var waiting: [UInt8] = []

  mutating func take(_ bytes: ArraySlice<UInt8>) -> [Token] {
    waiting += bytes
    var tokens: [Token] = []
    var rest = waiting[...]
    while let length = tokenLength(rest) {
      if let token = token(rest.prefix(length)) { tokens.append(token) }
      rest = rest.dropFirst(length)
    }
    waiting = Array(rest)
    return tokens
  }

  /// How many bytes the first token has, nil if it is not all there.
  private func tokenLength(_ bytes: ArraySlice<UInt8>) -> Int? {
    guard let first = bytes.first else { return nil }
    if first == 0x1B {
      guard bytes.count > 1 else { return nil }
      guard bytes[bytes.startIndex + 1] == UInt8(ascii: "[") else { return 2 }
      let end = bytes.dropFirst(2).firstIndex { (0x40...0x7E).contains($0) }
      return end.map { $0 - bytes.startIndex + 1 }
    }
    let length =
      switch first {
      case 0xC0...0xDF: 2
      case 0xE0...0xEF: 3
      case 0xF0...0xF7: 4
      default: 1
      }
    return bytes.count >= length ? length : nil
  }

  private func token(_ bytes: ArraySlice<UInt8>) -> Token? {
    let text = String(decoding: bytes, as: UTF8.self)
    guard bytes.first == 0x1B else {
      guard let scalar = text.unicodeScalars.first else { return nil }
      return scalar.value < 0x20 || scalar.value == 0x7F ? .control(scalar) : .text(scalar)
    }
    guard bytes.count > 2, let command = text.last else { return nil }
    let parameters = text.dropFirst(2).dropLast().split(separator: ";").map { Int($0) ?? 0 }
    return .sequence(parameters, command)
  }
}

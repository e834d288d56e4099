/// Rows of text under headers, each column as wide as its widest cell.
///
/// ```
/// zone    free   managed
/// DMA     3840      3840
/// Normal   128   1048576
/// ```
/// Columns are two spaces apart; lines carry no blanks at their ends. A row with fewer cells than
/// the table has columns is filled with empty ones; surplus cells are a bug and trap.
public struct TextTable {
  public enum Alignment: Sendable {
    case left
    case right
  }

  private let headers: [String]
  private let alignments: [Alignment]
  private var rows: [[String]] = []

  public init(_ columns: [(header: String, alignment: Alignment)]) {
    headers = columns.map(\.header)
    alignments = columns.map(\.alignment)
  }

  public mutating func add(_ cells: [String]) {
    precondition(cells.count <= headers.count, "more cells than columns")
    rows.append(cells + Array(repeating: "", count: headers.count - cells.count))
  }

  /// The lines, each ended by a newline.
  ///
  /// Without any header text the first line is a row.
  public var text: String {
    let lines = (headers.allSatisfy(\.isEmpty) ? [] : [headers]) + rows
    let widths = headers.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    var result = ""
    for line in lines {
      var drawn = ""
      for (column, cell) in line.enumerated() {
        if column > 0 { drawn += "  " }
        drawn +=
          alignments[column] == .right
          ? cell.padded(left: widths[column]) : cell.padded(right: widths[column])
      }
      while drawn.last == " " { drawn.removeLast() }
      result += drawn + "\n"
    }
    return result
  }
}

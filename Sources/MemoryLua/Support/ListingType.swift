internal import LuaBridge

/// Rows that print as lines and are tables when a script asks.
final class ListingObject {
  private(set) var lines: [String] = []
  private(set) var rows: [LuaTable] = []
  private let header: String
  /// How many there are in all, when only a part is listed.
  var total: Int?
  /// What an empty list prints.
  var empty = "nothing"
  /// Named lists beside the rows.
  var fields: [(name: String, value: LuaValue)] = []

  init(header: String) { self.header = header }

  func add(_ line: String, _ fields: [(name: String, value: LuaValue)]) {
    lines.append(line)
    rows.append(LuaTable(fields: fields))
  }

  /// Lines that are printed; the rows are all there.
  var shownLines = 32

  var text: String {
    if lines.isEmpty { return empty }
    var shown = header.isEmpty ? [] : [header]
    shown += lines.prefix(shownLines)
    let all = total ?? lines.count
    if all > shownLines { shown.append("… \(all) in all") }
    return shown.joined(separator: "\n")
  }
}

extension MemoryLibrary {
  static func listingType() -> LuaType {
    LuaType(
      "listing", ListingObject.self,
      doc: "Rows that print as lines; list[i] is row i as a table, #list their number.",
      properties: [
        LuaProperty("total", .integer(), "How many there are in all, listed or not.") { call in
          let listing = call.object(as: ListingObject.self)
          call.returns(listing.total ?? listing.rows.count)
        }
      ],
      methods: [],
      display: { $0.owner(as: ListingObject.self).text },
      length: { $0.owner(as: ListingObject.self).rows.count },
      element: { call in
        let listing = call.object(as: ListingObject.self)
        let index = call.integer(0)
        guard index >= 1, index <= listing.rows.count else { return call.returnsNil() }
        call.returns(listing.rows[index - 1])
      })
  }
}

extension String {
  /// Blanks behind the text up to a width.
  func padded(_ width: Int) -> String {
    count >= width ? self : self + String(repeating: " ", count: width - count)
  }

  /// Blanks before the text up to a width.
  func padded(left width: Int) -> String {
    count >= width ? self : String(repeating: " ", count: width - count) + self
  }
}

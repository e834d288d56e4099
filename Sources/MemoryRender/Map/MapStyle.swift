internal import MemoryModel

/// Glyphs and colours of a map: every fact has a glyph, colour repeats or adds.
struct MapStyle {
  let color: Bool
  let unicode: Bool

  /// A title and the facts behind it, in lines of `columns` characters.
  func title(_ title: String, _ facts: [String], columns: Int) -> [String] {
    var lines = [title]
    for (index, fact) in facts.enumerated() {
      let piece = (index == 0 ? "  " : unicode ? " · " : ", ") + fact
      if lines[lines.count - 1].count + piece.count > max(40, columns) {
        lines.append("  " + fact)
      } else {
        lines[lines.count - 1] += piece
      }
    }
    lines[0] = paint(title, Self.bold) + lines[0].dropFirst(title.count)
    return lines
  }

  func glyph(_ fill: MapCell.Fill) -> Character {
    switch fill {
    case .hole: unicode ? "╌" : "-"
    case .reserved: unicode ? "▓" : "="
    case .empty: unicode ? "░" : "."
    case .eighths(let eighths):
      unicode ? Array("▁▂▃▄▅▆▇█")[eighths - 1] : Array("1234567#")[eighths - 1]
    }
  }

  func letter(_ type: MigrateType, isMixed: Bool) -> Character {
    let letter: Character =
      switch type {
      case .unmovable: "U"
      case .movable: "M"
      case .reclaimable: "R"
      case .highAtomic: "H"
      case .cma: "C"
      case .isolate: "I"
      }
    return isMixed ? Character(letter.lowercased()) : letter
  }

  /// The sign under a cell with pages that cannot be moved away.
  var blocked: Character { unicode ? "▲" : "^" }

  // MARK: Colours, as the parameters of "select graphic rendition"

  func color(_ type: MigrateType) -> String {
    switch type {
    case .unmovable: "31"
    case .movable: "32"
    case .reclaimable: "33"
    case .highAtomic: "35"
    case .cma: "36"
    case .isolate: "7"
    }
  }

  /// Nine hues of the 256-colour table, told apart with the common colour deficiencies, too.
  func color(_ use: PageUse) -> String {
    switch use {
    case .anon: "38;5;78"
    case .file: "38;5;75"
    case .hugetlb: "38;5;177"
    case .slab: "38;5;214"
    case .pageTable: "38;5;228"
    case .driver: "38;5;44"
    case .kernel: "38;5;203"
    case .cma: "38;5;117"
    case .other: "38;5;250"
    }
  }

  static let dim = "2"
  static let bold = "1"

  func paint(_ text: String, _ code: String?) -> String {
    guard color, let code, !text.isEmpty else { return text }
    return "\u{1B}[\(code)m\(text)\u{1B}[0m"
  }

  /// A row of glyphs; neighbours of one colour share one escape sequence.
  func row(_ cells: [(glyph: Character, color: String?)]) -> String {
    var text = ""
    var run = ""
    var runColor: String?
    for cell in cells {
      if cell.color != runColor {
        text += paint(run, runColor)
        run = ""
        runColor = cell.color
      }
      run.append(cell.glyph)
    }
    return text + paint(run, runColor)
  }
}

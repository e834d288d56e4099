// Invariant: a cell stands for a power of two of pageblocks and starts at a multiple of its own
// size, so the same frame stays in the same cell while memory fills. No line is wider than
// `columns`, escape sequences apart.

public import MemoryModel

/// A drawing of physical memory: how full it is, and what its pageblocks are for.
///
/// ```
/// Node 0 Normal  4 GiB at pfn 0x100000 · 3.10 GiB free (78 %) · 4 GiB managed
///   1 GiB of 1 GiB CMA free · one cell = 128 pageblocks (256 MiB)
///   0x100000  █▇▃▁░░░░░░░░░░░░
///             UUmMMMMMMMMMCCCC
/// ```
public struct MemoryMap {
  /// The width to stay inside; never less than 40.
  public var columns = 80
  public var color = false
  public var unicode = true
  /// The most rows of cells that one zone may take; more pageblocks go into a cell instead.
  public var rows = 2
  /// Only pageblocks of these frames; nil draws all memory.
  public var range: PFNRange?
  /// Frames to point at with a sign of their own, ascending, because they cannot be moved away.
  public var blocked: [PFN] = []
  /// Explain the signs below the map.
  public var legend = true

  public init(
    columns: Int = 80, color: Bool = false, unicode: Bool = true, legend: Bool = true
  ) {
    self.legend = legend
    self.columns = columns
    self.color = color
    self.unicode = unicode
  }

  /// Draws every populated zone, lowest first.
  ///
  /// - Complexity: O(pageblocks), and O(pages) of those pageblocks that are split.
  public func text(_ machine: borrowing Machine) -> String {
    let style = MapStyle(color: color, unicode: unicode)
    var reader = PageblockReader(machine)
    var text = ""
    var total = MapCell()
    for id in machine.populatedZones {
      let zone = machine.zone(id)
      if let range, zone.range.intersection(range).isEmpty { continue }
      let strip = strip(zone, machine, &reader)
      for cell in strip.cells { total.add(cell) }
      text += header(zone, strip, machine, style)
      text += draw(strip, style)
    }
    if legend { text += explanation(total, machine, style) }
    return text
  }

  // MARK: Cells

  private struct Strip {
    var cells: [MapCell] = []
    /// The zone's first frame.
    var start = 0
    /// The first pageblock of the first cell.
    var first = 0
    /// log2 of the pageblocks in a cell.
    var shift = 0
    var pageblockOrder = 0
    var labelWidth = 0
    var cellsPerRow = 0
    var total = MapCell()
  }

  private func strip(
    _ zone: Zone, _ machine: borrowing Machine, _ reader: inout PageblockReader
  ) -> Strip {
    let order = machine.geometry.pageblockOrder
    let shown = range.map { zone.range.intersection($0) } ?? zone.range
    let firstBlock = shown.start >> order
    let lastBlock = (shown.end - 1) >> order
    var strip = Strip()
    strip.pageblockOrder = order
    strip.start = shown.start
    // Two blanks, the label, two blanks.
    strip.labelWidth = max(zone.end.hex.count, 8)
    strip.cellsPerRow = max(8, max(40, columns) - strip.labelWidth - 4)
    // Eighths of a row are easier to count than a ragged end.
    strip.cellsPerRow &= ~7
    while (lastBlock >> strip.shift) - (firstBlock >> strip.shift) + 1 > strip.cellsPerRow * rows {
      strip.shift += 1
    }
    strip.first = (firstBlock >> strip.shift) << strip.shift
    let count = (lastBlock >> strip.shift) - (firstBlock >> strip.shift) + 1
    strip.cells = Array(repeating: MapCell(), count: count)
    for block in firstBlock...lastBlock {
      let summary = reader.next(block, machine)
      guard summary.zone == zone.node * ZoneIndex.count + zone.indexRawValue else { continue }
      strip.cells[(block - strip.first) >> strip.shift].add(summary)
    }
    for pfn in blocked where (firstBlock...lastBlock).contains(pfn.index >> order) {
      strip.cells[(pfn.index >> order - strip.first) >> strip.shift].isBlocked = true
    }
    for cell in strip.cells { strip.total.add(cell) }
    return strip
  }

  // MARK: Lines

  private func header(
    _ zone: Zone, _ strip: Strip, _ machine: borrowing Machine, _ style: MapStyle
  ) -> String {
    let size = machine.geometry.pageSize
    let isPart = range != nil
    let usable = max(1, isPart ? strip.total.memory - strip.total.reserved : zone.managed)
    var facts = [
      "\(formatSize((isPart ? strip.total.memory : zone.present) * size)) at pfn \(strip.start.hex)",
      "\(formatSize(strip.total.free * size)) free (\(formatShare(strip.total.free, of: usable)))",
    ]
    if strip.total.perCPU > 0 { facts.append("\(formatSize(strip.total.perCPU * size)) per-CPU") }
    if !isPart { facts.append("\(formatSize(zone.managed * size)) managed") }
    if zone.cmaPages > 0, !isPart {
      let free = formatSize(max(0, zone.freeCMAPages) * size)
      facts.append("\(free) of \(formatSize(zone.cmaPages * size)) CMA free")
    }
    let cellPages = machine.geometry.pageblockPages << strip.shift
    let blocks = 1 << strip.shift
    facts.append(
      "one cell = \(blocks) \(blocks == 1 ? "pageblock" : "pageblocks") "
        + "(\(formatSize(cellPages * size)))")
    let title = "Node \(zone.node) \(zone.index.name)"
    return style.title(title, facts, columns: columns).joined(separator: "\n") + "\n"
  }

  private func draw(_ strip: Strip, _ style: MapStyle) -> String {
    var text = ""
    let blank = String(repeating: " ", count: strip.labelWidth + 4)
    for row in stride(from: 0, to: strip.cells.count, by: strip.cellsPerRow) {
      let cells = strip.cells[row..<min(row + strip.cellsPerRow, strip.cells.count)]
      let pfn = (strip.first + (row << strip.shift)) << strip.pageblockOrder
      let label = max(pfn, strip.start).hex.padded(left: strip.labelWidth)
      text += "  " + style.paint(label, MapStyle.dim) + "  "
      text += style.row(
        cells.map { cell in
          let fill = cell.fill
          let color: String? =
            switch fill {
            case .hole, .reserved, .empty: MapStyle.dim
            case .eighths: style.color(cell.use ?? .other)
            }
          return (style.glyph(fill), color)
        })
      text += "\n"
      if !cells.allSatisfy({ $0.type == nil }) {
        text += blank + typeLetters(cells, style) + "\n"
      }
      guard let end = cells.lastIndex(where: \.isBlocked) else { continue }
      text +=
        blank
        + style.row(
          cells[...end].map { $0.isBlocked ? (style.blocked, MapStyle.bold) : (" ", nil) }) + "\n"
    }
    return text
  }

  private func typeLetters(_ cells: ArraySlice<MapCell>, _ style: MapStyle) -> String {
    let letters = cells.map { cell -> (glyph: Character, color: String?) in
      guard let (type, isMixed) = cell.type else { return (" ", nil) }
      return (style.letter(type, isMixed: isMixed), style.color(type))
    }
    let end = letters.lastIndex { $0.glyph != " " } ?? letters.count - 1
    return style.row(Array(letters[...end]))
  }

  /// What the signs mean; only of those that can appear in this machine.
  private func explanation(
    _ total: MapCell, _ machine: borrowing Machine, _ style: MapStyle
  ) -> String {
    let size = machine.geometry.pageSize
    let eighths = (1...8).map { String(style.glyph(.eighths($0))) }.joined()
    var parts = [
      "fill  \(style.glyph(.empty)) all free", "\(eighths) share in use",
      "\(style.glyph(.reserved)) reserved at boot", "\(style.glyph(.hole)) hole",
    ]
    var text = wrap(parts, separator: "  ")
    parts = machine.migrateTypes.map { type in
      style.paint(String(style.letter(type, isMixed: false)), style.color(type))
        + " " + type.name.lowercased()
    }
    parts[0] = "type  " + parts[0]
    text += wrap(parts + ["lower case: mixed"], separator: "  ")
    if total.isBlocked { text += "\(style.blocked)     pages that cannot be moved away\n" }
    parts = PageUse.allCases.filter { total.uses[$0.rawValue] > 0 }.map { use in
      "\(style.paint(use.name, style.color(use))) \(formatSize(total.uses[use.rawValue] * size))"
    }
    guard !parts.isEmpty else { return text }
    parts[0] = "use   " + parts[0]
    return text + wrap(parts, separator: ", ")
  }

  /// Joins the parts into lines of at most `columns`; later lines are indented.
  private func wrap(_ parts: [String], separator: String) -> String {
    var lines: [String] = []
    var width = 0
    for part in parts {
      let partWidth = Self.visibleWidth(part)
      if let last = lines.indices.last, width + separator.count + partWidth <= max(40, columns) {
        lines[last] += separator + part
        width += separator.count + partWidth
      } else {
        let indent = lines.isEmpty ? "" : "      "
        if let last = lines.indices.last, separator.first == "," { lines[last] += "," }
        lines.append(indent + part)
        width = indent.count + partWidth
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }

  /// Characters without the escape sequences.
  private static func visibleWidth(_ text: String) -> Int {
    var width = 0
    var isEscape = false
    for character in text {
      if character == "\u{1B}" {
        isEscape = true
      } else if isEscape {
        if character == "m" { isEscape = false }
      } else {
        width += 1
      }
    }
    return width
  }
}

// Invariant: a cell stands for a power of two of 2 MiB and starts at a multiple of its own size of
// the RAM. No line is wider than `columns`, escape sequences apart.

public import MemoryModel

/// A drawing of a guest's RAM: how much of it is present, where it lies, and what is pinned.
///
/// ```
/// vm0  256 MiB RAM at 0x7f0000000000 · one cell = 2 MiB · 65536 pages present, 256 pinned
///   0x0         ████████████
///               CCCCCCCNNNPP
/// ```
public struct GuestMap {
  /// The width to stay inside; never less than 40.
  public var columns: Int
  public var color: Bool
  public var unicode: Bool
  public var legend: Bool
  /// The most rows of cells; more memory goes into a cell instead.
  static let rows = 4

  public init(columns: Int = 80, color: Bool = false, unicode: Bool = true, legend: Bool = true) {
    self.columns = columns
    self.color = color
    self.unicode = unicode
    self.legend = legend
  }

  private struct Cell {
    var present = 0
    var pinned = 0
    var swapped = 0
    /// Pages by place, see ``Place``.
    var places = InlineArray<6, Int>(repeating: 0)

    var place: (place: Place, isMixed: Bool)? {
      var best: Place?
      var seen = 0
      for place in Place.allCases where places[place.rawValue] > 0 {
        seen += 1
        if best == nil || places[place.rawValue] > places[best!.rawValue] { best = place }
      }
      return best.map { ($0, seen > 1) }
    }
  }

  private enum Place: Int, CaseIterable {
    case cma, movable, normal, low, zero, device

    var letter: Character {
      switch self {
      case .cma: "C"
      case .movable: "M"
      case .normal: "N"
      case .low: "L"
      case .zero: "Z"
      case .device: "D"
      }
    }

    var words: String {
      switch self {
      case .cma: "CMA"
      case .movable: "ZONE_MOVABLE"
      case .normal: "ZONE_NORMAL"
      case .low: "ZONE_DMA32 or ZONE_DMA"
      case .zero: "the zero page"
      case .device: "device memory"
      }
    }

    var color: String {
      switch self {
      case .cma: "36"
      case .movable: "32"
      case .normal: "34"
      case .low: "33"
      case .zero: "2"
      case .device: "35"
      }
    }
  }

  /// Draws the RAM of a process.
  ///
  /// - Complexity: O(entries of the RAM), plus the runs of the pins.
  public func text(_ machine: borrowing Machine, space: Int) -> String {
    let guest = machine.spaces[space]
    let ram = guest.ram
    guard !ram.isEmpty else { return "\(guest.name) has no RAM\n" }
    let style = MapStyle(color: color, unicode: unicode)
    let labelWidth = max((ram.count << machine.geometry.pageShift).hex.count, 8)
    let perRow = max(8, max(40, columns) - labelWidth - 4) & ~7
    var order = 9
    while (ram.count - 1) >> order + 1 > perRow * Self.rows { order += 1 }
    var cells = Array(repeating: Cell(), count: (ram.count - 1) >> order + 1)
    fill(&cells, machine, space, ram, order)
    addPins(&cells, machine, space, ram, order)
    var text = header(guest, cells, order, machine.geometry.pageShift, style)
    let blank = String(repeating: " ", count: labelWidth + 4)
    for row in stride(from: 0, to: cells.count, by: perRow) {
      let part = cells[row..<min(row + perRow, cells.count)]
      let label = (row << (order + 12)).hex.padded(left: labelWidth)
      text += "  " + style.paint(label, MapStyle.dim) + "  "
      text += style.row(
        part.enumerated().map { index, cell in
          let whole = min(1 << order, ram.count - (row + index) << order)
          return (style.glyph(level(cell, whole)), cell.place.map { $0.place.color })
        })
      text += "\n"
      let letters = part.map { letter($0) }
      guard let end = letters.lastIndex(where: { $0.glyph != " " }) else { continue }
      text += blank + style.row(Array(letters[...end])) + "\n"
    }
    if legend { text += explanation(cells, style) }
    return text
  }

  private func level(_ cell: Cell, _ whole: Int) -> MapCell.Fill {
    if cell.present == 0 { return .empty }
    if cell.present >= whole { return .eighths(8) }
    return .eighths(min(7, max(1, (cell.present * 8 + whole / 2) / whole)))
  }

  private func letter(_ cell: Cell) -> (glyph: Character, color: String?) {
    if cell.pinned == 0, cell.swapped > 0, cell.swapped >= cell.present {
      return (cell.present == 0 ? "S" : "s", "35")
    }
    if cell.pinned > 0 { return (cell.pinned >= cell.present ? "P" : "p", "31") }
    guard let (place, isMixed) = cell.place else { return (" ", nil) }
    let letter = isMixed ? Character(place.letter.lowercased()) : place.letter
    return (letter, place.color)
  }

  private func fill(
    _ cells: inout [Cell], _ machine: borrowing Machine, _ space: Int, _ ram: Range<Int>,
    _ order: Int
  ) {
    var page = ram.lowerBound
    while page < ram.upperBound {
      let (entry, _, level) = machine.entry(space, page: page)
      let span = 1 << min(level.order, order)
      let next = min((page & ~(span - 1)) + span, ram.upperBound)
      if entry.isPresent {
        let cell = (page - ram.lowerBound) >> order
        cells[cell].present += next - page
        let place: Place
        if entry.flags.contains(.device) {
          place = .device
        } else if entry.flags.contains(.special) {
          place = .zero
        } else if machine.frames.migrateType(entry.pfn) == .cma {
          place = .cma
        } else {
          switch machine.frames.zone(of: entry.pfn).map({ $0 % ZoneIndex.count }) {
          case ZoneIndex.movable.rawValue: place = .movable
          case ZoneIndex.normal.rawValue: place = .normal
          default: place = .low
          }
        }
        cells[cell].places[place.rawValue] += next - page
      } else if isSwapped(machine, space, page, entry) {
        cells[(page - ram.lowerBound) >> order].swapped += 1
      }
      page = next
    }
  }

  /// Of shared memory the file knows the slot.
  private func isSwapped(
    _ machine: borrowing Machine, _ space: Int, _ page: Int, _ entry: PageTableEntry
  ) -> Bool {
    if entry.isSwap { return true }
    guard machine.swapPages.used > 0, let area = machine.spaces[space].area(page),
      let file = area.file
    else { return false }
    return machine.swappedSlot(file, page: area.filePage(page)) != nil
  }

  private func addPins(
    _ cells: inout [Cell], _ machine: borrowing Machine, _ space: Int, _ ram: Range<Int>,
    _ order: Int
  ) {
    for pin in machine.pins where pin.space == space && !pin.isGet {
      var page = pin.startPage
      let end = min(pin.startPage + pin.pages, ram.upperBound)
      while page < end {
        let cell = (page - ram.lowerBound) >> order
        let next = min(end, ram.lowerBound + (cell + 1) << order)
        if cell >= 0 { cells[cell].pinned += next - page }
        page = next
      }
    }
  }

  private func header(
    _ guest: AddressSpace, _ cells: [Cell], _ order: Int, _ shift: Int, _ style: MapStyle
  ) -> String {
    let present = cells.reduce(0) { $0 + $1.present }
    let pinned = cells.reduce(0) { $0 + $1.pinned }
    var facts = [
      "\(formatSize(guest.ram.count << shift)) RAM at \((guest.ram.lowerBound << shift).hex)",
      "one cell = \(formatSize(1 << (order + shift)))", "\(present) pages present",
    ]
    if pinned > 0 { facts.append("\(pinned) pinned") }
    let swapped = cells.reduce(0) { $0 + $1.swapped }
    if swapped > 0 { facts.append("\(swapped) swapped out") }
    return style.title(guest.name, facts, columns: columns).joined(separator: "\n") + "\n"
  }

  private func explanation(_ cells: [Cell], _ style: MapStyle) -> String {
    var parts = ["\(style.glyph(.empty)) not present"]
    for place in Place.allCases where cells.contains(where: { $0.places[place.rawValue] > 0 }) {
      parts.append(
        style.paint(String(place.letter), place.color) + " " + place.words)
    }
    if cells.contains(where: { $0.place?.isMixed == true }) { parts.append("small letter: mixed") }
    if cells.contains(where: { $0.pinned > 0 }) {
      parts.append(style.paint("P", "31") + " pinned, " + style.paint("p", "31") + " in part")
    }
    if cells.contains(where: { $0.swapped > 0 }) {
      parts.append(style.paint("S", "35") + " swapped out, " + style.paint("s", "35") + " in part")
    }
    return "  " + parts.joined(separator: "  ") + "\n"
  }
}

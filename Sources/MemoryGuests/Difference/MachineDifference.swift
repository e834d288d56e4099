public import MemoryModel

/// What one machine has that another has not, in the model's words.
public struct MachineDifference: Sendable {
  /// A page of a guest that lies elsewhere, or only in one of the machines.
  public struct Page: Sendable {
    public let guest: String
    /// The page of the address space.
    public let page: Int
    public let before: PFN?
    public let now: PFN?
  }

  public struct Count: Sendable {
    public let name: String
    public let before: Int
    public let now: Int
  }

  /// Of each guest that both have, in its order of addresses; at most ``pageLimit``.
  public private(set) var pages: [Page] = []
  public private(set) var moved = 0
  public private(set) var appeared = 0
  public private(set) var gone = 0
  /// Guests, pins, references and isolations that only one of them has, in words.
  public private(set) var holders: [String] = []
  /// Free pages of zones, lengths of LRU lists, and whatever else is counted.
  public private(set) var counts: [Count] = []
  /// Pageblocks in which the state, the references or the mappings of a frame differ.
  public private(set) var pageblocks: [Int] = []
  public private(set) var frames = 0

  public static let pageLimit = 1000

  public var isEmpty: Bool {
    moved == 0 && appeared == 0 && gone == 0 && holders.isEmpty && counts.isEmpty && frames == 0
  }

  /// No difference.
  public init() {}

  /// Compares a machine with an earlier or other state of it.
  ///
  /// - Precondition: Both have as many frames.
  public init(_ now: borrowing Machine, since before: borrowing Machine) {
    comparePages(now, before)
    compareHolders(now, before)
    compareCounts(now, before)
    compareFrames(now, before)
  }

  private mutating func comparePages(_ now: borrowing Machine, _ before: borrowing Machine) {
    for index in now.spaces.indices where now.spaces[index].isAlive {
      let space = now.spaces[index]
      guard index < before.spaces.count, before.spaces[index].isAlive,
        before.spaces[index].name == space.name
      else { continue }
      for area in space.areas {
        var page = area.start
        while page < area.end {
          let alike = now.alikeEnd(index, page..<area.end, as: before)
          if alike > page {
            page = alike
            continue
          }
          defer { page += 1 }
          let here = now.frame(index, page: page)
          let there = before.frame(index, page: page)
          if here == there { continue }
          if here == nil { gone += 1 } else if there == nil { appeared += 1 } else { moved += 1 }
          if pages.count < Self.pageLimit {
            pages.append(Page(guest: space.name, page: page, before: there, now: here))
          }
        }
      }
    }
  }

  private mutating func compareHolders(_ now: borrowing Machine, _ before: borrowing Machine) {
    func names(_ machine: borrowing Machine) -> [String] {
      var names: [String] = []
      for space in machine.spaces where space.isAlive { names.append("process \(space.name)") }
      for pin in machine.pins {
        names.append("pin #\(pin.id) of \(machine.spaces[pin.space].name), \(pin.pages) pages")
      }
      for held in machine.temporaryReferences {
        names.append(
          "\(held.isIsolation ? "isolation" : "reference") of \(held.page) by \(held.holder)")
      }
      return names
    }
    let (here, there) = (names(now), names(before))
    holders = here.filter { !there.contains($0) }.map { "+ \($0)" }
    holders += there.filter { !here.contains($0) }.map { "- \($0)" }
  }

  private mutating func compareCounts(_ now: borrowing Machine, _ before: borrowing Machine) {
    func add(_ name: String, _ there: Int, _ here: Int) {
      if here != there { counts.append(Count(name: name, before: there, now: here)) }
    }
    for zone in now.populatedZones {
      let name = "\(now.zone(zone).index.name) of node \(now.zone(zone).node)"
      add("free pages in \(name)", before.zone(zone).freePages, now.zone(zone).freePages)
      add(
        "free CMA pages in \(name)", before.zone(zone).freeCMAPages, now.zone(zone).freeCMAPages)
    }
    for node in 0..<now.nodeCount {
      for list in LRUList.allCases {
        add(
          "folios on \(list.name) of node \(node)", before.lruCount(node: node, list),
          now.lruCount(node: node, list))
      }
    }
    for (index, name) in VMStatNames.nodeItems.enumerated() {
      let here = (0..<now.nodeCount).reduce(0) { $0 + now.nodeItem(index, node: $1) }
      let there = (0..<before.nodeCount).reduce(0) { $0 + before.nodeItem(index, node: $1) }
      // The lists are counted above.
      if index >= LRUList.allCases.count { add(name, there, here) }
    }
    for (index, name) in VMStatNames.events.enumerated() {
      add(name, before.event(at: index), now.event(at: index))
    }
  }

  private mutating func compareFrames(_ now: borrowing Machine, _ before: borrowing Machine) {
    let size = now.geometry.pageblockPages
    for block in 0..<min(now.frames.count, before.frames.count) / size {
      var differs =
        now.frames.migrateType(PFN(block * size)) != before.frames.migrateType(PFN(block * size))
      for index in block * size..<(block + 1) * size {
        let pfn = PFN(index)
        let here = now.frames.head(pfn)
        var isSame = here == before.frames.head(pfn)
        if isSame, here.kind == .allocated, let folio = now.folio(of: pfn) {
          isSame =
            now.references(folio) == before.references(folio)
            && now.mappings(folio) == before.mappings(folio)
        }
        if !isSame {
          differs = true
          frames += 1
        }
      }
      if differs { pageblocks.append(block) }
    }
  }
}

extension MachineDifference {
  /// Some lines for a person.
  public func text(pageShift: Int, columns: Int, blocks: Int) -> String {
    if isEmpty { return "no difference" }
    var lines: [String] = []
    if moved + appeared + gone > 0 {
      var parts: [String] = []
      if moved > 0 { parts.append("\(moved) page\(moved == 1 ? "" : "s") moved") }
      if appeared > 0 { parts.append("\(appeared) appeared") }
      if gone > 0 { parts.append("\(gone) gone") }
      lines.append(parts.joined(separator: " · "))
    }
    for page in pages.prefix(8) {
      let address = "0x" + String(page.page << pageShift, radix: 16)
      lines.append(
        "  \(page.guest) at \(address): \(page.before.map { "\($0)" } ?? "nothing") → "
          + (page.now.map { "\($0)" } ?? "nothing"))
    }
    let more = moved + appeared + gone - min(8, pages.count)
    if more > 0 { lines.append("  and \(more) more") }
    lines += holders.map { "  " + $0 }
    for count in counts {
      let change = count.now - count.before
      lines.append("  \(count.name) \(change > 0 ? "+" : "")\(change) = \(count.now)")
    }
    if frames > 0 {
      lines.append("\(frames) frames differ, in \(pageblocks.count) pageblocks:")
      lines.append(map(columns: columns, blocks: blocks))
    }
    return lines.joined(separator: "\n")
  }

  /// One cell for some pageblocks: `#` where a frame differs.
  private func map(columns: Int, blocks: Int) -> String {
    let width = max(16, columns - 4)
    let each = max(1, (blocks + width * 4 - 1) / (width * 4))
    var cells = Array(repeating: Character("·"), count: (blocks + each - 1) / each)
    for block in pageblocks where block / each < cells.count { cells[block / each] = "#" }
    var lines: [String] = []
    var start = 0
    while start < cells.count {
      lines.append("  " + String(cells[start..<min(cells.count, start + width)]))
      start += width
    }
    lines.append("  one cell = \(each) pageblock\(each == 1 ? "" : "s"), # differs")
    return lines.joined(separator: "\n")
  }
}

internal import MemoryModel

/// What an order of steps came to: what each task's calls returned, and what stays pinned where.
public struct EndState: Sendable {
  public let text: String
  /// Orders that came to it, among those that were run.
  public internal(set) var count = 0
  /// The first order that did.
  public let schedule: Schedule
}

/// An invariant that an order of steps broke.
public struct Violation: Sendable {
  /// Its name and what is wrong, such as "I1: …".
  public let text: String
  public internal(set) var count = 1
  /// The order with the fewest preemptions that was found, and of those the shortest.
  public internal(set) var schedule: Schedule
}

extension Machine {
  /// Pages of long-term pins that lie in CMA or ZONE_MOVABLE (I1).
  func misplacedPins() -> Int {
    var pages = 0
    // Before FOLL_PIN long-term holders had plain references.
    for pin in pins where pin.isLongTerm && pin.pages > 0 {
      forEachRun(pin) { first, count in
        if liesInMovable(first) { pages += count }
      }
    }
    return pages
  }

  private func liesInMovable(_ pfn: PFN) -> Bool {
    if frames.migrateType(pfn) == .cma { return true }
    guard let zone = frames.zone(of: pfn) else { return false }
    return self.zone(zone).index == .movable
  }

  /// The first pinned page that the process does not see where it was pinned (I2), in words.
  func strayPin() -> String? {
    for pin in pins where !pin.isGet && pin.pages > 0 && spaces[pin.space].isAlive {
      var page = pin.startPage
      var found: String?
      forEachRun(pin) { first, count in
        for offset in 0..<count {
          let (entry, _, level) = entry(pin.space, page: page)
          let shown = entry.pfn + (level == .pte ? 0 : page & ((1 << level.order) - 1))
          if entry.isPresent, shown != first + offset, found == nil {
            found =
              "pin #\(pin.id) holds \(first + offset), and process \(pin.space) sees \(shown)"
          }
          page += 1
        }
      }
      if let found { return found }
    }
    return nil
  }
}

/// Which of the invariants of the rule book a search looks at.
public enum Invariant: String, Sendable, CaseIterable {
  /// No long-term pin in CMA or ZONE_MOVABLE.
  case i1 = "I1"
  /// A pinned page is the one that the process sees.
  case i2 = "I2"
  /// A folio is on at most one list.
  case i4 = "I4"
  /// All counts and lists agree: `check` and `check_memory`.
  case counts = "counts"

  /// What is broken, or nil.
  func broken(_ machine: borrowing Machine) -> String? {
    switch self {
    case .i1:
      let pages = machine.misplacedPins()
      return pages == 0
        ? nil : "I1: \(pages) page\(pages == 1 ? "" : "s") pinned for long in CMA or ZONE_MOVABLE"
    case .i2: return machine.strayPin().map { "I2: " + $0 }
    case .i4: return machine.violations.first
    case .counts: return machine.check() ?? machine.checkMemory()
    }
  }
}

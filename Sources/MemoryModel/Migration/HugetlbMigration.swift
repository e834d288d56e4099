/// The hugetlb folios of a list, which go first and one by one (rule P4.15).
///
/// Kernel: `migrate_hugetlbs()`, `unmap_and_move_huge_page()`, mm/migrate.c.
struct HugetlbMigration: Hashable, Sendable {
  private(set) var list: [PFN]
  /// The folios that are not hugetlb.
  let others: [PFN]
  private(set) var failed = 0
  private(set) var hasNoMemory = false

  private var pass = 0
  private var index = 0
  private var current: HugeMove?
  private var kept: [PFN] = []
  private var retryPages = 0

  init?(_ folios: [PFN], _ machine: borrowing Machine) {
    guard folios.contains(where: { machine.frames.head($0).flags.contains(.hugetlb) }) else {
      return nil
    }
    var huge: [PFN] = []
    var others: [PFN] = []
    for head in folios {
      if machine.frames.head(head).flags.contains(.hugetlb) {
        huge.append(head)
      } else {
        others.append(head)
      }
    }
    list = huge
    self.others = others
  }

  /// Takes the folios off the list that were not tried in this pass.
  mutating func cut() -> [PFN] {
    let untried = Array(list[min(list.count, index + (current == nil ? 0 : 1))...])
    list.removeLast(untried.count)
    return untried
  }

  /// One step of a folio, or the end of a pass.
  ///
  /// - Returns: Whether all is done.
  mutating func step(
    _ machine: inout Machine, _ target: MigrationTarget, _ counts: inout MigrationCounts
  ) -> Bool {
    guard index < list.count else { return endPass(&counts) }
    let head = list[index]
    var move = current ?? newMove(head, machine)
    let result = move.step(&machine, target)
    if case .running = result {
      current = move
      return false
    }
    current = nil
    index += 1
    let folio = move.source
    switch result {
    case .running: break
    case .succeeded: counts.succeeded += folio.pages
    case .again:
      kept.append(head)
      retryPages += folio.pages
    case .noMemory:
      counts.failedPages += folio.pages + retryPages
      hasNoMemory = true
      list = kept + [head] + list[index...]
      return true
    }
    return false
  }

  private func newMove(_ head: PFN, _ machine: borrowing Machine) -> HugeMove {
    HugeMove(machine.folio(of: head) ?? Folio(head, order: machine.geometry.hugeOrder))
  }

  func nextStep(_ machine: borrowing Machine) -> Step {
    if let current { return current.nextStep(machine) }
    guard index < list.count else {
      return Step("m0", "migrate_hugetlbs", "begin the next pass")
    }
    return newMove(list[index], machine).nextStep(machine)
  }

  private mutating func endPass(_ counts: inout MigrationCounts) -> Bool {
    pass += 1
    list = kept
    index = 0
    if list.isEmpty || pass == Migration.allPasses {
      failed += list.count
      counts.failedPages += retryPages
      return true
    }
    kept = []
    retryPages = 0
    return false
  }
}

// Invariant: every folio is in exactly one place: `list` before `index` is empty, `kept` waits for the
// next pass, `failed` is done with, or it is gone; at most one folio is unmapped at a time.

/// The loop of 6.2 and before: up to ten passes over the list, each folio unmapped and moved before
/// the next is looked at (rule P4.2).
///
/// Kernel: `migrate_pages()` up to 6.2, mm/migrate.c.
struct ClassicMigration: Hashable, Sendable {
  static let passes = 10

  private(set) var failed: [PFN] = []
  private(set) var isDone = false
  private(set) var hasNoMemory = false
  /// Folios that did not move: those of the last pass that asked to be tried again, and the refused.
  private(set) var failures = 0
  private var list: [PFN]
  private var index = 0
  private var kept: [PFN] = []
  private var pass = 0
  private var current: FolioMove?
  private var isMoving = false
  private let mode: MigrateMode

  init(_ list: [PFN], _ mode: MigrateMode) {
    self.list = list
    self.mode = mode
    isDone = list.isEmpty
  }

  /// What did not move, in order, once it is done.
  var remaining: [PFN] { failed + kept + list[min(index, list.count)...] }

  var upcoming: (folio: PFN?, move: FolioMove?) {
    (current?.source.head ?? (index < list.count ? list[index] : nil), current)
  }

  mutating func step(
    _ machine: inout Machine, _ target: MigrationTarget, _ counts: inout MigrationCounts
  ) {
    guard index < list.count else { return endPass(machine, &counts) }
    var move: FolioMove
    if let current {
      move = current
    } else {
      move = FolioMove(machine.folio(of: list[index]) ?? Folio(list[index], order: 0))
    }
    // The first three passes do not wait for locks.
    let result =
      isMoving
      ? move.moveStep(&machine) : move.unmapStep(&machine, target, pass > 2 ? mode : .async)
    current = move
    switch result {
    case .running: return
    case .unmapped:
      isMoving = true
      return
    case .succeeded:
      counts.succeeded += move.source.pages
      counts.thpSucceeded += isTHP(move.source)
    case .again:
      if isMoving { move.undo(&machine) }
      kept.append(move.source.head)
    case .refused:
      if isMoving { move.undo(&machine) }
      fail(move.source, &counts)
    case .noMemory:
      refuseMemory(&machine, target, move.source, &counts)
      return
    }
    next()
  }

  private mutating func next() {
    current = nil
    isMoving = false
    index += 1
  }

  private mutating func fail(_ folio: Folio, _ counts: inout MigrationCounts) {
    failures += 1
    counts.failedPages += folio.pages
    counts.thpFailed += isTHP(folio)
    failed.append(folio.head)
  }

  /// No destination (rule P4.9): a large folio is split and its pieces take its place, or it waits for the
  /// next pass, or the call ends.
  private mutating func refuseMemory(
    _ machine: inout Machine, _ target: MigrationTarget, _ folio: Folio,
    _ counts: inout MigrationCounts
  ) {
    current = nil
    isMoving = false
    if folio.order > 0 {
      let isLocked = machine.frames.head(folio.head).flags.contains(.locked)
      switch isLocked ? .again : machine.splitFolio(folio) {
      case .split(let pieces):
        counts.thpSplit += isTHP(folio)
        counts.split += 1
        list.replaceSubrange(index...index, with: [folio.head] + pieces)
        return
      case .again where machine.kernel.pinning.retriesSplit(target.reason):
        kept.append(folio.head)
        return next()
      default: break
      }
    }
    counts.failedPages += folio.pages
    counts.thpFailed += isTHP(folio)
    failures += 1
    hasNoMemory = true
    isDone = true
  }

  private mutating func endPass(_ machine: borrowing Machine, _ counts: inout MigrationCounts) {
    pass += 1
    if kept.isEmpty {
      isDone = true
    } else if pass < Self.passes {
      list = kept
      kept = []
      index = 0
    } else {
      for head in kept {
        let folio = machine.folio(of: head) ?? Folio(head, order: 0)
        failures += 1
        counts.failedPages += folio.pages
        counts.thpFailed += isTHP(folio)
      }
      isDone = true
    }
  }

  private func isTHP(_ folio: Folio) -> Int { folio.order >= 9 ? 1 : 0 }

  func nextStep(_ machine: borrowing Machine) -> Step {
    let (folio, move) = upcoming
    guard let folio else { return Step("m0", "migrate_pages", "begin the next pass") }
    return move?.nextStep(machine)
      ?? Step("m1", "alloc_migration_target", "allocate a frame for \(folio)")
  }
}

// Invariant: every folio is in exactly one place: `list` (to do, or to be tried again), `moves`
// (unmapped, locked, with a destination), the caller's failed or split lists, or gone.

/// One batch: first all folios are unmapped, then all are moved (rule P4.3).
///
/// Kernel: `migrate_pages_batch()`, mm/migrate.c.
struct MigrationBatch: Hashable, Sendable {
  enum Phase: Sendable { case unmap, move, cleanup, done }

  /// Folios still to migrate, in order.
  var list: [PFN]
  let mode: MigrateMode
  let passes: Int
  /// Whether folios that find no destination may be split.
  let collectsSplits: Bool

  private(set) var phase = Phase.unmap
  private(set) var moves: [FolioMove] = []
  private var pass = 0
  private var index = 0
  private var current: FolioMove?
  private var kept: [PFN] = []
  private var keptMoves: [FolioMove] = []
  private var retry = 0
  private var thpRetry = 0
  private var retryPages = 0
  private var failed = 0
  private var hasNoMemory = false
  /// Destinations that were allocated ahead, and the refusal of the next one with them.
  private var prepared: [PFN]?

  init(_ list: [PFN], _ mode: MigrateMode, passes: Int, collectsSplits: Bool) {
    self.list = list
    self.mode = mode
    self.passes = passes
    self.collectsSplits = collectsSplits
  }

  /// Takes over destinations that a whole batch allocated before its memory ended.
  mutating func prepare(_ destinations: [PFN]) { prepared = destinations }

  /// The number of folios that were not migrated, or -ENOMEM, once it is done.
  var result: Int { hasNoMemory ? -Errno.ENOMEM.rawValue : failed }

  /// The folio that the next step works on.
  var upcoming: (folio: PFN?, move: FolioMove?) {
    switch phase {
    case .unmap: (current?.source.head ?? (index < list.count ? list[index] : nil), current)
    case .move, .cleanup:
      (
        index < moves.count ? moves[index].source.head : nil,
        current ?? (index < moves.count ? moves[index] : nil)
      )
    case .done: (nil, nil)
    }
  }

  mutating func step(
    _ machine: inout Machine, _ target: MigrationTarget, _ counts: inout MigrationCounts,
    failed failedList: inout [PFN], split: inout [PFN]
  ) {
    switch phase {
    case .unmap: unmapNext(&machine, target, &counts, &failedList, &split)
    case .move: moveNext(&machine, &counts, &failedList)
    case .cleanup:
      if index < moves.count {
        moves[index].undo(&machine)
        failedList.append(moves[index].source.head)
        index += 1
      } else {
        moves = []
        phase = .done
      }
    case .done: break
    }
  }

  // MARK: Unmapping

  private mutating func unmapNext(
    _ machine: inout Machine, _ target: MigrationTarget, _ counts: inout MigrationCounts,
    _ failedList: inout [PFN], _ split: inout [PFN]
  ) {
    guard index < list.count else { return endUnmapPass(&counts) }
    var move: FolioMove
    if let current {
      move = current
    } else {
      let head = list[index]
      let folio = machine.folio(of: head) ?? Folio(head, order: 0)
      move = FolioMove(folio)
      if folio.order > 1, machine.frames.head(head).flags.contains(.partiallyMapped) {
        // Rule P4.11: split before anything else.
        if trySplit(&machine, folio, &split) == .done {
          countSplit(folio, &counts)
          counts.thpFailed += isTHP(folio)
          failed += 1
          index += 1
          return
        }
      }
    }
    if let prepared, index < prepared.count {
      move.take(Folio(prepared[index], order: 0), &machine)
    }
    let isRefused = prepared?.count == index
    let result = isRefused ? .noMemory : move.unmapStep(&machine, target, mode)
    current = move
    switch result {
    case .running: return
    case .unmapped:
      moves.append(move)
    case .succeeded:
      counts.succeeded += move.source.pages
      counts.thpSucceeded += isTHP(move.source)
    case .again:
      keep(move.source)
    case .refused:
      failed += 1
      counts.thpFailed += isTHP(move.source)
      counts.failedPages += move.source.pages
      failedList.append(move.source.head)
    case .noMemory:
      refuseMemory(&machine, target, move.source, &counts, &split)
      return
    }
    current = nil
    index += 1
  }

  private mutating func keep(_ folio: Folio) {
    retry += 1
    thpRetry += isTHP(folio)
    retryPages += folio.pages
    kept.append(folio.head)
  }

  /// No destination (rule P4.9): split a large folio, or stop the whole batch.
  private mutating func refuseMemory(
    _ machine: inout Machine, _ target: MigrationTarget, _ folio: Folio,
    _ counts: inout MigrationCounts, _ split: inout [PFN]
  ) {
    current = nil
    prepared = nil
    index += 1
    failed += 1
    counts.thpFailed += isTHP(folio)
    if folio.order > 0 && target.reason != .numaMisplaced && collectsSplits {
      switch trySplit(&machine, folio, &split) {
      case .done:
        countSplit(folio, &counts)
        return
      case .again where machine.kernel.pinning.retriesSplit(target.reason):
        failed -= 1
        counts.thpFailed -= isTHP(folio)
        keep(folio)
        return
      default: break
      }
    }
    counts.failedPages += folio.pages + retryPages
    counts.thpFailed += thpRetry
    hasNoMemory = true
    // Folios that were not tried stay on the list, uncounted.
    list = kept + [folio.head] + list[index...]
    kept = []
    startMoving()
  }

  private enum SplitOutcome { case done, again, busy }

  /// Kernel: `try_split_folio()`.
  private mutating func trySplit(
    _ machine: inout Machine, _ folio: Folio, _ split: inout [PFN]
  ) -> SplitOutcome {
    if machine.frames.head(folio.head).flags.contains(.locked) { return .again }
    switch machine.splitFolio(folio) {
    case .again: return .again
    case .busy: return .busy
    case .split(let pieces):
      split += pieces
      split.append(folio.head)
      return .done
    }
  }

  private func countSplit(_ folio: Folio, _ counts: inout MigrationCounts) {
    counts.thpSplit += isTHP(folio)
    counts.split += 1
  }

  private func isTHP(_ folio: Folio) -> Int { folio.order >= 9 ? 1 : 0 }

  private mutating func endUnmapPass(_ counts: inout MigrationCounts) {
    list = kept
    kept = []
    pass += 1
    if retry > 0 && pass < passes {
      retry = 0
      thpRetry = 0
      retryPages = 0
      index = 0
      return
    }
    failed += retry
    counts.thpFailed += thpRetry
    counts.failedPages += retryPages
    startMoving()
  }

  private mutating func startMoving() {
    phase = moves.isEmpty ? .done : .move
    pass = 0
    index = 0
    retry = 0
    thpRetry = 0
    retryPages = 0
  }

  // MARK: Moving

  private mutating func moveNext(
    _ machine: inout Machine, _ counts: inout MigrationCounts, _ failedList: inout [PFN]
  ) {
    guard index < moves.count else {
      moves = keptMoves
      keptMoves = []
      pass += 1
      if retry > 0 && pass < passes {
        retry = 0
        thpRetry = 0
        retryPages = 0
      } else {
        failed += retry
        counts.thpFailed += thpRetry
        counts.failedPages += retryPages
        phase = .cleanup
      }
      index = 0
      return
    }
    let folio = moves[index].source
    switch moves[index].moveStep(&machine) {
    case .running: return
    case .succeeded:
      counts.succeeded += folio.pages
      counts.thpSucceeded += isTHP(folio)
    case .again:
      retry += 1
      thpRetry += isTHP(folio)
      retryPages += folio.pages
      keptMoves.append(moves[index])
    case .unmapped, .noMemory, .refused:
      failed += 1
      counts.thpFailed += isTHP(folio)
      counts.failedPages += folio.pages
      moves[index].undo(&machine)
      failedList.append(folio.head)
    }
    index += 1
  }

  func nextStep(_ machine: borrowing Machine) -> Step {
    let (folio, move) = upcoming
    guard let folio else {
      return Step("m0", "migrate_pages_batch", "begin the next pass")
    }
    if case .cleanup = phase {
      return Step("m14", "migrate_folio_undo_src", "show \(folio) again where it was")
    }
    guard let move else {
      return Step("m1", "alloc_migration_target", "allocate a frame for \(folio)")
    }
    return move.nextStep(machine)
  }

  var isDone: Bool { if case .done = phase { true } else { false } }
}

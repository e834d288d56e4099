// Invariant: `list` holds isolated folios, each with the reference of its isolation, until it is
// migrated empty or put back; LRU batching is disabled from the first step to `enable`.

/// Getting pages in use out of a range: scan, migrate, again (rules P5.11 to P5.14, c5 to c8 of
/// P10.4).
///
/// Kernel: `__alloc_contig_migrate_range()`, mm/page_alloc.c.
struct ContiguousMigration: Hashable, Sendable {
  private enum Phase: Sendable { case disable, next, scan, prepare, migrate, enable, done }

  private let range: PFNRange
  private let type: MigrateType
  private let gfp: GFPFlags
  private var phase = Phase.disable
  /// The frame from which the next list is collected.
  private var position: Int
  /// The frame at which the current scan goes on.
  private var scanPosition: Int
  private var list: [PFN] = []
  /// Pages that were collected for the list.
  private var collected = 0
  /// Calls of `migrate_pages()` for the current list, but for the first one.
  private var tries = 0
  private var migration: Migration?
  private(set) var refusal: Refusal?
  private(set) var migratedPages = 0
  private(set) var reclaimedPages = 0
  private var wholeLists = 0
  private var mapped = 0

  /// Calls of `migrate_pages()` for one list.
  static let callLimit = 5

  init(_ range: PFNRange, _ type: MigrateType, _ gfp: GFPFlags) {
    self.range = range
    self.type = type
    self.gfp = gfp
    position = range.start
    scanPosition = range.start
  }

  var isDone: Bool { if case .done = phase { true } else { false } }

  /// Shares of a slice, in the unit of ``Migration/sliceWork``.
  private static let listWork = 512
  private static let scanWork = 128

  mutating func advance(
    _ machine: inout Machine, _ pace: Pace, hasFatalSignal: Bool
  ) -> Wait? {
    var left = pace == .step ? 1 : Migration.sliceWork
    while left > 0, !isDone {
      if let wait = step(&machine, pace, hasFatalSignal) { return wait }
      switch phase {
      // A slice of this migration was one already.
      case .migrate where migration?.hasBegun == true: left = 0
      case .migrate: left -= Self.listWork
      default: left -= Self.scanWork
      }
    }
    return nil
  }

  private mutating func step(
    _ machine: inout Machine, _ pace: Pace, _ hasFatalSignal: Bool
  ) -> Wait? {
    switch phase {
    case .disable:
      machine.disableLRUBatches()
      phase = .next
    case .next: beginList(hasFatalSignal)
    case .scan:
      guard hasFatalSignal else { return scan(&machine) }
      end(Self.interrupted)
    case .prepare:
      let reclaimed = machine.reclaimClean(&list)
      reclaimedPages += reclaimed
      collected -= reclaimed
      for head in list {
        guard let folio = machine.folio(of: head) else { continue }
        if machine.mappings(folio) > 0 { mapped += folio.pages }
      }
      let node = machine.frames.zone(of: PFN(range.start)).map { machine.zone($0).node }
      migration = Migration(
        list, MigrationTarget(gfp: gfp, node: node, reason: .contigRange), .sync)
      phase = .migrate
    case .migrate: migrate(&machine, pace)
    case .enable:
      machine.enableLRUBatches()
      if refusal != nil { machine.putBackMovable(list) }
      list = []
      machine.traceContigMigrate(
        range, type, migrated: wholeLists, reclaimed: reclaimedPages, mapped: mapped)
      phase = .done
    case .done: break
    }
    return nil
  }

  private static let interrupted = Refusal(
    .EINTR, "a fatal signal ended the migration", rule: "P5.11")

  private mutating func beginList(_ hasFatalSignal: Bool) {
    if position >= range.end && list.isEmpty { return end(nil) }
    if hasFatalSignal { return end(Self.interrupted) }
    if list.isEmpty {
      collected = 0
      tries = 0
      scanPosition = position
      phase = .scan
      return
    }
    tries += 1
    if tries == Self.callLimit {
      return end(
        Refusal(
          .EBUSY,
          "\(list.count) folios did not move in \(Self.callLimit) attempts, the first at "
            + "\(list[0])", rule: "P5.11"))
    }
    phase = .prepare
  }

  /// One pageblock, or the part of it that is in the range.
  ///
  /// Kernel: `isolate_migratepages_range()`, mm/compaction.c.
  private mutating func scan(_ machine: inout Machine) -> Wait? {
    let pageblock = machine.geometry.pageblockPages
    let end = min((scanPosition | (pageblock - 1)) + 1, range.end)
    let scan = machine.collectMovable(
      in: PFNRange(scanPosition, end), &list, collected: &collected)
    if scan.isThrottled, collected == 0 { return .isolation(PFN(scanPosition)) }
    if let refusal = scan.refusal {
      self.end(refusal)
      return nil
    }
    position = scan.end
    if scan.isThrottled || collected >= Machine.collectedPagesLimit || end >= range.end {
      phase = .prepare
    } else {
      scanPosition = end
    }
    return nil
  }

  private mutating func migrate(_ machine: inout Machine, _ pace: Pace) {
    guard var work = migration else { return }
    migration = nil
    _ = work.advance(&machine, pace)
    guard let outcome = work.outcome else {
      migration = work
      return
    }
    list = work.remaining
    migratedPages += outcome.counts.succeeded
    if outcome.result == 0 { wholeLists += collected }
    if outcome.result == -Errno.ENOMEM.rawValue {
      end(Refusal(.ENOMEM, "no frame for a page in the way to move to", rule: "P5.11"))
    } else {
      phase = .next
    }
  }

  private mutating func end(_ refusal: Refusal?) {
    self.refusal = refusal
    phase = .enable
  }

  func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .disable:
      return Step("c5", "lru_cache_disable", "switch LRU batching off and drain all batches")
    case .next:
      return Step(
        "c6", "__alloc_contig_migrate_range",
        list.isEmpty
          ? "collect the next pages, from \(PFN(position)) on"
          : "migrate the \(list.count) folios left once more")
    case .scan:
      return Step(
        "c6", "isolate_migratepages_block",
        "take the pages that can move off the LRU, from \(PFN(scanPosition)) on")
    case .prepare:
      return Step(
        "c7", "reclaim_clean_pages_from_list",
        "free clean pages of files among \(list.count) folios, then migrate the others")
    case .migrate:
      return migration?.nextStep(machine) ?? Step("c7", "migrate_pages", "migrate")
    case .enable, .done:
      return Step("c8", "lru_cache_enable", "switch LRU batching on, put back what did not move")
    }
  }
}

// Invariant: `list` holds isolated folios, each with the reference of its isolation, from collect to
// putBack.

public import MemoryModel

/// Moves what a process sees in a range, as compaction moves whatever it meets (rule P9.23).
///
/// The new frames are asked for as movable memory: they may lie in CMA and ZONE_MOVABLE, whatever the
/// process was advised. Kernel: `isolate_migratepages_block()`, `migrate_pages()`.
public struct RangeMigration: ExplorableOperation {
  private enum Phase: Hashable, Sendable { case collect, migrate, putBack, finished }

  public let space: Int
  public let pages: Range<Int>
  public private(set) var outcome: MigrationCounts?
  private var phase = Phase.collect
  private var list: [PFN] = []
  private var migration: Migration?
  private var counts = MigrationCounts()

  public init(space: Int, pages: Range<Int>) {
    self.space = space
    self.pages = pages
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    switch phase {
    case .collect: collect(&machine)
    case .migrate:
      guard var work = migration else { break }
      migration = nil
      _ = work.advance(&machine, pace)
      guard let end = work.outcome else {
        migration = work
        break
      }
      counts = end.counts
      list = work.remaining
      phase = .putBack
    case .putBack:
      machine.putBackMovable(list)
      list = []
      outcome = counts
      phase = .finished
    case .finished: break
    }
    return phase == .finished ? .finished : .running
  }

  /// What waits in batches is not on an LRU list, and nobody drains them for compaction.
  private mutating func collect(_ machine: inout Machine) {
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, _, level) = machine.entry(space, page: page)
      page = (page | (1 << level.order - 1)) + 1
      guard entry.isPresent, let folio = machine.folio(of: entry.pfn),
        machine.isolateLRU(folio)
      else { continue }
      machine.countIsolated(folio, 1)
      list.append(folio.head)
    }
    migration = Migration(
      list, MigrationTarget(gfp: .highUserMovable, reason: .compaction), .syncLight,
      hasHugetlb: false)
    phase = .migrate
  }

  public mutating func interrupt(_ machine: inout Machine) {
    // A migration looks at no signal; one that has not begun moves nothing.
    if phase == .collect {
      outcome = counts
      phase = .finished
    }
    while outcome == nil { _ = advance(&machine, .slice) }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .collect:
      return Step("m1", "isolate_migratepages_block", "take \(pages.count) pages off the LRU")
    case .migrate:
      return migration?.nextStep(machine) ?? Step("m2", "migrate_pages", "migrate")
    case .putBack, .finished:
      return Step("m12", "putback_movable_pages", "put back what did not move")
    }
  }
}

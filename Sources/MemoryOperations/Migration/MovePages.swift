// Invariant: `list` holds the isolated folios of the pages from `start` to `next`, each with the
// reference of its isolation; while it runs, no CPU batches pages for the LRU lists.

public import MemoryModel

/// Moves pages of a process to a node, and says of each where it is then, or why not.
///
/// Kernel: `move_pages(2)`: `do_pages_move()`, `add_folio_for_migration()`, `store_status()`.
public struct MovePages: ExplorableOperation {
  /// What became of one page.
  public enum Status: Sendable, Hashable {
    /// On this node.
    case node(Int)
    case refused(Errno)
    /// Not looked at, or its folio did not move: the kernel leaves the caller's array alone.
    case none
  }

  public struct Outcome: Sendable, Hashable {
    public var status: [Status]
    /// Pages that were tried and did not move, and those behind them, at which nobody looked.
    public var left = 0
  }

  private enum Phase: Hashable, Sendable { case begin, queue, migrate, putBack, finish, done }

  public let space: Int
  public let pages: Range<Int>
  public let node: Int
  /// MPOL_MF_MOVE_ALL: also pages that several processes map.
  public let movesShared: Bool
  public private(set) var outcome: Outcome?
  private var phase = Phase.begin
  private var status: [Status] = []
  private var left = 0
  private var start = 0
  private var next = 0
  /// Pages of the range that are looked at: an interrupt ends the call where it is.
  private var count: Int
  private var list: [PFN] = []
  private var migration: Migration?

  public init(space: Int, pages: Range<Int>, node: Int, movesShared: Bool) {
    self.space = space
    self.pages = pages
    self.node = node
    self.movesShared = movesShared
    count = pages.count
  }

  public var summary: CallSummary? {
    guard let outcome else { return nil }
    let words = outcome.status.map { status in
      switch status {
      case .node(let node): "\(node)"
      case .refused(let errno): "-\(errno.name)"
      case .none: "?"
      }
    }
    return CallSummary("status " + words.joined(separator: " "), key: outcome)
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    switch phase {
    case .begin:
      status = Array(repeating: .none, count: pages.count)
      machine.disableLRUBatches()
      phase = .queue
    case .queue: queue(&machine)
    case .migrate:
      if migration?.advance(&machine, pace) == .finished { phase = .putBack }
    case .putBack: settle(&machine)
    case .finish:
      machine.enableLRUBatches()
      outcome = Outcome(status: status, left: max(left, pages.count - next))
      phase = .done
    case .done: break
    }
    return phase == .done ? .finished : .running
  }

  /// Looks at the next page: what is isolated waits, anything else is answered, and lets those move that
  /// wait.
  private mutating func queue(_ machine: inout Machine) {
    guard next < count else { return migrateList() }
    let found = isolate(pages.lowerBound + next, &machine)
    if let found {
      status[next] = found
      migrateList()
    }
    next += 1
    // Those that wait are the ones in front of this page.
    if found != nil, list.isEmpty { start = next }
  }

  private mutating func migrateList() {
    if list.isEmpty {
      phase = next >= count ? .finish : .queue
      return
    }
    migration = Migration(
      list,
      MigrationTarget(gfp: [.highUserMovable, .thisNode], node: node, reason: .syscall), .sync,
      hasHugetlb: false)
    phase = .migrate
  }

  /// Kernel: `add_folio_for_migration()`.
  ///
  /// - Returns: Nil when the page's folio is queued.
  private mutating func isolate(_ page: Int, _ machine: inout Machine) -> Status? {
    guard let area = machine.spaces[space].area(page) else { return .refused(.EFAULT) }
    let (entry, _, _) = machine.entry(space, page: page)
    guard entry.isPresent, !area.flags.contains(.pfnMap) else { return .refused(.ENOENT) }
    guard entry.pfn != machine.zeroPage, let folio = machine.folio(of: entry.pfn) else {
      return .refused(.EFAULT)
    }
    if machine.node(of: folio.head) == node { return .node(node) }
    if !movesShared, Set(machine.mappings(of: folio).map(\.space)).count > 1 {
      return .refused(.EACCES)
    }
    guard machine.isolateLRU(folio) else { return .refused(.EBUSY) }
    machine.countIsolated(folio, 1)
    list.append(folio.head)
    return nil
  }

  private mutating func settle(_ machine: inout Machine) {
    let remaining = migration?.remaining ?? list
    let asked = list.count
    machine.putBackMovable(remaining)
    migration = nil
    list = []
    if remaining.isEmpty {
      for index in start..<pages.count where index < start + asked { status[index] = .node(node) }
      start = next
      phase = next >= count ? .finish : .queue
    } else {
      // The call ends here (`move_pages_and_store_status()`).
      left = remaining.count + pages.count - next
      phase = .finish
    }
  }

  /// Moves what is isolated and looks at no further pages, where the kernel, which looks at no signal,
  /// would go on.
  public mutating func interrupt(_ machine: inout Machine) {
    if phase == .begin {
      outcome = Outcome(status: Array(repeating: .none, count: pages.count), left: pages.count)
      phase = .done
    }
    count = next
    while outcome == nil { _ = advance(&machine, .slice) }
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .begin:
      Step("m0", "lru_cache_disable", "empty all LRU batches and batch no more")
    case .queue:
      next < pages.count
        ? Step("m1", "folio_isolate_lru", "test and clear the LRU flag of page \(next)")
        : Step("m2", "do_move_pages_to_node", "migrate what is isolated")
    case .migrate: migration?.nextStep(machine) ?? Step("m2", "migrate_pages", "migrate")
    case .putBack:
      Step("m12", "putback_movable_pages", "put back what did not move, say where pages are")
    case .finish, .done: Step("m13", "lru_cache_enable", "let CPUs batch again, return")
    }
  }
}

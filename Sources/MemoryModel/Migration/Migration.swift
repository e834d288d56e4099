// Invariant: every folio of the list is isolated, with one reference of the caller; when it is
// finished, `remaining` holds those that did not move, in the kernel's order, still isolated.

/// Moves a list of isolated folios to other frames (rules P4.1 to P4.11).
///
/// Kernel: `migrate_pages()`, mm/migrate.c.
public struct Migration: ExplorableOperation {
  public struct Outcome: Sendable, Hashable {
    /// 0, the number of folios that did not move, or a negative errno (rule P4.2).
    public var result: Int
    public var counts: MigrationCounts
  }

  public private(set) var outcome: Outcome?
  /// Folios that did not move.
  public var remaining: [PFN] { taken == 0 ? list : Array(list[taken...]) }
  /// The same without a copy.
  package var unmoved: ArraySlice<PFN> { list[taken...] }
  private var list: [PFN]
  let target: MigrationTarget
  let mode: MigrateMode

  private enum Phase: Sendable {
    case start, hugetlb, gather, async, each, split, classic, finish, done
  }

  private var phase = Phase.start
  private var counts = MigrationCounts()
  private var batchCounts = MigrationCounts()
  private var failed: [PFN] = []
  private var batchFailed: [PFN] = []
  private var split: [PFN] = []
  private var leftover: [PFN] = []
  private var batch: MigrationBatch?
  private var huge: HugetlbMigration?
  private var classic: ClassicMigration?
  private var gathered = 0
  private let hasHugetlb: Bool
  /// Folios at the front of `list` that are taken: cutting them off each time would move the
  /// rest for each batch.
  private var taken = 0

  var hasBegun: Bool { phase != .start }

  /// NR_MAX_BATCHED_MIGRATION, in pages.
  static let batchPages = 512
  /// A slice's share of work, in folios that move in whole batches; a step costs as much as eight.
  static let sliceWork = 1 << 15
  static let stepWork = 8
  static let asyncPasses = 3
  static let syncPasses = 7
  static let allPasses = 10

  /// - Parameter hasHugetlb: False when no folio of the list is a hugetlb page, as its isolation
  ///   told.
  public init(
    _ list: [PFN], _ target: MigrationTarget, _ mode: MigrateMode, hasHugetlb: Bool = true
  ) {
    self.list = list
    self.hasHugetlb = hasHugetlb
    self.target = target
    self.mode = mode
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    // A slice is some thousand steps or some ten thousand folios: a few milliseconds.
    var left = pace == .step ? 1 : Self.sliceWork
    while left > 0 {
      if phase == .done { return .finished }
      if pace == .slice, phase == .gather, machine.kernel.pinning.migrationMode == .batched,
        moveWhole(&machine)
      {
        left -= Self.batchPages
      } else {
        step(&machine)
        left -= Self.stepWork
      }
    }
    return phase == .done ? .finished : .running
  }

  /// Ends it early: what is under way is finished, what was not begun stays isolated.
  ///
  /// The kernel's `migrate_pages()` looks at no signal and would go on to its end, which may be
  /// seconds away.
  public mutating func interrupt(_ machine: inout Machine) {
    if phase == .start {
      outcome = Outcome(result: list.count, counts: counts)
      phase = .done
      return
    }
    let untried = huge?.cut() ?? []
    while phase == .hugetlb { step(&machine) }
    if phase == .done { return }
    // Of a pin of 300 GiB the list has 80 million folios, too many to be copied.
    let rest = list
    let first = taken
    list = []
    taken = 0
    if phase == .gather { phase = .finish }
    while phase != .done { step(&machine) }
    let refused = list + untried
    list = rest
    taken = first
    putBefore(refused)
  }

  /// Puts folios in front of those that are left, which are moved only where that is shorter.
  private mutating func putBefore(_ folios: [PFN]) {
    guard folios.count <= taken else {
      list = folios + list[taken...]
      taken = 0
      return
    }
    taken -= folios.count
    for (offset, head) in folios.enumerated() { list[taken + offset] = head }
  }

  private mutating func step(_ machine: inout Machine) {
    switch phase {
    case .start:
      machine.traceMigrationStart(mode, target.reason)
      if hasHugetlb { huge = HugetlbMigration(list, machine) }
      phase = .hugetlb
    case .hugetlb: stepHugetlb(&machine)
    case .gather:
      switch machine.kernel.pinning.migrationMode {
      case .batched: gather(machine)
      case .classic:
        classic = ClassicMigration(Array(list[taken...]), mode)
        list = []
        taken = 0
        phase = .classic
      }
    case .async: stepAsync(&machine)
    case .each: stepEach(&machine)
    case .split: stepSplit(&machine)
    case .classic: stepClassic(&machine)
    case .finish: finish(&machine)
    case .done: break
    }
  }

  private mutating func stepHugetlb(_ machine: inout Machine) {
    guard var work = huge else {
      phase = .gather
      return
    }
    huge = nil
    let isDone = work.step(&machine, target, &counts)
    if !isDone {
      huge = work
      return
    }
    list = work.others
    gathered = work.failed
    if work.hasNoMemory {
      list = work.list + work.others
      gathered = -Errno.ENOMEM.rawValue
      phase = .finish
      return
    }
    // Those that were tried ten times stay with the failed ones.
    failed += work.list
    phase = .gather
  }

  /// The folios that come next, until their pages reach 512 (rule P4.1).
  private func nextBatch(_ machine: borrowing Machine) -> Range<Int> {
    var pages = 0
    var end = taken
    while end < list.count {
      pages += 1 << machine.frames.head(list[end]).order
      end += 1
      if pages >= Self.batchPages { break }
    }
    return taken..<end
  }

  private mutating func take(_ range: Range<Int>) {
    taken = range.upperBound
    if taken == list.count {
      list = []
      taken = 0
    }
  }

  /// Moves the next batch at once when all of its folios are plain.
  ///
  /// - Returns: False when it needs its steps.
  private mutating func moveWhole(_ machine: inout Machine) -> Bool {
    // Single attempts count otherwise in the modes that do not wait.
    let range = nextBatch(machine)
    guard !range.isEmpty else { return false }
    switch machine.moveBatch(list, range, target) {
    case .notPlain: return false
    case .moved:
      counts.succeeded += range.count
      take(range)
      phase = list.isEmpty ? .finish : .gather
      return true
    case .refused(let destinations):
      gather(machine)
      batch?.prepare(destinations)
      return true
    }
  }

  /// Takes a batch to go through it step by step.
  private mutating func gather(_ machine: borrowing Machine) {
    let range = nextBatch(machine)
    let taken = Array(list[range])
    take(range)
    let passes = mode == .async ? Self.allPasses : Self.asyncPasses
    batch = MigrationBatch(taken, .async, passes: passes, collectsSplits: true)
    batchCounts = MigrationCounts()
    batchFailed = []
    phase = .async
  }

  private mutating func stepAsync(_ machine: inout Machine) {
    batch?.step(&machine, target, &batchCounts, failed: &batchFailed, split: &split)
    guard let done = batch, done.isDone else { return }
    batch = nil
    counts.succeeded += batchCounts.succeeded
    counts.thpSucceeded += batchCounts.thpSucceeded
    counts.thpSplit += batchCounts.thpSplit
    counts.split += batchCounts.split
    if done.result < 0 || mode == .async {
      counts.failedPages += batchCounts.failedPages
      counts.thpFailed += batchCounts.thpFailed
      failed += batchFailed
      failed += done.list
      if done.result < 0 {
        gathered = done.result
        failed += split
        split = []
        phase = .finish
      } else {
        gathered += done.result
        phase = .split
        beginSplit()
      }
      return
    }
    // Failures are tried again one by one, and counted only then (rule P4.30).
    counts.thpFailed += batchCounts.thpSplit
    gathered += batchCounts.split
    leftover = done.list + batchFailed
    batchFailed = []
    phase = .each
  }

  private mutating func stepEach(_ machine: inout Machine) {
    if batch == nil {
      guard !leftover.isEmpty else {
        phase = .split
        beginSplit()
        return
      }
      batch = MigrationBatch(
        [leftover.removeFirst()], mode, passes: Self.syncPasses, collectsSplits: true)
    }
    batch?.step(&machine, target, &counts, failed: &failed, split: &split)
    guard let done = batch, done.isDone else { return }
    batch = nil
    failed += done.list
    if done.result < 0 {
      gathered = done.result
      failed += leftover
      leftover = []
      failed += split
      split = []
      phase = .finish
    } else {
      gathered += done.result
    }
  }

  private mutating func beginSplit() {
    guard !split.isEmpty else { return }
    batch = MigrationBatch(split, .async, passes: 1, collectsSplits: false)
    split = []
  }

  /// Pieces get one attempt, and what fails of them is not in the result (rule P4.1).
  private mutating func stepSplit(_ machine: inout Machine) {
    if batch != nil {
      var none: [PFN] = []
      batch?.step(&machine, target, &counts, failed: &failed, split: &none)
      guard let done = batch, done.isDone else { return }
      batch = nil
      failed += done.list
    }
    phase = list.isEmpty ? .finish : .gather
  }

  /// 6.2 and before (rule P4.2).
  private mutating func stepClassic(_ machine: inout Machine) {
    classic?.step(&machine, target, &counts)
    guard let done = classic, done.isDone else { return }
    classic = nil
    failed += done.remaining
    gathered = done.hasNoMemory ? -Errno.ENOMEM.rawValue : gathered + done.failures
    phase = .finish
  }

  private mutating func finish(_ machine: inout Machine) {
    putBefore(failed)
    failed = []
    if unmoved.isEmpty { gathered = 0 }
    machine.countMigration(
      succeeded: counts.succeeded, failed: counts.failedPages,
      thps: (counts.thpSucceeded, counts.thpFailed, counts.thpSplit), split: counts.split, mode,
      target.reason)
    outcome = Outcome(result: gathered, counts: counts)
    phase = .done
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    if let huge { return huge.nextStep(machine) }
    if let classic { return classic.nextStep(machine) }
    guard let batch else {
      return Step("m0", "migrate_pages", "go on with \(list.count - taken) folios")
    }
    return batch.nextStep(machine)
  }
}

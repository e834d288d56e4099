// Invariant: `cursor` covers exactly the pages that are held right now, one plain reference each.

internal import MemoryModel
internal import MemoryOperations

/// What powerpc did between 2015 and 2018 for each page of a region (rules P3.10, P3.56).
///
/// Kernel: `mm_iommu_get()`, `mm_iommu_move_page_from_cma()`, arch/powerpc/mm/mmu_context_iommu.c.
struct PageByPageRegistration: Hashable, Sendable {
  struct Result: Hashable, Sendable {
    var pin: Int?
    var refusal: Refusal?
    var corrupted = 0
  }

  private(set) var result: Result?
  private(set) var costs = OperationCosts()
  private let space: Int
  private let pages: Range<Int>
  private let flags: GUPFlags
  private let holder: String
  private var pin = 0
  private var cursor = PinCursor(0..<0)
  private var page: Int
  private var fault: FaultOperation?
  private var migration: Migration?
  /// The page has been looked at once; whatever comes now is kept.
  private var isSecondTry = false
  private var corrupted = 0

  init(space: Int, startPage: Int, pages: Int, isWrite: Bool, holder: String) {
    self.space = space
    self.pages = startPage..<startPage + pages
    flags = isWrite ? [.write, .get] : .get
    self.holder = holder
    page = startPage
  }

  mutating func advance(_ machine: inout Machine, _ pace: Pace) {
    if result != nil { return }
    if pin == 0 {
      guard
        let id = machine.addPin(
          space: space, startPage: page, room: pages.count * 2, flags, holder: holder)
      else {
        result = Result(
          refusal: Refusal(.ENOMEM, "this model has no room for the record", rule: "P7.50"))
        return
      }
      pin = id
      cursor = PinCursor(machine.pinWords(id))
    }
    if var work = migration {
      migration = nil
      if work.advance(&machine, pace) == .finished {
        costs.migratedPages += work.outcome?.counts.succeeded ?? 0
        machine.putBackMovable(work.remaining)
      } else {
        migration = work
      }
      return
    }
    guard page < pages.upperBound else { return finish(&machine, nil) }
    if pace == .slice, !isSecondTry, takeStretch(&machine) { return }
    takeOne(&machine, pace)
  }

  /// Pages outside CMA, each by a call of its own.
  private mutating func takeStretch(_ machine: inout Machine) -> Bool {
    let limit = min(pages.upperBound, page + 1 << 18)
    let count = machine.plainStretch(
      space, page..<limit, flags.union(.longTerm), isFast: false)
    guard count > 1 else { return false }
    var scratch = OperationCosts()
    let end = machine.walkFast(space, page..<page + count, flags, &cursor, &scratch)
    let counts = machine.countStretch(space, page..<end, callPages: 1)
    costs += machine.stretchCosts(counts, flags, isFast: true)
    costs.rescanReads += counts.pages
    costs.lookups += counts.pages
    page = end
    return counts.pages > 0
  }

  private mutating func takeOne(_ machine: inout Machine, _ pace: Pace) {
    let before = cursor
    costs.calls += 1
    if machine.walkFast(space, page..<page + 1, flags, &cursor, &costs) == page {
      return faultIn(&machine, pace)
    }
    let word = before.position..<cursor.position
    let first = machine.pinnedRun(at: word.lowerBound).first
    costs.lookups += 1
    guard !isSecondTry, machine.frames.migrateType(first) == .cma,
      let folio = machine.folio(of: first)
    else { return next() }
    if machine.kernel.pinning.unlinksRegions {
      // The page leaves its list without its flag and without the list's lock, the list that is
      // migrated stays empty, and the next look takes whatever is there.
      if machine.frames.head(folio.head).isLRU {
        corrupted += 1
        machine.noteViolation(
          "I4: the folio at \(folio.head) left its LRU list with its flag set and without the list's "
            + "lock (rule P3.10)")
      }
      _ = machine.unpin(word, flags, limit: .max >> 1, batched: false, dirty: false, &costs)
      cursor = before
      migration = Migration([], target(machine), .sync)
      isSecondTry = true
    } else {
      if folio.order > 0 && machine.kernel.pinning.leavesCompounds { return next() }
      machine.drainLRU(cpu: machine.currentCPU)
      costs.localDrains += 1
      // NR_ISOLATED is not raised here, and is lowered all the same (rule P3.56).
      guard machine.isolateLRU(folio) else { return next() }
      _ = machine.unpin(word, flags, limit: .max >> 1, batched: false, dirty: false, &costs)
      cursor = before
      migration = Migration([folio.head], target(machine), .sync)
      isSecondTry = true
    }
  }

  private func target(_ machine: borrowing Machine) -> MigrationTarget {
    MigrationTarget(
      gfp: machine.kernel.pinning.destinationFlags, reason: machine.kernel.pinning.migrationReason)
  }

  private mutating func next() {
    page += 1
    isSecondTry = false
  }

  private mutating func faultIn(_ machine: inout Machine, _ pace: Pace) {
    var work =
      fault
      ?? FaultOperation(
        space: space, page: page, access: flags.contains(.write) ? .write : .read)
    fault = nil
    guard machine.spaces[space].area(page) != nil else {
      return finish(
        &machine,
        Refusal(.EFAULT, "nothing is mapped at 0x\(String(page << 12, radix: 16))", rule: "P3.56"))
    }
    switch work.advance(&machine, pace) {
    case .running: fault = work
    case .waiting:
      finish(&machine, Refusal(.EFAULT, "a page is locked by somebody else", rule: "P3.56"))
    case .finished:
      costs.faults += 1
      if case .refused(let refusal) = work.outcome { finish(&machine, refusal) }
    }
  }

  private mutating func finish(_ machine: inout Machine, _ refusal: Refusal?) {
    machine.closePin(pin, cursor)
    if cursor.pages == 0 { machine.removePin(pin) }
    machine.describePin(pin, requested: pages.count, isFast: true, costs, shortfall: refusal)
    result = Result(pin: cursor.pages > 0 ? pin : nil, refusal: refusal, corrupted: corrupted)
  }

  func holdings(_ machine: borrowing Machine) -> Holdings {
    var held = fault?.holdings(machine) ?? Holdings()
    if result == nil, pin != 0 { held.add(machine, cursor.start..<cursor.position, flags) }
    return held
  }

  mutating func interrupt(_ machine: inout Machine) {
    if result != nil { return }
    while migration != nil { advance(&machine, .slice) }
    fault?.interrupt(&machine)
    if pin != 0 { finish(&machine, Refusal(.EINTR, "a fatal signal came", rule: "P3.20")) }
  }

  func nextStep(_ machine: borrowing Machine) -> Step {
    migration?.nextStep(machine)
      ?? Step(
        "d1", "get_user_pages_fast", "take the page at 0x\(String(page << 12, radix: 16))")
  }
}

// Invariant: pages before `page` are populated; `fault` is the fault at `page`, once it has begun.

public import MemoryModel

/// Faults of a range, ascending, with the local LRU drain that ends MAP_POPULATE, MADV_POPULATE_*
/// and mlock (rules P1.23, P2.13).
///
/// Kernel: `populate_vma_page_range()`, mm/gup.c.
public struct PopulateOperation: ExplorableOperation {
  public private(set) var outcome: Result<Int, Refusal>?
  private let space: Int
  private let pages: Range<Int>
  private let access: FaultAccess
  private let inPinScope: Bool
  private let writes: Bool
  private let drains: Bool
  private var page: Int
  private var fault: FaultOperation?

  static let slicePages = 1 << 16
  /// From 1 GiB on, huge pages under the model's own tables pay.
  static let largePages = 1 << 18

  /// The outcome is how many pages are populated, or the refusal of the first that is not.
  ///
  /// - Parameter drains: False for plain accesses, which do not drain (rule P1.23).
  public init(
    space: Int, pages: Range<Int>, access: FaultAccess, inPinScope: Bool = false,
    writes: Bool = false, drains: Bool = true
  ) {
    self.space = space
    self.pages = pages
    self.access = access
    self.inPinScope = inPinScope
    self.writes = writes
    self.drains = drains
    page = pages.lowerBound
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    let outer = machine.enterTask(space)
    defer { machine.leaveTask(outer) }
    if fault == nil, machine.isKilled(space) {
      return finish(
        &machine,
        .failure(
          Refusal(.EINTR, "a fatal signal came: the OOM killer chose the process", rule: "A7.40")))
    }
    if pace == .slice, fault == nil {
      let end = min(page + Self.slicePages, pages.upperBound)
      let isLarge = pages.count >= Self.largePages
      if isLarge, page == pages.lowerBound { machine.expectDenseTables(pages: pages.count) }
      let run = machine.faultRange(
        space, page..<end, access, inPinScope: inPinScope, writes: writes, isLarge: isLarge)
      page += run.done
      if let refusal = run.refusal { return finish(&machine, .failure(refusal)) }
      if let head = run.waitsFor { return .waiting(.folio(head)) }
      return page < pages.upperBound ? .running : finish(&machine, .success(pages.count))
    }
    if fault == nil {
      page = machine.accessPresent(space, page..<pages.upperBound, access, writes: writes)
    }
    if page >= pages.upperBound { return finish(&machine, .success(pages.count)) }
    var current =
      fault
      ?? FaultOperation(
        space: space, page: page, access: access, inPinScope: inPinScope, writes: writes)
    let progress = current.advance(&machine, pace)
    fault = current
    guard progress == .finished else { return progress }
    fault = nil
    if case .refused(let refusal) = current.outcome {
      return finish(&machine, .failure(refusal))
    }
    return .running
  }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    fault?.holdings(machine) ?? Holdings()
  }

  private mutating func finish(
    _ machine: inout Machine, _ result: Result<Int, Refusal>
  ) -> Progress {
    if drains { machine.drainLRU(cpu: machine.currentCPU) }
    outcome = result
    return .finished
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    if let fault { return fault.nextStep(machine) }
    return page < pages.upperBound
      ? FaultOperation(space: space, page: page, access: access).nextStep(machine)
      : Step("t4", "lru_add_drain", "empty this CPU's LRU batches")
  }

  public mutating func interrupt(_ machine: inout Machine) {
    if var current = fault {
      current.interrupt(&machine)
      fault = nil
    }
    if outcome == nil {
      outcome = .failure(Refusal(.EINTR, "a fatal signal ended it", rule: "P2.13"))
    }
  }
}

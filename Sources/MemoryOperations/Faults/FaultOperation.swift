public import MemoryModel

/// One page fault (rules P2.10 to P2.14, P10.6).
///
/// Kernel: `handle_mm_fault()`, mm/memory.c.
public struct FaultOperation: ExplorableOperation {
  public private(set) var outcome: FaultResult?
  private var fault: PageFault
  /// The process knows of it, and does not leave before its end.
  private var isCounted = false

  /// Where it stands, with what it holds there.
  package var state: PageFault.Phase { fault.phase }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    var held = Holdings()
    if outcome == nil { held.add(machine, fault.phase) }
    return held
  }

  /// A fault of a process at a page.
  ///
  /// - Parameter inPinScope: The task is in a long-term pin (rule P2.33).
  /// - Parameter writes: The access really writes (rule P4.21).
  public init(
    space: Int, page: Int, access: FaultAccess, inPinScope: Bool = false, writes: Bool = false
  ) {
    fault = PageFault(space, page: page, access, inPinScope: inPinScope, writes: writes)
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    let outer = machine.enterTask(fault.space)
    defer { machine.leaveTask(outer) }
    if fault.phase == .start, machine.spaces[fault.space].mmapLock < 0 {
      return .waiting(.mmapLock(fault.space))
    }
    if !isCounted { machine.countOperation(fault.space, 1) }
    isCounted = true
    repeat {
      switch machine.advance(&fault) {
      case .running: continue
      case .waiting(let head): return .waiting(.folio(head))
      case .finished:
        if outcome == nil { machine.countOperation(fault.space, -1) }
        outcome = fault.result
        return .finished
      }
    } while pace == .slice
    return .running
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    let address = "0x" + String(fault.page << machine.geometry.pageShift, radix: 16)
    switch fault.phase {
    case .start:
      return Step("t1", "handle_mm_fault", "look up \(address) and allocate for it")
    case .install(let folio, _, let expected, _, _):
      return Step(
        "t2", expected.isNone ? "do_anonymous_page" : "wp_page_copy",
        "lock the page table and let \(address) show \(folio.head)")
    case .show(let pfn, _):
      return Step("t2", "finish_fault", "lock the page table and let \(address) show \(pfn)")
    case .installHuge(let folio, let expected, _):
      return Step(
        "t2", expected.isNone ? "hugetlb_no_page" : "hugetlb_wp",
        "lock the page table and let \(address) show the huge page at \(folio.head)")
    case .showHuge(let folio, _):
      return Step(
        "t2", "hugetlb_no_page",
        "lock the page table and let \(address) show the file's huge page at \(folio.head)")
    case .swapIn(let folio, _, _, _):
      return Step(
        "t2", "do_swap_page",
        "lock the page table, let \(address) show \(folio.head) and give its swap entry back")
    case .queue(let folio):
      return Step("t3", "folio_add_lru_vma", "queue \(folio.head) for the LRU lists")
    case .done:
      return Step("t4", "handle_mm_fault", "return")
    }
  }

  public mutating func interrupt(_ machine: inout Machine) {
    if outcome == nil, isCounted { machine.countOperation(fault.space, -1) }
    machine.abandon(&fault)
    outcome = fault.result
  }
}

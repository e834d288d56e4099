// Invariant: what is out of the tables and not let go yet is in `gather`, with its references
// (rule P9.32).

public import MemoryModel

/// munmap, or the end of a process, in the steps between which others see gathered pages.
///
/// Kernel: `do_vmi_align_munmap()`, `exit_mmap()`.
public struct UnmapOperation: ExplorableOperation {
  public var outcome: Result<Void, Refusal>? {
    isDone ? refusal.map { .failure($0) } ?? .success(()) : nil
  }

  private var isDone = false
  private var refusal: Refusal?
  private let space: Int
  /// Nil unmaps everything and ends the process.
  private let pages: Range<Int>?
  private var unmapping: Unmapping?

  public init(space: Int, pages: Range<Int>?) {
    self.space = space
    self.pages = pages
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if isDone { return .finished }
    guard var current = unmapping else {
      guard machine.spaces[space].mmapLock == 0 else { return .waiting(.mmapLock(space)) }
      switch machine.beginUnmap(space, pages) {
      case .success(let begun):
        machine.spaces[space].mmapLock = -1
        unmapping = begun
        return .running
      case .failure(let refusal):
        self.refusal = refusal
        isDone = true
        return .finished
      }
    }
    let isGone = machine.advance(&current, pages: pace == .slice ? 1 << 18 : 1)
    unmapping = current
    guard isGone else { return .running }
    machine.spaces[space].mmapLock += 1
    isDone = true
    return .finished
  }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    var held = Holdings()
    if !isDone, let unmapping { held.add(unmapping) }
    return held
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    guard let unmapping else {
      return Step("e1", "do_vmi_align_munmap", "cut the areas and empty this CPU's LRU batches")
    }
    switch unmapping.phase {
    case .zap(let page):
      return Step(
        "e2", "unmap_page_range",
        "take 0x\(String(page << machine.geometry.pageShift, radix: 16)) out of the tables")
    case .tables: return Step("e3", "free_pgtables", "gather the tables that nobody needs")
    case .finish, .forget:
      return Step("e4", "tlb_finish_mmu", "let \(unmapping.gather.count) entries go")
    }
  }

  /// A signal does not stop an unmap that has begun: it runs to its end.
  public mutating func interrupt(_ machine: inout Machine) { run(&machine) }
}

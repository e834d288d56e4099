// Invariant: `areas` are the parent's areas as they were when the fork took mmap_lock for writing;
// the child has those before `index`, and the entries of area `index` up to `page`.

public import MemoryModel

/// A copy of a process (rule P2.20).
///
/// Kernel: `dup_mmap()`, `copy_page_range()`. The parent's mmap_lock is held for writing, so slow
/// walkers stay out; fast ones see an odd sequence.
public struct ForkOperation: ExplorableOperation {
  /// The child's id.
  public private(set) var outcome: Result<Int, Refusal>?
  private let parent: Int
  private let name: String
  private var child: Int?
  private var areas: [MemoryArea] = []
  private var index = 0
  private var page: Int?
  /// What the test of the next page has found, between its two steps.
  private var isPinned: Bool?

  static let sliceEntries = 1 << 16

  public init(parent: Int, name: String) {
    self.parent = parent
    self.name = name
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard let child else { return begin(&machine) }
    guard index < areas.count else {
      machine.spaces[parent].mmapLock += 1
      machine.spaces[child].isStarting = false
      outcome = .success(child)
      return .finished
    }
    let area = areas[index]
    guard let page else {
      if machine.forkArea(child, area) {
        machine.countForkSequence(parent, area)
        self.page = area.start
      } else {
        index += 1
      }
      return .running
    }
    if page >= area.end {
      machine.countForkSequence(parent, area)
      self.page = nil
      index += 1
      return .running
    }
    if pace == .step, isPinned == nil {
      isPinned = machine.needsCopy(parent, area, page: page)
      // Fast walks see the entry as it was until it is shared; the sequence tells them (rule P3.30).
      if isPinned != nil { return .running }
    }
    let limit = pace == .slice ? Self.sliceEntries : 1
    let known = isPinned
    isPinned = nil
    switch machine.copyEntries(
      parent, child, area, from: page, limit: known == nil ? limit : 1, isPinned: known)
    {
    case .success(let next): self.page = next
    case .failure(let refusal):
      giveUp(&machine, refusal)
      return .finished
    }
    return .running
  }

  private mutating func begin(_ machine: inout Machine) -> Progress {
    guard machine.spaces[parent].isAlive else {
      outcome = .failure(Refusal(.EINVAL, "the process is gone", rule: "P2.20"))
      return .finished
    }
    guard machine.spaces[parent].mmapLock == 0 else { return .waiting(.mmapLock(parent)) }
    switch machine.beginFork(parent, name: name) {
    case .success(let id):
      child = id
      machine.spaces[id].isStarting = true
      areas = machine.spaces[parent].areas
      machine.spaces[parent].mmapLock = -1
      return .running
    case .failure(let refusal):
      outcome = .failure(refusal)
      return .finished
    }
  }

  /// Ends the half-made child.
  private mutating func giveUp(_ machine: inout Machine, _ refusal: Refusal) {
    if let child {
      if page != nil { machine.countForkSequence(parent, areas[index]) }
      machine.spaces[parent].mmapLock += 1
      machine.exit(child)
    }
    page = nil
    outcome = .failure(refusal)
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    if child == nil {
      return Step("k1", "dup_mm", "lock the parent's address space and make the child's")
    }
    guard index < areas.count else {
      return Step("k6", "dup_mmap", "unlock the parent's address space")
    }
    let area = areas[index]
    let start = "0x" + String((page ?? area.start) << machine.geometry.pageShift, radix: 16)
    guard let page else { return Step("k2", "dup_mmap", "give the child the area at \(start)") }
    if page >= area.end {
      return Step("k5", "copy_page_range", "make the sequence even again")
    }
    let entry = machine.entry(parent, page: page).entry
    if entry.isNone { return Step("k3", "copy_page_range", "pass over what is empty at \(start)") }
    if let isPinned {
      return isPinned
        ? Step("k4", "copy_present_page", "copy what \(start) shows for the child")
        : Step("k4", "copy_present_ptes", "let parent and child share what \(start) shows")
    }
    return Step(
      "k4", "folio_try_dup_anon_rmap_pte", "test whether what \(start) shows may be pinned")
  }

  public mutating func interrupt(_ machine: inout Machine) {
    if outcome == nil {
      giveUp(&machine, Refusal(.EINTR, "a fatal signal ended the fork", rule: "P2.20"))
    }
  }
}

// Invariant: areas change in one step, while mmap_lock allows it; the faults behind it take no lock with
// them from one to the next.

public import MemoryModel

/// mmap, mprotect, mlock, munlock and madvise: a change of areas in one step, and the faults that it asks
/// for (rules P2.2, P2.13, P2.24).
///
/// Kernel: `do_mmap()`, `do_mprotect_pkey()`, `do_mlock()`, `do_madvise()`; then `__mm_populate()` or
/// `madvise_populate()`.
public struct AreaCall: ExplorableOperation {
  public enum Change: Hashable, Sendable {
    case map(AreaRequest)
    case protect(Range<Int>, MemoryArea.Flags)
    case lock(Range<Int>)
    case unlock(Range<Int>)
    case advise(Range<Int>, MemoryAdvice)
  }

  private enum Phase: Hashable {
    case change
    /// Faults in from here to the end.
    case populate(page: Int, end: Int)
  }

  /// The first page of what was mapped; 0 of other changes.
  public private(set) var outcome: Result<Int, Refusal>?
  public var summary: CallSummary? {
    switch outcome {
    case .success(let page): CallSummary("ok", key: page)
    case .failure(let refusal): CallSummary(refusal)
    case nil: nil
    }
  }

  private let space: Int
  private let change: Change
  private var phase = Phase.change
  private var mapped = 0
  private var populating: PopulateOperation?

  public init(space: Int, _ change: Change) {
    self.space = space
    self.change = change
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard case .populate(let page, let end) = phase else {
      // The advice that takes pages away or faults them in is content with the lock for reading.
      let lock = machine.spaces[space].mmapLock
      guard writesAreas ? lock == 0 : lock >= 0 else { return .waiting(.mmapLock(space)) }
      switch begin(&machine) {
      case .failure(let refusal): return finish(.failure(refusal))
      case .success(nil): return finish(.success(mapped))
      case .success(let range?):
        phase = .populate(page: range.lowerBound, end: range.upperBound)
        return .running
      }
    }
    return populate(&machine, page, end, pace)
  }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    populating?.holdings(machine) ?? Holdings()
  }

  private var writesAreas: Bool {
    switch change {
    case .advise(_, .dontNeed), .advise(_, .cold), .advise(_, .populateRead),
      .advise(_, .populateWrite):
      false
    default: true
    }
  }

  /// - Returns: What is to be faulted in, if anything.
  private mutating func begin(_ machine: inout Machine) -> Result<Range<Int>?, Refusal> {
    switch change {
    case .map(let request):
      return request.map(&machine, space).map { page in
        mapped = page
        return request.populates ? page..<page + request.pages : nil
      }
    case .protect(let pages, let rights):
      return machine.protect(space, pages, rights).map { nil }
    case .lock(let pages): return machine.lockAreas(space, pages).map { pages }
    case .unlock(let pages): return machine.munlock(space, pages).map { nil }
    case .advise(let pages, .populateRead), .advise(let pages, .populateWrite):
      return .success(pages)
    case .advise(let pages, let advice): return machine.advise(space, pages, advice).map { nil }
    }
  }

  private mutating func populate(
    _ machine: inout Machine, _ page: Int, _ end: Int, _ pace: Pace
  ) -> Progress {
    var current: PopulateOperation
    if let populating {
      current = populating
    } else {
      switch part(machine, page, end) {
      case .failure(let refusal): return finishPopulation(&machine, refusal)
      case .success(nil): return finishPopulation(&machine, nil)
      case .success(let (pages, access)?):
        phase = .populate(page: pages.upperBound, end: end)
        current = PopulateOperation(space: space, pages: pages, access: access, drains: false)
      }
    }
    let progress = current.advance(&machine, pace)
    populating = current
    guard progress == .finished else { return progress }
    populating = nil
    if case .failure(let refusal) = current.outcome { return finishPopulation(&machine, refusal) }
    return .running
  }

  /// The next piece of one area, and how it is faulted in.
  private func part(
    _ machine: borrowing Machine, _ page: Int, _ end: Int
  ) -> Result<(Range<Int>, FaultAccess)?, Refusal> {
    guard page < end else { return .success(nil) }
    if case .advise(_, let advice) = change {
      let access: FaultAccess = advice == .populateRead ? .read : .write
      return machine.areaToPopulate(space, page, access).map { (page..<min($0.end, end), access) }
    }
    var page = page
    while page < end {
      let index = machine.spaces[space].firstArea(endingAfter: page)
      guard index < machine.spaces[space].areas.count else { break }
      let area = machine.spaces[space].areas[index]
      page = max(page, area.start)
      if page >= end { break }
      if area.flags.isDisjoint(with: [.io, .pfnMap]) {
        let isWrite = area.flags.contains(.write) && !area.flags.contains(.shared)
        return .success((page..<min(area.end, end), isWrite ? .write : .read))
      }
      page = area.end
    }
    return .success(nil)
  }

  private mutating func finishPopulation(
    _ machine: inout Machine, _ refusal: Refusal?
  ) -> Progress {
    machine.drainLRU(cpu: machine.currentCPU)
    guard let refusal else { return finish(.success(mapped)) }
    switch change {
    // mmap has done what it was asked for; who touches the memory gets the error.
    case .map: return finish(.success(mapped))
    case .lock: return finish(.failure(Refusal(.ENOMEM, refusal.message, rule: refusal.rule)))
    default: return finish(.failure(refusal))
    }
  }

  private mutating func finish(_ result: Result<Int, Refusal>) -> Progress {
    outcome = result
    return .finished
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    if let populating { return populating.nextStep(machine) }
    if case .populate(let page, let end) = phase {
      if case .success(let (pages, access)?) = part(machine, page, end) {
        return PopulateOperation(space: space, pages: pages, access: access).nextStep(machine)
      }
      return Step("t4", "lru_add_drain", "empty this CPU's LRU batches")
    }
    let name = machine.spaces[space].name
    func range(_ pages: Range<Int>) -> String {
      let start = String(pages.lowerBound << machine.geometry.pageShift, radix: 16)
      return "\(pages.count) page\(pages.count == 1 ? "" : "s") of \(name) at 0x\(start)"
    }
    switch change {
    case .map(let request):
      return Step(
        "x1", "do_mmap", "find room for \(request.pages) pages in \(name), and add an area")
    case .protect(let pages, _):
      return Step("x1", "do_mprotect_pkey", "change the rights of \(range(pages))")
    case .lock(let pages):
      return Step("x1", "do_mlock", "count \(range(pages)) as locked")
    case .unlock(let pages):
      return Step("x1", "mlock_fixup", "unlock \(range(pages))")
    case .advise(let pages, .populateRead), .advise(let pages, .populateWrite):
      return Step("x1", "madvise_populate", "look up \(range(pages)), to be faulted in")
    case .advise(let pages, let advice):
      return Step("x1", "do_madvise", "MADV_\(advice.rawValue.uppercased()) for \(range(pages))")
    }
  }

  public mutating func interrupt(_ machine: inout Machine) {
    populating?.interrupt(&machine)
    populating = nil
    if outcome == nil {
      outcome = .failure(Refusal(.EINTR, "a fatal signal ended it", rule: "P2.13"))
    }
  }
}

/// What mmap is asked for.
public struct AreaRequest: Hashable, Sendable {
  public enum Source: Hashable, Sendable {
    /// What there is already: anonymous memory, a file, or a device's.
    case existing(MemoryArea.Backing)
    /// A file of its own, with what its name begins.
    case file(MemoryFile.Kind, name: String)
  }

  /// The first page; nil for the first gap behind the RAM.
  public var start: Int?
  public var pages: Int
  public var flags: MemoryArea.Flags
  public var source: Source
  /// MAP_POPULATE.
  public var populates: Bool

  public init(
    start: Int?, pages: Int, flags: MemoryArea.Flags, source: Source, populates: Bool
  ) {
    self.start = start
    self.pages = pages
    self.flags = flags
    self.source = source
    self.populates = populates
  }

  fileprivate func map(_ machine: inout Machine, _ space: Int) -> Result<Int, Refusal> {
    switch source {
    case .existing(let backing):
      if case .file(let file, _) = backing, !machine.files[file].isOpen {
        return .failure(
          Refusal(.ENOENT, "nobody has file \(machine.files[file].name) any more", rule: "P2.2"))
      }
      return machine.mapArea(space, start: start, pages: pages, flags, backing)
    case .file(let kind, let name):
      return machine.createFile(kind, name: "\(name)-\(machine.files.count)", pages: pages)
        .flatMap { file in
          defer { machine.dropUser(file) }
          return machine.mapArea(
            space, start: start, pages: pages, flags, .file(file, offset: 0))
        }
    }
  }
}

public import MemoryModel

// Invariant: `cursor` covers exactly the folios that this call has pinned and not given back.

/// What of a file is to be pinned.
public struct MemfdPinRequest: Sendable, Hashable {
  /// Index into ``Machine/files``.
  public var file: Int
  /// The first and the last byte.
  public var start: Int
  public var end: Int
  /// Room for the result.
  public var maximumFolios: Int
  /// The process that asks.
  public var space: Int
  /// Who holds it, for `why`; empty for a number.
  public var holder: String

  public init(
    file: Int, start: Int, end: Int, maximumFolios: Int, space: Int = 0, holder: String = ""
  ) {
    self.file = file
    self.start = start
    self.end = end
    self.maximumFolios = maximumFolios
    self.space = space
    self.holder = holder
  }
}

/// What came of pinning a file.
public struct MemfdPinOutcome: Sendable, Hashable {
  /// Folios that are pinned now, each once.
  public var folios: Int
  /// Bytes from the start of the first folio to the first byte.
  public var offset: Int
  /// The record of the pinned folios; nil when there are none.
  public var pin: Int?
  public var refusal: Refusal?
  /// The folios that refused to move.
  public var stuck: [PFN] = []
  public var costs: OperationCosts
}

/// Pins folios of a shmem or hugetlb file, without any mapping; holes are filled (rule P3.70).
///
/// Kernel: `memfd_pin_folios()`, mm/gup.c. The whole call is a long-term pin, so its pages are
/// checked and moved as those of ``Pin``.
public struct MemfdPin: ExplorableOperation {
  private enum Phase: Sendable, Hashable { case begin, take, drain, check, finish(Refusal?), done }

  public let request: MemfdPinRequest
  public private(set) var outcome: MemfdPinOutcome?
  public private(set) var costs = OperationCosts()
  /// Rounds in a row that isolated nothing (rule P3.43).
  public private(set) var idleRounds = 0

  private var phase = Phase.begin
  private var pin = 0
  private var cursor = PinCursor(0..<0)
  /// The next page of the file.
  private var page = 0
  private var offset = 0
  private var folios = 0
  /// Whether this round has sent this CPU's batches to the LRU.
  private var isDrained = false
  private var check: LongTermCheck?
  private var stuck: [PFN] = []

  public var summary: CallSummary? {
    guard let outcome else { return nil }
    guard let pin = outcome.pin else {
      return CallSummary(
        outcome.refusal ?? Refusal(.EINVAL, "nothing was pinned", rule: "P3.70"))
    }
    return CallSummary("\(outcome.folios) folio\(outcome.folios == 1 ? "" : "s")", key: pin)
  }

  static let sliceFolios = 1 << 14

  public init(_ request: MemfdPinRequest) { self.request = request }

  private var flags: GUPFlags { [.pin, .longTerm] }
  private var lastPage: Int { request.end >> 12 }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    switch phase {
    case .begin: begin(&machine)
    case .take:
      var left = pace == .step ? 1 : Self.sliceFolios
      while left > 0, case .take = phase {
        take(&machine)
        left -= 1
      }
    case .drain:
      // Found folios come in batches, and the first that is given back drains.
      machine.drainLRU(cpu: machine.currentCPU)
      costs.localDrains += 1
      isDrained = true
      phase = .take
    case .check: advanceCheck(&machine, pace)
    case .finish(let refusal): finish(&machine, refusal)
    case .done: return .finished
    }
    if case .done = phase { return .finished }
    return .running
  }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    var held = Holdings()
    guard outcome == nil, pin != 0 else { return held }
    held.add(machine, cursor.start..<(check?.firstWord ?? cursor.position), flags, perFolio: true)
    if let check { held.add(machine, check.held, flags, perFolio: true) }
    return held
  }

  private mutating func begin(_ machine: inout Machine) {
    costs.calls = 1
    if let refusal = refusal(machine) {
      phase = .finish(refusal)
      return
    }
    let unit = 1 << machine.files[request.file].hugeOrder
    let most = min(request.maximumFolios, (lastPage - request.start >> 12) / unit + 2)
    guard
      let id = machine.addPin(
        space: request.space, startPage: request.start >> 12, room: most * 2, flags,
        holder: request.holder)
    else {
      phase = .finish(
        Refusal(
          .ENOMEM, "this model has no room for the record of \(most) folios; unpin something",
          rule: "P7.50"))
      return
    }
    pin = id
    machine.markPerFolio(id, file: request.file)
    cursor = PinCursor(machine.pinWords(id))
    restart()
  }

  private func refusal(_ machine: borrowing Machine) -> Refusal? {
    func invalid(_ text: String) -> Refusal { Refusal(.EINVAL, text, rule: "P3.70") }
    if request.start < 0 || request.start > request.end {
      return invalid("bytes \(request.start) to \(request.end) are no range")
    }
    if request.maximumFolios <= 0 { return invalid("room for \(request.maximumFolios) folios") }
    guard machine.files.indices.contains(request.file) else {
      return invalid("there is no file \(request.file)")
    }
    let file = machine.files[request.file]
    guard file.isMemory else { return invalid("\(file.name) is neither shmem nor hugetlb") }
    if request.end >= file.pages << 12 {
      return invalid("byte \(request.end) lies behind the end of \(file.name)")
    }
    return nil
  }

  private mutating func restart() {
    cursor.position = cursor.start
    cursor.pages = 0
    folios = 0
    isDrained = false
    page = request.start >> 12
    phase = .take
  }

  // MARK: Taking folios

  /// The next folio of the range: pinned when the cache has it, else made.
  private mutating func take(_ machine: inout Machine) {
    guard page <= lastPage, folios < request.maximumFolios else {
      phase = .check
      return
    }
    let file = request.file
    let unit = 1 << machine.files[file].hugeOrder
    page &= ~(unit - 1)
    guard let pfn = machine.cachedFrame(file, page: page), let folio = machine.folio(of: pfn) else {
      let inPinScope = machine.kernel.pinning.checksEveryPin
      if case .failure(let refusal) = machine.fillHole(file, page: page, inPinScope: inPinScope) {
        giveBack(&machine)
        phase = .finish(refusal)
      }
      return
    }
    guard machine.pinWhole(folio, &cursor) else {
      giveBack(&machine)
      phase = .finish(
        Refusal(
          .EINVAL, "the reference count of the folio at \(folio.head) is used up", rule: "P3.70"))
      return
    }
    costs.pinAtomics += folio.order > 0 ? 2 : 1
    costs.arrayWrites += 1
    if folios == 0 { offset = request.start & (folio.pages << 12 - 1) }
    folios += 1
    page += folio.pages - (pfn.index - folio.head.index)
    if !isDrained { phase = .drain }
  }

  /// Unpins what this round has pinned.
  private mutating func giveBack(_ machine: inout Machine) {
    _ = machine.unpin(
      cursor.start..<cursor.position, flags, limit: .max >> 1, batched: true, dirty: false, &costs)
    cursor.position = cursor.start
    cursor.pages = 0
    folios = 0
  }

  // MARK: The long-term check

  private mutating func advanceCheck(_ machine: inout Machine, _ pace: Pace) {
    if check == nil { costs.rounds += 1 }
    var work = check ?? LongTermCheck(cursor.start..<cursor.position, flags)
    check = nil
    if !work.staysIfNothingIsolated(machine) { work.advance(&machine, pace, &costs) }
    switch work.result {
    case nil: check = work
    case .stay: phase = .finish(nil)
    case .again:
      idleRounds = work.isolated == 0 ? idleRounds + 1 : 0
      restart()
    case .failed(let folios):
      stuck = folios
      cursor.position = cursor.start
      cursor.pages = 0
      self.folios = 0
      phase = .finish(
        Refusal(
          .ENOMEM, "\(folios.count) of the folios that may not be pinned here could not be moved",
          rule: "P3.42"))
    }
  }

  // MARK: Ending

  private mutating func finish(_ machine: inout Machine, _ refusal: Refusal?) {
    if pin != 0 {
      machine.closePin(pin, cursor)
      if folios == 0 {
        machine.removePin(pin)
      } else {
        machine.describeFilePin(
          pin, requested: lastPage - request.start >> 12 + 1, offset: offset, costs)
      }
    }
    outcome = MemfdPinOutcome(
      folios: folios, offset: offset, pin: folios > 0 ? pin : nil, refusal: refusal, stuck: stuck,
      costs: costs)
    phase = .done
  }

  /// The kernel looks at no signal here; a watcher may end it all the same, and nothing stays.
  public mutating func interrupt(_ machine: inout Machine) {
    if case .done = phase { return }
    if var work = check {
      // It gives back all that is pinned.
      work.interrupt(&machine, &costs)
      check = nil
      cursor.position = cursor.start
      cursor.pages = 0
      folios = 0
    } else {
      giveBack(&machine)
    }
    finish(&machine, Refusal(.EINTR, "the pin was ended", rule: "P3.70"))
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .begin: return Step("g0", "memfd_pin_folios", "check the arguments")
    case .take:
      guard page <= lastPage, folios < request.maximumFolios else {
        return Step("g4", "check_and_migrate_movable_folios", "look whether the folios may stay")
      }
      return machine.cachedFrame(request.file, page: page) == nil
        ? Step("g3", "memfd_alloc_folio", "fill page \(page) of the file")
        : Step("g2", "try_grab_folio", "pin the folio of page \(page) of the file")
    case .drain:
      return Step("g2", "__folio_batch_release", "send this CPU's batches to the LRU lists")
    case .check:
      return check?.nextStep(machine)
        ?? Step(
          "g4", "collect_longterm_unpinnable_folios", "test whether the folios may stay pinned")
    case .finish, .done: return Step("g10", "memfd_pin_folios", "return")
    }
  }
}

internal import MemoryModel

/// What the recorded script's task, PID 1, holds: an address space, pins, references, registers.
struct RecordedTask {
  /// A pin of the script: the records of its calls.
  struct HeldPin {
    var records: [Int]
  }

  /// A reference or an isolation that ends by itself, at a time that is known to a microsecond.
  struct Timer: Sendable {
    let folio: Folio
    let isIsolation: Bool
    let due: Int
  }

  /// A timer that fires in the middle of an operation.
  struct Shot: Sendable {
    let timer: Timer
    /// After as many calls of `advance`.
    let after: Int
    /// Or as soon as so many pins were taken, all in all.
    var afterPins: Int?
    var count = 0
    var isFired = false
    /// Steps that work on the timer's folio; between two of them it does not matter when it fires.
    var looks: [Int] = []
  }

  /// How far the known time of a timer may be off, in ns: it starts at the end of its record.
  static let timerSlack = 2000

  var space: Int
  /// The process that the script began in, once it goes on in a child.
  var parent: Int?
  /// The child of a fork.
  var child: Int?
  /// The child has not run yet: its first instruction faults, because a fork copies no mapping of the
  /// program's file, and every page of that is mapped already.
  var childFaultIsDue = false
  var pins: [Int: HeldPin] = [:]
  /// Files of shared mappings by first page.
  ///
  /// The kernel drops the last reference when the system call returns, and the script is one call.
  var files: [Int: Int] = [:]
  /// Folios taken off the LRU by handle.
  var isolated: [Int: PFN] = [:]
  var timers: [Timer] = []
  var shot: Shot?

  /// Of the static program: its data below, its stack above everything that scripts map.
  static let programPage = 0x400
  static let stackPage = 0x7_ffff_fff0

  /// Where the stack ends, which is where the task writes.
  private(set) var lowestStackPage = Self.stackPage

  /// The task in the state of the first dump: its own pages and tables are there already.
  init?(_ machine: inout Machine) {
    guard let space = machine.createSpace(name: "init", charged: false) else { return nil }
    self.space = space
    for page in [Self.programPage, Self.stackPage] {
      guard
        case .success = machine.mapArea(
          space, start: page - (page == Self.stackPage ? 1 : 0),
          pages: page == Self.stackPage ? 2 : 1, [.read, .write], .anonymous),
        machine.makeTable(space, page: page, level: .pmd, charged: false) != nil
      else { return nil }
    }
    adoptPages(&machine)
  }

  /// Lets a child show the page of its program that it runs, which is cached, as the parent showed it.
  ///
  /// Which of the cached pages it is, is not recorded, and does not matter: it is never freed.
  static func showProgram(_ machine: inout Machine, _ space: Int) {
    for pfn in 0..<machine.frames.count {
      let state = machine.frames.head(PFN(pfn))
      guard state.kind == .allocated, state.flags.contains(.folio), state.order == 0,
        state.owner == UInt8(ascii: "F") || state.owner == UInt8(ascii: "f")
      else { continue }
      machine.adoptFilePage(space, page: programPage - 1, PFN(pfn))
      return
    }
  }

  /// The only anonymous pages of the recorded machine are the task's stack and its data.
  ///
  /// The stack's top page came first, and `shift_arg_pages()` of its exec sent it to the LRU. A long
  /// script needs a second page of stack, which comes after the data.
  private mutating func adoptPages(_ machine: inout Machine) {
    var found: [(isLRU: Bool, pfn: PFN)] = []
    for pfn in 0..<machine.frames.count {
      let state = machine.frames.head(PFN(pfn))
      guard state.flags.contains(.folio),
        state.owner == UInt8(ascii: "A")
          || state.owner == UInt8(ascii: "a")
      else { continue }
      found.append((state.isLRU, PFN(pfn)))
    }
    guard (2...3).contains(found.count) else { return }
    let top = found.remove(at: found.firstIndex { $0.isLRU } ?? 0)
    machine.adoptAnonymous(space, page: Self.stackPage, top.pfn)
    machine.adoptAnonymous(space, page: Self.programPage, found[0].pfn)
    guard found.count > 1 else { return }
    lowestStackPage -= 1
    machine.adoptAnonymous(space, page: lowestStackPage, found[1].pfn)
  }
}

import MemoryModel
import MemoryOperations
import ModelTesting
import Testing

/// Whatever goes wrong at whichever step: a pin that fails leaves nothing behind, and succeeds when
/// the trouble is gone (I1 to I16).
@Suite struct PinFaultInjectionTests {
  enum GuestKind: String, CaseIterable, CustomTestStringConvertible {
    case anonymous, hugeAnonymous, shmem, hugeShmem, hugetlb, privateHugetlb, partiallyMapped
    case untouched, zeroPages, mixed, locked, privateFile, sharedCopy, hugeSharedCopy

    var testDescription: String { rawValue }
  }

  struct Target: ~Copyable {
    var process: PinningProcess
    let start: Int
    let pages: Int
  }

  /// A process whose last area must be moved, or faulted in, by a long-term pin.
  static func guest(_ kind: GuestKind) throws -> Target {
    let usesTHP = [.hugeAnonymous, .partiallyMapped, .mixed, .hugeSharedCopy].contains(kind)
    // All movable memory comes from the movable zone while it lasts.
    var process = try PinningProcess(megabytes: 96, cma: 0, movable: 48, thp: usesTHP, cpus: 2)
    switch kind {
    case .anonymous:
      let start = try process.populated(5)
      return Target(process: process, start: start, pages: 5)
    case .hugeAnonymous:
      let start = try process.populated(512)
      return Target(process: process, start: start, pages: 512)
    case .shmem:
      let file = try process.machine.createFile(.shmem, name: "memfd", pages: 5).get()
      let start = try process.populated(5, file: file)
      return Target(process: process, start: start, pages: 5)
    case .hugeShmem:
      let file = try process.machine.createFile(.shmem, name: "memfd", pages: 512).get()
      process.machine.setHugePolicy(file, .force)
      let start = try process.populated(512, file: file)
      return Target(process: process, start: start, pages: 512)
    case .hugetlb, .privateHugetlb:
      _ = try process.machine.setHugePages(order: 9, count: 1)
      let file = try process.machine.createFile(.hugetlb(order: 9), name: "huge", pages: 512).get()
      let start = try process.machine.mapArea(
        process.id, pages: 512,
        kind == .hugetlb ? [.read, .write, .shared] : [.read, .write], .file(file, offset: 0)
      ).get()
      let run = process.machine.faultRange(process.id, start..<start + 512, .write)
      try #require(run.done == 512, "\(run)")
      return Target(process: process, start: start, pages: 512)
    case .partiallyMapped:
      let start = try process.populated(512)
      _ = process.machine.faultRange(process.id, start..<start + 512, .write, writes: true)
      _ = try process.machine.advise(process.id, start + 10..<start + 11, .dontNeed).get()
      _ = process.machine.faultRange(process.id, start + 10..<start + 11, .write, writes: true)
      process.machine.drainAllLRU()
      return Target(process: process, start: start + 8, pages: 5)
    case .locked:
      let start = try process.populated(5)
      _ = try process.machine.mlock(process.id, start..<start + 5).get()
      process.machine.drainAllLRU()
      return Target(process: process, start: start, pages: 5)
    case .privateFile:
      // Some pages are copies, some still the file's.
      let file = try process.machine.createFile(.regular, name: "f", pages: 5).get()
      let start = try process.machine.mapArea(
        process.id, pages: 5, [.read, .write], .file(file, offset: 0)
      ).get()
      _ = process.machine.faultRange(process.id, start..<start + 5, .read)
      _ = process.machine.faultRange(process.id, start + 1..<start + 3, .write, writes: true)
      process.machine.drainAllLRU()
      return Target(process: process, start: start, pages: 5)
    case .sharedCopy, .hugeSharedCopy:
      // After a fork each page has two owners, and the pin needs one of its own.
      let pages = kind == .sharedCopy ? 5 : 512
      let start = try process.populated(pages)
      _ = process.machine.faultRange(process.id, start..<start + pages, .write, writes: true)
      var fork = ForkOperation(parent: process.id, name: "child")
      fork.run(&process.machine)
      process.machine.drainAllLRU()
      return Target(process: process, start: start, pages: pages)
    case .untouched:
      let start = try process.machine.mapArea(process.id, pages: 5, [.read, .write], .anonymous)
        .get()
      return Target(process: process, start: start, pages: 5)
    case .zeroPages:
      let start = try process.machine.mapArea(process.id, pages: 5, [.read, .write], .anonymous)
        .get()
      _ = process.machine.faultRange(process.id, start..<start + 5, .read)
      return Target(process: process, start: start, pages: 5)
    case .mixed:
      let start = try process.machine.mapArea(
        process.id, pages: 1024, [.read, .write], .anonymous
      ).get()
      _ = process.machine.faultRange(process.id, start..<start + 512, .write)
      _ = process.machine.faultRange(process.id, start + 514..<start + 516, .write)
      return Target(process: process, start: start + 508, pages: 10)
    }
  }

  static func request(_ process: borrowing PinningProcess, _ start: Int, _ pages: Int, fast: Bool)
    -> PinRequest
  {
    PinRequest(
      space: process.id, startPage: start, pages: pages, flags: [.write, .longTerm],
      entryPoint: fast ? .fast : .locked)
  }

  /// Looks at a machine after a pin, takes the trouble away, and pins again.
  private func finish(
    _ process: inout PinningProcess, _ pin: Pin, _ start: Int, _ pages: Int, fast: Bool,
    _ context: Comment
  ) throws {
    let outcome = try #require(pin.outcome)
    let broken = process.sound ?? process.machine.brokenCount() ?? process.machine.brokenPin()
    #expect(broken == nil, context)
    #expect(outcome.pages == pages || outcome.refusal != nil, context)
    // A short count is allowed, and then exactly those pages are pinned (I9).
    #expect(
      process.machine.pins.map(\.pages) == (outcome.pages > 0 ? [outcome.pages] : []), context)
    if let record = outcome.pin.flatMap({ process.machine.pin($0) }) {
      var unpin = UnpinOperation(pin: record, dirty: false)
      unpin.run(&process.machine)
    }
    let acquired = process.machine.total(.pinAcquired)
    #expect(acquired == process.machine.total(.pinReleased), context)
    process.machine.failAllocation = 0
    for reference in process.machine.temporaryReferences {
      process.machine.putTemporaryReference(reference.id)
    }
    #expect(process.sound == nil, context)
    let again = try process.pin(start, pages, fast: fast)
    #expect(again.pages == pages, "\(context.rawValue): \(String(describing: again.refusal))")
    let left = process.sound ?? process.machine.brokenCount() ?? process.machine.brokenPin()
    #expect(left == nil, context)
  }

  @Test("The n-th allocation fails", arguments: GuestKind.allCases)
  func allocationFails(kind: GuestKind) throws {
    let target = try Self.guest(kind)
    let (start, pages) = (target.start, target.pages)
    for fast in [false, true] {
      for nth in 1...40 {
        var process = try PinningProcess(target.process)
        process.machine.failAllocation = nth
        var pin = Pin(Self.request(process, start, pages, fast: fast))
        pin.run(&process.machine)
        let wasUsed = process.machine.failAllocation == 0
        try finish(
          &process, pin, start, pages, fast: fast, "\(kind) fast \(fast), allocation \(nth) fails")
        if !wasUsed { break }
      }
    }
  }

  @Test("A reference appears before step k", arguments: GuestKind.allCases)
  func referenceAppears(kind: GuestKind) throws {
    let target = try Self.guest(kind)
    let (start, pages) = (target.start, target.pages)
    var steps = 0
    do {
      var process = try PinningProcess(target.process)
      var pin = Pin(Self.request(process, start, pages, fast: false))
      while pin.advance(&process.machine, .step) != .finished {
        steps += 1
        let problem = process.sound(pin)
        #expect(problem == nil, "\(kind), behind step \(steps)")
      }
      try finish(&process, pin, start, pages, fast: false, "\(kind), undisturbed")
    }
    // All steps where there are few, and some hundred of those of a split.
    let stride = max(1, steps / 120)
    for moment in Swift.stride(from: 0, to: steps, by: stride) {
      var process = try PinningProcess(target.process)
      var pin = Pin(Self.request(process, start, pages, fast: false))
      var step = 0
      while pin.advance(&process.machine, .step) != .finished {
        step += 1
        if step == moment + 1,
          let page = process.machine.frame(process.id, page: start + pages / 2)
        {
          _ = process.machine.takeTemporaryReference(page, holder: "direct I/O")
        }
        try #require(step < 1_000_000, "\(kind) step \(moment): no end")
      }
      try finish(&process, pin, start, pages, fast: false, "\(kind), reference at step \(moment)")
    }
  }

  @Test("A fatal signal comes before step k", arguments: GuestKind.allCases)
  func signal(kind: GuestKind) throws {
    let target = try Self.guest(kind)
    let (start, pages) = (target.start, target.pages)
    for fast in [false, true] {
      var moment = 0
      while true {
        var process = try PinningProcess(target.process)
        var pin = Pin(Self.request(process, start, pages, fast: fast))
        var step = 0
        var isFinished = false
        while step < moment, !isFinished {
          isFinished = pin.advance(&process.machine, .step) == .finished
          step += 1
        }
        if isFinished { break }
        pin.interrupt(&process.machine)
        #expect(pin.outcome?.refusal?.errno == .EINTR)
        #expect(process.machine.pins.isEmpty, "\(kind) fast \(fast), signal before step \(moment)")
        #expect(process.machine.spaces[process.id].mmapLock == 0)
        try finish(
          &process, pin, start, pages, fast: fast,
          "\(kind) fast \(fast), signal before step \(moment)")
        moment += max(1, moment / 12)
      }
    }
  }
}

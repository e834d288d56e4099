import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Random programs of several processes, with all invariants checked after every operation.
@Suite struct RandomProcessTests {
  /// One random program.
  struct Program: ~Copyable {
    var machine: Machine
    var choices: SplitMix64
    var alive: [Int] = []
    var files: [Int] = []
    /// What the last operation was, for failure messages.
    var last = ""
    /// Temporary references, as a holder of pages takes them.
    var held: [Int] = []

    init(seed: UInt64) throws {
      var configuration = MachineConfiguration()
      try configuration.layOut(bytesPerNode: [48 << 20])
      configuration.cpuNodes = [0, 0]
      // Too little for all of them, now and then.
      if seed % 2 == 0 { configuration.swapPages = seed % 8 == 0 ? 700 : 20_000 }
      if seed % 3 == 0 { configuration.cmaAreas = [.init(name: "reserved", pages: 4096)] }
      var booted = try Machine.boot(configuration)
      booted.settings.transparentHugePages = seed % 4 != 1
      booted.settings.hugePagesOnlyAdvised = seed % 4 == 0
      if let first = booted.createSpace(name: "p0") { alive = [first] }
      machine = booted
      choices = SplitMix64(seed: seed)
    }

    mutating func choose(_ bound: Int) -> Int { Int(choices.next() % UInt64(bound)) }

    mutating func step() {
      machine.run(onCPU: choose(8) == 0 ? 1 : 0)
      guard !alive.isEmpty else {
        last = "new process"
        if let space = machine.createSpace(name: "p") { alive.append(space) }
        return
      }
      let space = alive[choose(alive.count)]
      switch choose(machine.swapPages.total > 0 ? 24 : 20) {
      case 0...2: map(space)
      case 3...7: touch(space)
      case 8: unmap(space)
      case 9: protect(space)
      case 10...11: advise(space)
      case 12: lock(space)
      case 13: fork(space)
      case 14: hold(space)
      case 15: fill()
      case 16: punch()
      case 17...18: fork(space)
      case 20...23: reclaim()
      default: end(space)
      }
    }

    private mutating func map(_ space: Int) {
      var pages = 1 + choose(400)
      if choose(2) == 0 { pages = 512 * (1 + choose(4)) }
      let start = choose(3) == 0 ? 0x10_0000 + choose(4096) : nil
      var flags: MemoryArea.Flags = [.read, .write]
      var backing = MemoryArea.Backing.anonymous
      if choose(3) == 0 {
        if files.isEmpty || choose(3) == 0 {
          let kind: MemoryFile.Kind = choose(3) == 0 ? .regular : .shmem
          let size = 1 + choose(1500)
          if case .success(let file) = machine.createFile(kind, name: "f", pages: size) {
            files.append(file)
            machine.files[file].hugePages = [.never, .always, .withinSize, .advise][choose(4)]
          }
        }
        backing = .file(files[choose(files.count)], offset: choose(2) * 512 * choose(2))
        if choose(2) == 0 { flags.insert(.shared) }
      }
      if choose(5) == 0 { flags.remove(.write) }
      last = "mmap of \(pages) pages, \(backing), flags \(flags.rawValue)"
      let replaces = choose(2) == 0
      _ = machine.mapArea(space, start: start, pages: pages, flags, backing, replacing: replaces)
    }

    private mutating func range(_ space: Int) -> Range<Int> {
      let areas = machine.spaces[space].areas
      guard !areas.isEmpty else { return 0x10_0000..<0x10_0001 }
      let area = areas[choose(areas.count)]
      let first = area.start + choose(area.pages)
      var last = first + 1 + choose(area.pages)
      if choose(4) != 0 { last = min(last, area.end) }
      return choose(4) == 0 ? area.start..<area.end : first..<last
    }

    private mutating func touch(_ space: Int) {
      let pages = range(space)
      let access: FaultAccess = choose(3) == 0 ? .read : .write
      let inPinScope = choose(6) == 0
      last = "\(access)s of \(pages) of process \(space)"
      if choose(2) == 0 {
        _ = machine.faultRange(space, pages, access, inPinScope: inPinScope)
      } else {
        for page in pages.prefix(40) {
          var fault = FaultOperation(
            space: space, page: page, access: access, inPinScope: inPinScope)
          while fault.advance(&machine, .step) == .running {}
        }
      }
    }

    private mutating func unmap(_ space: Int) {
      let pages = range(space)
      last = "munmap of \(pages) of process \(space)"
      var operation = UnmapOperation(space: space, pages: pages)
      if choose(2) == 0 {
        operation.run(&machine)
      } else {
        while operation.advance(&machine, .step) == .running {}
      }
    }

    private mutating func protect(_ space: Int) {
      let pages = range(space)
      last = "mprotect of \(pages) of process \(space)"
      _ = machine.protect(space, pages, [[], [.read], [.read, .write]][choose(3)])
    }

    private mutating func advise(_ space: Int) {
      let pages = range(space)
      let advice = MemoryAdvice.allCases[choose(MemoryAdvice.allCases.count)]
      last = "\(advice) for \(pages) of process \(space)"
      _ = machine.advise(space, pages, advice)
    }

    private mutating func lock(_ space: Int) {
      let pages = range(space)
      let isLock = choose(2) == 0
      last = "\(isLock ? "mlock" : "munlock") of \(pages) of process \(space)"
      _ = isLock ? machine.mlock(space, pages) : machine.munlock(space, pages)
    }

    private mutating func fork(_ space: Int) {
      last = "fork of process \(space)"
      guard alive.count < 4 else { return end(space) }
      var operation = ForkOperation(parent: space, name: "p\(machine.spaces.count)")
      if choose(2) == 0 {
        operation.run(&machine)
      } else {
        while operation.advance(&machine, .step) == .running {}
      }
      if case .success(let child) = operation.outcome { alive.append(child) }
    }

    /// Takes a plain reference to a page, or gives one back.
    private mutating func hold(_ space: Int) {
      if !held.isEmpty, choose(2) == 0 {
        let index = choose(held.count)
        let id = held.remove(at: index)
        last = "reference \(id) dropped"
        if let position = machine.temporaryReferences.firstIndex(where: { $0.id == id }) {
          let page = machine.temporaryReferences.remove(at: position).page
          if let folio = machine.folio(of: page) { machine.putReferences(folio, 1) }
        }
        return
      }
      let page = range(space).lowerBound
      last = "reference to page \(page) of process \(space)"
      let entry = machine.entry(space, page: page).entry
      guard entry.isPresent, !entry.flags.contains(.special),
        let pfn = machine.frame(space, page: page), let folio = machine.folio(of: pfn)
      else { return }
      machine.addReferences(folio, 1)
      machine.lastTemporaryReference += 1
      held.append(machine.lastTemporaryReference)
      machine.temporaryReferences.append(
        TemporaryReference(
          id: machine.lastTemporaryReference, page: pfn, holder: "test", operation: 0))
    }

    private mutating func fill() {
      guard !files.isEmpty else { return }
      let file = files[choose(files.count)]
      let first = choose(machine.files[file].pages)
      last = "write of file \(file) from page \(first)"
      let end = min(machine.files[file].pages, first + 1 + choose(300))
      _ = machine.fillFile(file, first..<end, writes: choose(2) == 0)
    }

    private mutating func reclaim() {
      let pages = 1 + choose(3000)
      last = "reclaim of \(pages) pages"
      _ = machine.reclaimPages(pages)
    }

    private mutating func punch() {
      guard !files.isEmpty else { return }
      let file = files[choose(files.count)]
      let first = choose(machine.files[file].pages)
      last = "hole in file \(file) from page \(first)"
      _ = machine.punchHole(file, first..<first + 1 + choose(700))
    }

    private mutating func end(_ space: Int) {
      last = "exit of process \(space)"
      machine.exit(space)
      alive.removeAll { $0 == space }
    }

    /// Counters that must follow from the tables, as nothing here comes from elsewhere.
    func countersAreWrong() -> String? {
      var anonymous = 0
      var mapped = 0
      var cached = 0
      var shmem = 0
      var at = 0
      while at < machine.frames.count {
        let state = machine.frames.head(PFN(at))
        defer { at += state.kind == .none ? 1 : 1 << state.order }
        guard state.kind == .allocated, state.flags.contains(.folio) else { continue }
        let folio = Folio(PFN(at), order: state.order)
        let owner = machine.owner(folio).mapping
        if owner.isFile {
          cached += folio.pages
          if state.flags.contains(.swapBacked) { shmem += folio.pages }
        }
        if machine.swapSlot(of: folio) != nil { cached += folio.pages }
        var pages = 0
        for offset in 0..<folio.pages where machine.pageMappings(folio.head + offset) > 0 {
          pages += 1
        }
        if machine.entireMappings(folio) > 0 { pages = folio.pages }
        if owner.isAnonymous { anonymous += pages } else { mapped += pages }
      }
      let found = [anonymous, mapped, cached, shmem]
      let counted = [
        machine.total(.anonMapped), machine.total(.fileMapped), machine.total(.filePages),
        machine.total(.shmem),
      ]
      return found == counted ? nil : "anon, mapped, file, shmem: \(found), counted \(counted)"
    }
  }

  @Test("All invariants hold after every operation of random programs")
  func invariants() throws {
    var swappedOut = 0
    for seed in Seeds.list(1...24) {
      var program = try Program(seed: seed)
      for step in 0..<Seeds.steps(150) {
        program.step()
        let broken =
          program.machine.checkMemory() ?? program.countersAreWrong()
          ?? (step % 20 == 0 ? program.machine.check() : nil)
        if let broken {
          Issue.record("seed \(seed), step \(step), \(program.last): \(broken)")
          return
        }
      }
      swappedOut += program.machine.event(.swapOut)
      for space in program.alive { program.machine.exit(space) }
      for file in program.files { program.machine.dropUser(file) }
      let broken =
        program.machine.check() ?? program.machine.checkMemory()
        ?? program.countersAreWrong()
      #expect(broken == nil, "seed \(seed), after the end")
      #expect(program.machine.total(.pageTable) == 0, "seed \(seed)")
      let slots = program.machine.swapPages.used
      #expect(slots == 0 || !program.held.isEmpty, "seed \(seed): \(slots) slots in use")
      #expect(program.machine.total(.anonMapped) == 0 || !program.held.isEmpty, "seed \(seed)")
    }
    #expect(swappedOut > 0 || !Seeds.list(1...24).contains { $0 % 2 == 0 })
  }

  @Test("A program ends in the same state whether it is watched or not")
  func steps() throws {
    for seed in Seeds.list(21...24) {
      var one = try Program(seed: seed)
      for _ in 0..<40 { one.step() }
      guard let space = one.alive.first else { continue }
      var other = try one.machine.fork()
      var watched = ForkOperation(parent: space, name: "child")
      var whole = watched
      while watched.advance(&one.machine, .step) == .running {}
      whole.run(&other)
      #expect(one.machine.checkMemory() == nil, "seed \(seed)")
      let pages = one.machine.spaces[space].areas.map(\.pages)
      #expect(other.spaces == one.machine.spaces, "seed \(seed), areas of \(pages) pages")
      #expect(other.trace.total == one.machine.trace.total, "seed \(seed)")
    }
  }
}

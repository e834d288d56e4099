import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Random programs of processes with huge pages, with all invariants checked after every operation.
@Suite struct RandomHugePageTests {
  struct Program: ~Copyable {
    var machine: Machine
    var choices: SplitMix64
    var alive: [Int] = []
    /// Hugetlb files that the program keeps open.
    var files: [Int] = []
    var held: [PFN] = []
    var last = ""

    init(seed: UInt64) throws {
      var configuration = MachineConfiguration()
      try configuration.layOut(bytesPerNode: [96 << 20])
      switch seed % 3 {
      case 0: configuration.cmaAreas = [.init(name: "reserved", pages: 48 << 8)]
      case 1: configuration.movablecore = .pages(40 << 8)
      default: break
      }
      var booted = try Machine.boot(configuration)
      booted.settings.transparentHugePages = seed % 2 == 0
      try booted.setHugePages(order: 9, count: 10)
      try booted.setHugeOvercommit(order: 9, count: Int(seed % 4))
      if let first = booted.createSpace(name: "p0") { alive = [first] }
      machine = booted
      choices = SplitMix64(seed: seed)
    }

    mutating func choose(_ bound: Int) -> Int { Int(choices.next() % UInt64(bound)) }

    mutating func step() {
      guard !alive.isEmpty else {
        last = "new process"
        if let space = machine.createSpace(name: "p") { alive.append(space) }
        return
      }
      let space = alive[choose(alive.count)]
      switch choose(20) {
      case 0...2: map(space)
      case 3...6: touch(space)
      case 7: unmap(space)
      case 8: advise(space)
      case 9: protect(space)
      case 10: fork(space)
      case 11...12: pin(space)
      case 13: pinFile()
      case 14: unpin()
      case 15: hold(space)
      case 16: resize()
      case 17: truncate()
      case 18: closeFile()
      default:
        guard choose(3) == 0 else { return touch(space) }
        last = "exit of process \(space)"
        machine.exit(space)
        alive.removeAll { $0 == space }
      }
    }

    private mutating func map(_ space: Int) {
      let pages = (1 + choose(4)) * 512
      if files.isEmpty || choose(3) == 0,
        case .success(let file) = machine.createFile(.hugetlb(order: 9), name: "h", pages: 2048)
      {
        files.append(file)
      }
      var flags: MemoryArea.Flags = [.read, .write]
      if choose(2) == 0 { flags.insert(.shared) }
      if choose(5) == 0 { flags.insert(.noReserve) }
      if choose(6) == 0 { flags.remove(.write) }
      let offset = choose(2) * 512 * choose(4)
      let backing = MemoryArea.Backing.file(files[choose(files.count)], offset: offset)
      let start = choose(2) == 0 ? 0x10_0000 + 512 * choose(16) : nil
      last = "mmap of \(pages) pages at \(start ?? 0), \(backing), flags \(flags.rawValue)"
      _ = machine.mapArea(
        space, start: start, pages: pages, flags, backing, replacing: choose(2) == 0)
    }

    private mutating func range(_ space: Int) -> Range<Int> {
      let areas = machine.spaces[space].areas
      guard !areas.isEmpty else { return 0x10_0000..<0x10_0001 }
      let area = areas[choose(areas.count)]
      if choose(2) == 0 { return area.start..<area.end }
      if choose(8) == 0 { return area.start + choose(area.pages)..<area.end }
      let first = area.start + choose(area.pages) & ~511
      return first..<min(area.end, first + 512 * (1 + choose(2)))
    }

    private mutating func touch(_ space: Int) {
      let pages = range(space)
      let access: FaultAccess = choose(3) == 0 ? .read : .write
      let inPinScope = choose(6) == 0
      last = "\(access)s of \(pages) of process \(space)"
      if choose(2) == 0 {
        _ = machine.faultRange(space, pages, access, inPinScope: inPinScope)
        return
      }
      var fault = FaultOperation(
        space: space, page: pages.lowerBound, access: access, inPinScope: inPinScope)
      var steps = choose(4)
      while fault.advance(&machine, .step) == .running {
        if steps == 0 {
          last += ", interrupted"
          return fault.interrupt(&machine)
        }
        steps -= 1
      }
    }

    private mutating func unmap(_ space: Int) {
      let pages = range(space)
      last = "munmap of \(pages) of process \(space)"
      var operation = UnmapOperation(space: space, pages: pages)
      let pace: Pace = choose(2) == 0 ? .slice : .step
      while operation.advance(&machine, pace) == .running {}
    }

    private mutating func advise(_ space: Int) {
      let pages = range(space)
      let advice: MemoryAdvice = [.dontNeed, .populateRead, .populateWrite, .cold][choose(4)]
      last = "\(advice) for \(pages) of process \(space)"
      _ = machine.advise(space, pages, advice)
    }

    private mutating func protect(_ space: Int) {
      let pages = range(space)
      last = "mprotect of \(pages) of process \(space)"
      _ = machine.protect(space, pages, [[.read], [.read, .write]][choose(2)])
    }

    private mutating func fork(_ space: Int) {
      guard alive.count < 4 else { return }
      last = "fork of process \(space)"
      var operation = ForkOperation(parent: space, name: "p\(machine.spaces.count)")
      let pace: Pace = choose(2) == 0 ? .slice : .step
      while operation.advance(&machine, pace) == .running {}
      if case .success(let child) = operation.outcome { alive.append(child) }
    }

    private mutating func pin(_ space: Int) {
      let pages = range(space)
      var flags: GUPFlags = choose(3) == 0 ? [] : .write
      if choose(3) > 0 { flags.insert(.longTerm) }
      let entry = PinEntryPoint.allCases[choose(4)]
      last = "\(entry.rawValue) of \(pages) of process \(space), flags \(flags.description)"
      var pin = Pin(
        PinRequest(
          space: space, startPage: pages.lowerBound, pages: pages.count, flags: flags,
          entryPoint: entry))
      run(&pin)
    }

    private mutating func pinFile() {
      guard !files.isEmpty else { return }
      let file = files[choose(files.count)]
      let pages = machine.files[file].pages
      let first = choose(pages)
      let last = first + choose(pages - first)
      self.last = "memfd_pin_folios of \(first)...\(last) of file \(file)"
      var pin = MemfdPin(
        MemfdPinRequest(
          file: file, start: first << 12, end: last << 12 | 7, maximumFolios: 1 + choose(5)))
      run(&pin)
    }

    private mutating func run(_ operation: inout some Operation) {
      let pace: Pace = choose(2) == 0 ? .slice : .step
      var steps = choose(4) == 0 ? choose(60) : .max
      while operation.advance(&machine, pace) != .finished {
        if steps == 0 {
          last += ", interrupted"
          return operation.interrupt(&machine)
        }
        steps -= 1
      }
    }

    private mutating func unpin() {
      guard !machine.pins.isEmpty else { return }
      let record = machine.pins[choose(machine.pins.count)]
      last = "unpin of \(record.id)"
      var costs = OperationCosts()
      _ = machine.unpin(
        record.words, record.isGet ? .get : .pin, limit: .max >> 1, batched: true,
        dirty: choose(2) == 0, &costs)
      machine.removePin(record.id)
    }

    /// Takes a plain reference to a page, or gives one back.
    private mutating func hold(_ space: Int) {
      if !held.isEmpty, choose(2) == 0 {
        let pfn = held.remove(at: choose(held.count))
        last = "reference to \(pfn) dropped"
        machine.temporaryReferences.remove(
          at: machine.temporaryReferences.firstIndex { $0.page == pfn } ?? 0)
        if let folio = machine.folio(of: pfn) { machine.putReferences(folio, 1) }
        return
      }
      guard let pfn = machine.frame(space, page: range(space).lowerBound),
        let folio = machine.folio(of: pfn)
      else { return }
      last = "reference to \(pfn)"
      machine.addReferences(folio, 1)
      machine.temporaryReferences.append(
        TemporaryReference(id: 0, page: pfn, holder: "test", operation: 0))
      held.append(pfn)
    }

    private mutating func resize() {
      let count = choose(14)
      last = "nr_hugepages = \(count)"
      _ = try? machine.setHugePages(order: 9, count: count)
    }

    /// A file that no process maps loses its pages.
    private mutating func truncate() {
      guard
        let file = files.first(where: { file in
          machine.spaces.allSatisfy { space in space.areas.allSatisfy { $0.file != file } }
        })
      else { return }
      let first = choose(4) * 512
      last = "truncate of file \(file) from \(first)"
      machine.truncate(file, first..<(choose(2) == 0 ? 2048 : first + 512))
    }

    private mutating func closeFile() {
      guard !files.isEmpty else { return }
      let file = files.remove(at: choose(files.count))
      last = "close of file \(file)"
      machine.dropUser(file)
    }
  }

  @Test("All invariants hold after every operation of random programs with huge pages")
  func invariants() throws {
    for seed in Seeds.list(1...12) {
      var program = try Program(seed: seed)
      for step in 0..<Seeds.steps(150) {
        program.step()
        let broken = program.machine.checkMemory() ?? program.machine.check()
        if let broken {
          Issue.record("seed \(seed), step \(step), \(program.last): \(broken)")
          return
        }
      }
      // Everything that is given back returns to pool and buddy, and no promise stays.
      for space in program.alive { program.machine.exit(space) }
      for file in program.files { program.machine.dropUser(file) }
      for record in program.machine.pins {
        var costs = OperationCosts()
        _ = program.machine.unpin(
          record.words, record.isGet ? .get : .pin, limit: .max >> 1, batched: true, dirty: false,
          &costs)
        program.machine.removePin(record.id)
      }
      for reference in program.machine.temporaryReferences {
        if let folio = program.machine.folio(of: reference.page) {
          program.machine.putReferences(folio, 1)
        }
      }
      program.machine.temporaryReferences = []
      let broken = program.machine.check() ?? program.machine.checkMemory()
      #expect(broken == nil, "seed \(seed), after the end")
      let found = program.machine.hugePool(order: 9)
      let pool = try #require(found)
      #expect(pool.free == pool.total, "seed \(seed)")
      #expect(pool.reserved + pool.missing == 0, "seed \(seed)")
      #expect(program.machine.total(.pageTable) == 0, "seed \(seed)")
    }
  }
}

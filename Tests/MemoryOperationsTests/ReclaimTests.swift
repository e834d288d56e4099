import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Reclaim, kswapd and the OOM killer, on machines of one small zone.
@Suite struct ReclaimTests {
  static func machine(megabytes: Int = 64, swap: Int = 0) throws -> Machine {
    var configuration = MachineConfiguration()
    configuration.swapPages = swap
    try configuration.layOut(bytesPerNode: [megabytes << 20])
    var machine = try Machine.boot(configuration)
    machine.settings.transparentHugePages = false
    return machine
  }

  static func file(_ machine: inout Machine, pages: Int, read: Int? = nil) throws -> Int {
    let file = try machine.createFile(.regular, name: "f", pages: pages).get()
    let run = machine.readFile(file, 0..<(read ?? pages))
    try #require(run.done == read ?? pages)
    return file
  }

  static func check(_ machine: borrowing Machine) {
    let broken = machine.check() ?? machine.checkMemory()
    #expect(broken == nil)
  }

  @Test func theOldestCleanPagesGoFirst() throws {
    var machine = try Self.machine()
    let file = try Self.file(&machine, pages: 310)
    machine.drainAllLRU()
    same(machine.reclaimPages(32), 64)
    same(machine.cachedFrame(file, page: 63) == nil, true)
    same(machine.cachedFrame(file, page: 64) == nil, false)
    same(machine.event(.scanDirect), 64)
    same(machine.event(.stealFile), 64)
    same(machine.event(.stealKswapd), 0)
    Self.check(machine)
  }

  /// Rule A7.37: what is held stays, and becomes young.
  @Test(arguments: ["pin", "reference", "dirty", "mapped and used"])
  func whatIsHeldStays(by holder: String) throws {
    var machine = try Self.machine()
    let file = try Self.file(&machine, pages: 31)
    let pfn = try need(machine.cachedFrame(file, page: 3))
    let folio = try need(machine.folio(of: pfn))
    switch holder {
    case "pin": machine.addPins(folio, 1)
    case "reference": machine.addReferences(folio, 1)
    case "dirty": _ = machine.fillFile(file, 3..<4)
    default:
      let space = try need(machine.createSpace(name: "p"))
      let start = try machine.mapArea(space, pages: 31, [.read], .file(file, offset: 0)).get()
      _ = machine.faultRange(space, start + 3..<start + 4, .read)
      for page in 0..<31 where page != 3 {
        _ = machine.unmap(space, start + page..<start + page + 1)
      }
    }
    machine.drainAllLRU()
    var control = ReclaimControl(.kernel, order: 0, highest: .movable, by: .direct)
    control.goal = 32
    control.priority = 0
    machine.shrinkNode(0, &control)
    #expect(control.reclaimed == 30)
    same(machine.cachedFrame(file, page: 3), pfn)
    same(machine.frames.head(pfn).lruList, .activeFile)
    switch holder {
    case "pin": machine.dropPins(folio, 1)
    case "reference": machine.putReferences(folio, 1)
    case "dirty": same(machine.writeBack(file), 1)
    default: machine.exit(machine.spaces[0].id)
    }
    // Two agings make it old, and nothing holds it any more.
    _ = machine.reclaimPages(1)
    same(machine.files[file].cachedPages, 0)
    Self.check(machine)
  }

  @Test func anonymousMemoryAndShmemStayWithoutSwap() throws {
    var machine = try Self.machine()
    let space = try need(machine.createSpace(name: "p"))
    let start = try machine.mapArea(space, pages: 256, [.read, .write], .anonymous).get()
    _ = machine.faultRange(space, start..<start + 256, .write)
    let shmem = try machine.createFile(.shmem, name: "s", pages: 64).get()
    _ = machine.fillFile(shmem, 0..<64)
    machine.drainAllLRU()
    same(machine.reclaimPages(1), 0)
    same(machine.event(.scanDirect), 0)
    Self.check(machine)
  }

  /// Rules A7.31 to A7.35: kswapd wakes below the low mark, and reclaims up to the high one.
  @Test func kswapdKeepsTheZoneAboveItsHighMark() throws {
    var machine = try Self.machine()
    let file = try Self.file(&machine, pages: 8192)
    let zone = try need(machine.populatedZones.last)
    var taken = 0
    while machine.kswapdWakeups == 0, machine.allocatePages(order: 0, gfp: .kernel).pfn != nil {
      taken += 1
    }
    same(machine.kswapds[0].rest, .woken(early: false))
    let cached = machine.files[file].cachedPages
    machine.runBackground()
    same(machine.kswapds[0].rest, .napping)
    same(machine.event(.pageOutRun), 1)
    same(machine.event(.stealKswapd), cached - machine.files[file].cachedPages)
    same(machine.freePagesSnapshot(zone) > machine.zone(zone).watermark(2), true)
    same(!machine.zone(zone).flags.contains(.reclaimActive), true)
    same(machine.endNap(node: 0), true)
    same(machine.kswapds[0].rest, .asleep)
    Self.check(machine)
  }

  /// Rule A7.36: a reclaim without progress stalls twice.
  @Test func directReclaimCountsItsStalls() throws {
    var machine = try Self.machine()
    machine.background.isEnabled = false
    while machine.allocatePages(order: 0, gfp: [.kswapdReclaim, .io, .fs, .noWarn]).pfn != nil {}
    let request = try need(machine.request(order: 0, gfp: .kernel, node: 0))
    same(machine.reclaimDirectly(request), 0)
    same(machine.event(named: "allocstall_normal"), 2)
    Self.check(machine)
  }

  /// Rule P1.27: without MGLRU the second access of an inactive page puts it into a batch, which holds a
  /// reference that no test of the LRU flag shows.
  @Test(arguments: [true, false]) func aSecondAccessActivates(usesGenerations: Bool) throws {
    var machine = try Self.machine()
    machine.settings.usesGenerations = usesGenerations
    let space = try Self.process(&machine, "p", pages: 31)
    let start = try need(machine.spaces[space].areas.first).start
    machine.drainAllLRU()
    let pfn = machine.entry(space, page: start).entry.pfn
    let list: LRUList = usesGenerations ? .activeAnon : .inactiveAnon
    same(machine.frames.head(pfn).lruList, list)
    for access in 1...2 {
      var pin = Pin(
        PinRequest(
          space: space, startPage: start, pages: 1, flags: [.write], entryPoint: .unlocked))
      same(pin.run(&machine)?.pages, 1)
      let waits = machine.lruBatch(cpu: 0, .activate).contains(pfn)
      same(waits, access == 2 && !usesGenerations)
      same(machine.frames.head(pfn).isLRU, true)
      same(machine.references(Folio(pfn, order: 0)), (waits ? 2 : 1) + FolioTable.pinBias)
      Self.check(machine)
      var unpin = UnpinOperation(pin: try need(machine.pins.last), dirty: false)
      unpin.run(&machine)
    }
    machine.drainAllLRU()
    same(machine.frames.head(pfn).lruList, .activeAnon)
    same(machine.event(.pgactivate), usesGenerations ? 0 : 1)
    Self.check(machine)
  }

  // MARK: The OOM killer

  static func process(_ machine: inout Machine, _ name: String, pages: Int) throws -> Int {
    guard let space = machine.createSpace(name: name) else { throw Missing() }
    let start = try machine.mapArea(space, pages: pages, [.read, .write], .anonymous).get()
    _ = try need(machine.faultRange(space, start..<start + pages, .write).done == pages)
    return space
  }

  /// Rule A7.40: resident pages, page tables and oom_score_adj decide.
  @Test(arguments: [(0, 0, "large"), (0, 900, "small"), (-1000, 0, "small"), (-1000, -1000, nil)])
  func theProcessWithMostPointsDies(large: Int, small: Int, victim: String?) throws {
    var machine = try Self.machine()
    let ids = [
      try Self.process(&machine, "large", pages: 2000),
      try Self.process(&machine, "small", pages: 1500),
    ]
    machine.setOOMScoreAdjustment(ids[0], large)
    machine.setOOMScoreAdjustment(ids[1], small)
    let free = machine.populatedZones.reduce(0) { $0 + machine.freePagesSnapshot($1) }
    var pressure = PressureOperation(pages: free + 100, gfp: .kernel)
    let id = try need(pressure.run(&machine))
    let alive = ids.filter { machine.spaces[$0].isAlive }.map { machine.spaces[$0].name }
    #expect(alive == ["large", "small"].filter { $0 != victim })
    same(machine.event(.oomKill), (victim == nil ? 0 : 1))
    same(machine.pressure(id)?.refusal == nil, victim != nil)
    if let victim {
      let line = machine.log.lines.last { $0.hasPrefix("Out of memory: Killed") } ?? ""
      #expect(line.contains("(\(victim))"))
    }
    Self.check(machine)
    machine.releasePressure(id)
    Self.check(machine)
  }

  /// Its pins go with it, and a pin of its own ends with EINTR or ENOMEM.
  @Test func aVictimTakesItsPinsAlong() throws {
    var machine = try Self.machine()
    let space = try Self.process(&machine, "vm", pages: 1000)
    let start = try need(machine.spaces[space].areas.first).start
    var first = Pin(
      PinRequest(
        space: space, startPage: start, pages: 100, flags: [.write, .longTerm], entryPoint: .fast))
    same(first.run(&machine)?.pages, 100)
    let more = try machine.mapArea(space, pages: 20_000, [.read, .write], .anonymous).get()
    var second = Pin(
      PinRequest(
        space: space, startPage: more, pages: 20_000, flags: [.write, .longTerm], entryPoint: .fast)
    )
    let outcome = try need(second.run(&machine))
    #expect(outcome.pages < 20_000)
    same(machine.isKilled(space) && machine.spaces[space].isAlive, true)
    Self.check(machine)
    machine.finishKilled()
    same(!machine.spaces[space].isAlive, true)
    same(machine.pins.isEmpty, true)
    same(machine.total(.pinAcquired), machine.total(.pinReleased))
    Self.check(machine)
  }

  /// Who is killed while it populates stops there, and what it had goes with it.
  @Test(arguments: [Pace.step, .slice]) func aKilledPopulationStops(pace: Pace) throws {
    var machine = try Self.machine()
    let space = try need(machine.createSpace(name: "vm"))
    let start = try machine.mapArea(space, pages: 20_000, [.read, .write], .anonymous).get()
    var populate = PopulateOperation(
      space: space, pages: start..<start + 20_000, access: .write)
    var atKill: Int?
    while populate.advance(&machine, pace) != .finished {
      if atKill == nil, machine.isKilled(space) { atKill = machine.spaces[space].anonymousPages }
    }
    guard case .failure(let refusal) = populate.outcome else {
      Issue.record("20000 pages fit into 64 MiB")
      return
    }
    same(refusal.errno, .EINTR)
    // The fault that was under way when it was chosen may end.
    if let atKill { #expect(machine.spaces[space].anonymousPages <= atKill + 1) }
    Self.check(machine)
    machine.finishKilled()
    same(machine.spaces[space].isAlive, false)
    same(machine.total(.anonMapped), 0)
    Self.check(machine)
  }

  // MARK: Dropping caches

  /// Rules P9.30, P1.27.
  @Test(arguments: [Pace.step, .slice])
  func dropCachesKeepsWhatIsUsed(pace: Pace) throws {
    var machine = try Self.machine()
    let file = try Self.file(&machine, pages: 100)
    machine.drainAllLRU()
    _ = machine.fillFile(file, 10..<12)
    let pinned = try need(machine.cachedFrame(file, page: 50).flatMap { machine.folio(of: $0) })
    let held = machine.takeTemporaryReference(pinned.head, holder: "a scanner")
    let shmem = try machine.createFile(.shmem, name: "s", pages: 8).get()
    _ = machine.fillFile(shmem, 0..<4, writes: false)
    _ = machine.fillFile(shmem, 4..<8)
    var operation = DropCaches(1)
    while operation.advance(&machine, pace) != .finished { Self.check(machine) }
    // fallocate() makes pages dirty, too.
    same(operation.outcome?.dropped, 97)
    same(operation.outcome?.kept, 3 + 8)
    same(machine.event(.dropPageCache), 1)
    same(machine.lruBatch(cpu: 0, .deactivateFile).count, 11)
    same(machine.temporaryReferences.count, 1)
    machine.drainAllLRU()
    same(machine.references(pinned), 2)
    machine.putTemporaryReference(try need(held))
    Self.check(machine)
  }

  // MARK: Under pressure

  /// Random processes, files, pins and pressure: every count holds, and no pinned page ever changes
  /// hands.
  @Test(arguments: Seeds.list(1...6)) func randomPressure(seed: UInt64) throws {
    var machine = try Self.machine(megabytes: 24, swap: seed % 2 == 0 ? Int(seed) * 700 : 0)
    var choices = SplitMix64(seed: seed)
    func choose(_ bound: Int) -> Int { Int(choices.next() % UInt64(bound)) }
    var files = [try Self.file(&machine, pages: 2000, read: 100)]
    var pressures: [Int] = []
    var number = 0
    for step in 0..<Seeds.steps(60) {
      let alive = machine.spaces.filter(\.isAlive).map(\.id)
      let what = choose(8)
      switch what {
      case 0: files.append(try machine.createFile(.regular, name: "f", pages: 3000).get())
      case 1:
        let file = files[choose(files.count)]
        let first = choose(1500)
        _ = machine.readFile(file, first..<first + choose(500) + 1)
      case 2:
        let file = files[choose(files.count)]
        _ = machine.fillFile(file, 0..<choose(100) + 1)
        if choose(2) == 0 { _ = machine.writeBack(file) }
      case 3:
        number += 1
        if alive.count < 6 { _ = machine.createSpace(name: "p\(number)") }
      case 4, 5:
        guard !alive.isEmpty else { break }
        let space = alive[choose(alive.count)]
        let pages = choose(1200) + 1
        guard
          case .success(let start) = machine.mapArea(
            space, pages: pages, [.read, .write], .anonymous)
        else { break }
        if what == 4 {
          var populate = PopulateOperation(
            space: space, pages: start..<start + pages, access: .write)
          populate.run(&machine)
        } else {
          var pin = Pin(
            PinRequest(
              space: space, startPage: start, pages: pages, flags: [.write, .longTerm],
              entryPoint: .fast))
          pin.run(&machine)
        }
      case 6:
        var operation = PressureOperation(pages: choose(2500) + 1, gfp: .kernel)
        if let id = operation.run(&machine) { pressures.append(id) }
      default:
        if !pressures.isEmpty { machine.releasePressure(pressures.removeLast()) }
        var operation = DropCaches(3)
        operation.run(&machine)
      }
      machine.runBackground()
      machine.finishKilled()
      let broken = machine.check() ?? machine.checkMemory()
      try #require(
        broken == nil, "seed \(seed), step \(step), operation \(what): \(broken ?? "")")
      for pin in machine.pins {
        for (offset, page) in machine.pinnedRuns(pin).flatMap({ run in
          (0..<run.pages).map { run.first + $0 }
        }).enumerated() {
          let frame = machine.frame(pin.space, page: pin.startPage + offset)
          try #require(frame == page, "seed \(seed), step \(step): page \(offset) of a pin")
        }
      }
    }
  }
}

/// The value of a call on a machine, which the macros cannot hold.
private func need<T>(_ value: T?) throws -> T {
  guard let value else { throw Missing() }
  return value
}

private struct Missing: Error {}

private func same<T: Equatable>(
  _ value: T, _ wanted: T, _ location: SourceLocation = #_sourceLocation
) {
  #expect(value == wanted, sourceLocation: location)
}

import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Contiguous allocations and offline, step by step: P10.4, P10.5, failures at every step.
@Suite struct RangeStepTests {
  /// A process with pages of all kinds in a CMA area, one of which does not move.
  private func process(_ seed: UInt64, movable: Int = 0) throws -> PinningProcess {
    var random = SplitMix64(seed: seed)
    var process = try PinningProcess(
      megabytes: movable > 0 ? 768 : 64, cma: movable > 0 ? 0 : 32, movable: movable)
    let file = try process.machine.createFile(.shmem, name: "f", pages: 400).get()
    let shmem = try process.populated(300, file: file)
    let start = try process.populated(600 + random.below(600))
    if random.below(2) == 0 { _ = try process.pin(start + random.below(500), 2, [.write]) }
    if random.below(2) == 0 {
      let shown = process.machine.frame(process.id, page: shmem + random.below(300))
      let page = try #require(shown)
      _ = process.machine.takeTemporaryReference(page, holder: "a reader")
    }
    return process
  }

  /// The first memory block that lies in ZONE_MOVABLE.
  private func movableBlock(_ machine: borrowing Machine) -> PFN {
    let size = machine.geometry.memoryBlockPages
    let start = machine.zone(ZoneIndex.movable.rawValue).start
    return PFN((start + size - 1) / size * size)
  }

  private func run(
    _ operation: inout some MemoryModel.Operation, _ machine: inout Machine, _ pace: Pace
  ) -> Int {
    var steps = 0
    while steps < 2_000_000 {
      steps += 1
      if operation.advance(&machine, pace) == .finished { break }
    }
    return steps
  }

  @Test("Small steps and slices come to the same machine")
  func paces() throws {
    for seed in Seeds.list(1...6) {
      var one = try process(seed)
      var other = try PinningProcess(one)
      let area = one.machine.cmaAreas[0]
      let pages = Int(seed) % 2 == 0 ? area.pages : 700
      var first = try one.machine.cmaAllocation(area: 0, pages: pages, alignment: 3)
      var second = first
      let steps = run(&first, &one.machine, .step)
      let slices = run(&second, &other.machine, .slice)
      #expect(steps > slices, "seed \(seed)")
      #expect(first.outcome == second.outcome, "seed \(seed)")
      #expect(difference(one.machine, other.machine) == nil, "seed \(seed)")
      #expect(one.sound == nil, "seed \(seed)")
    }
  }

  @Test("Offline: small steps and slices come to the same machine")
  func offlinePaces() throws {
    for seed in Seeds.list(1...3) {
      var one = try process(seed, movable: 512)
      var other = try PinningProcess(one)
      let (call, _) = try one.machine.memoryOffline(at: movableBlock(one.machine))
      var first = try #require(call)
      var second = first
      while first.outcome == nil {
        if first.rounds >= 3 { first.hasSignal = true }
        _ = first.advance(&one.machine, .step)
      }
      _ = second.run(&other.machine, rounds: 3)
      #expect(first.outcome == second.outcome, "seed \(seed)")
      #expect(difference(one.machine, other.machine) == nil, "seed \(seed)")
      #expect(one.sound == nil, "seed \(seed)")
    }
  }

  /// What must be as before when a call has failed, whatever has moved.
  private func expectRestored(
    _ process: borrowing PinningProcess, _ before: borrowing PinningProcess, _ note: Comment
  ) throws {
    let now = try PinningProcess(process)
    let then = try PinningProcess(before)
    #expect(now.sound == nil, note)
    #expect(now.machine.operationsInProgress == 0 && !now.machine.isCMAMutexHeld, note)
    #expect(now.machine.lruDisableCount == 0, note)
    for area in now.machine.cmaAreas.indices {
      #expect(
        now.machine.cmaSetRuns(area: area) == then.machine.cmaSetRuns(area: area), note)
    }
    for zone in now.machine.populatedZones {
      let range = now.machine.zone(zone).range
      for at in stride(from: range.start, to: range.end, by: 512)
      where now.machine.frames.migrateType(PFN(at)) != then.machine.frames.migrateType(PFN(at)) {
        // A page that moves may take its pageblock over, as any request may.
        let type = now.machine.frames.migrateType(PFN(at))
        #expect(type == .movable, "\(note): pageblock \(at) is \(type.name)")
      }
      let local = now.machine.perCPUPages(zone: zone, cpu: 0)
      let was = then.machine.perCPUPages(zone: zone, cpu: 0)
      #expect(local.highMax == was.highMax && local.batch == was.batch, note)
      #expect(now.machine.zone(zone).isolatedPageblocks == 0, note)
    }
    #expect(now.machine.total(.isolatedAnon) == then.machine.total(.isolatedAnon), note)
    var drained = try now.machine.fork()
    var undrained = try then.machine.fork()
    drained.drainAllLRU()
    undrained.drainAllLRU()
    for list in LRUList.allCases {
      #expect(
        drained.lruCount(node: 0, list) == undrained.lruCount(node: 0, list),
        "\(note): \(list.name)")
    }
    drained.drainAllPages()
    undrained.drainAllPages()
    for zone in drained.populatedZones where drained.populatedZones.count == 1 {
      #expect(
        drained.freePagesSnapshot(zone) == undrained.freePagesSnapshot(zone), note)
    }
    let space = process.id
    for area in now.machine.spaces[space].areas {
      for page in area.start..<area.end {
        let isThere = now.machine.frame(space, page: page) != nil
        #expect(isThere == (then.machine.frame(space, page: page) != nil), note)
      }
    }
    #expect(now.machine.pins.map(\.id) == then.machine.pins.map(\.id), note)
  }

  @Test("P5.11: a fatal signal at any step leaves everything but what has moved as it was")
  func interrupted() throws {
    for seed in Seeds.list(1...3) {
      let start = try process(seed)
      var total = try PinningProcess(start)
      var whole = try total.machine.cmaAllocation(area: 0, pages: 1500)
      let steps = run(&whole, &total.machine, .step)
      var random = SplitMix64(seed: seed)
      var at = 0
      while at < steps {
        var now = try PinningProcess(start)
        var call = try now.machine.cmaAllocation(area: 0, pages: 1500)
        for _ in 0..<at { _ = call.advance(&now.machine, .step) }
        if call.outcome != nil { break }
        let step = call.nextStep(now.machine)
        call.interrupt(&now.machine)
        #expect(call.outcome?.pfn == nil)
        try expectRestored(now, start, "seed \(seed), step \(at) (\(step.id), \(step.function))")
        at += 1 + random.below(max(1, steps / 120))
      }
    }
  }

  @Test("A failing allocation at any place ends the call with ENOMEM and restores")
  func injected() throws {
    let start = try process(2)
    for place in [1, 2, 3, 17, 32, 33, 64, 200] {
      var now = try PinningProcess(start)
      now.machine.failAllocation = place
      let area = now.machine.cmaAreas[0]
      var call = try now.machine.cmaAllocation(area: 0, pages: area.pages, noWarn: true)
      let outcome = try finish(&call, &now.machine)
      if now.machine.failAllocation > 0 { break }
      guard case .refused(let refusal) = outcome.result else {
        Issue.record("allocation \(place) failed, and all went well")
        continue
      }
      #expect(refusal.errno == .ENOMEM)
      try expectRestored(now, start, "allocation \(place)")
    }
  }

  @Test("P6.4: a signal at any step of offline leaves everything but what has moved as it was")
  func offlineInterrupted() throws {
    for seed in Seeds.list(1...2) {
      let start = try process(seed, movable: 512)
      var random = SplitMix64(seed: seed)
      var at = 0
      while true {
        var now = try PinningProcess(start)
        let (found, _) = try now.machine.memoryOffline(at: movableBlock(now.machine))
        var call = try #require(found)
        for _ in 0..<at where call.outcome == nil && call.rounds < 3 {
          _ = call.advance(&now.machine, .step)
        }
        if call.outcome != nil || call.rounds >= 3 { break }
        let step = call.nextStep(now.machine)
        call.interrupt(&now.machine)
        if call.outcome?.refusal != nil {
          try expectRestored(now, start, "seed \(seed), step \(at) (\(step.id), \(step.function))")
        } else {
          // Too late: the block is gone, and sound.
          #expect(now.machine.offlineMemory.count == 1)
          #expect(now.sound == nil)
        }
        at += 1 + random.below(400)
      }
    }
  }

  @Test("P6.3: a held page fails once a round until a signal; released, offline succeeds")
  func heldOffline() throws {
    var process = try PinningProcess(megabytes: 768, cma: 0, movable: 512)
    let block = movableBlock(process.machine)
    let start = try process.populated(12000)
    var held = PFN(0)
    for page in start..<start + 12000 {
      let shown = process.machine.frame(process.id, page: page)
      held = try #require(shown)
      if held.index / 32768 == block.index / 32768 { break }
    }
    try #require(held.index / 32768 == block.index / 32768)
    let taken = process.machine.takeTemporaryReference(held, holder: "a reader")
    let reference = try #require(taken)
    let before = Deltas(process.machine)
    let (found, _) = try process.machine.memoryOffline(at: block)
    var call = try #require(found)
    #expect(call.run(&process.machine, rounds: 6)?.errno == .EINTR)
    #expect(call.outcome?.rounds == 7 && call.outcome?.stuck == [held])
    #expect(before("pgmigrate_success", process.machine) == call.outcome?.migratedPages)
    #expect(before("pgmigrate_fail", process.machine) == 6)
    let line = "migrating pfn \(String(held.index, radix: 16)) failed ret:1"
    #expect(process.machine.log.lines.last == line)
    let range = PFNRange(block.index, block.index + 32768)
    let blockers = process.machine.blockers(in: range, for: .memoryOffline)
    #expect(blockers.map(\.holder) == [.temporaryReference(reference)])
    #expect(process.sound == nil)
    process.machine.putTemporaryReference(reference)
    let (again, _) = try process.machine.memoryOffline(at: block)
    var second = try #require(again)
    #expect(second.run(&process.machine, rounds: 6) == nil)
    #expect(process.machine.offlineMemory == [range])
    #expect(process.sound == nil)
    try process.machine.online(at: block, .movable)
    #expect(process.sound == nil)
  }

  @Test("P10.4: the steps of cma_alloc bear the numbers of the rule")
  func names() throws {
    var process = try process(4)
    var call = try process.machine.cmaAllocation(area: 0, pages: process.machine.cmaAreas[0].pages)
    var seen: [String] = []
    while call.outcome == nil {
      let id = call.nextStep(process.machine).id
      if id.hasPrefix("c"), !seen.contains(id) { seen.append(id) }
      _ = call.advance(&process.machine, .step)
    }
    for number in [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12] { #expect(seen.contains("c\(number)")) }
  }
}

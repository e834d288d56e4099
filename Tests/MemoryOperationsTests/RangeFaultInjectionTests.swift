import ModelTesting
import MemoryOperations
import Testing

@testable import MemoryModel

/// Whatever goes wrong at whichever step of cma_alloc and offline: pageblocks, bitmap, lists and counts
/// are afterwards what they were, but for the pages that did move; and without the trouble the same
/// call succeeds (I1 to I16).
@Suite struct RangeFaultInjectionTests {
  enum Backing: String, CaseIterable, CustomTestStringConvertible {
    case anonymous, shmem
    var testDescription: String { rawValue }
  }

  /// What a call that failed must leave as it was.
  private struct Facts: Equatable {
    var types: [MigrateType] = []
    /// Of each frame: 0 when it is free in the buddy or on a per-CPU list, or no block's first one.
    var states: [UInt32] = []
    /// The frame behind each page of the process.
    var places: [Int: PFN] = [:]
    var free: [Int] = []
    var managed: [Int] = []
    /// Every free block of the buddy, as (order, first frame), ascending.
    var blocks: [[Int]] = []
    var bitmap: [[Range<Int>]] = []
    var memory: [PFNRange] = []
    var lru: [Int] = []
    var isQuiet = true

    init(_ machine: inout Machine, _ id: Int, _ pages: Range<Int>) {
      machine.drainAllLRU()
      for pfn in 0..<machine.frames.count {
        let state = machine.frames.head(PFN(pfn))
        states.append(state.kind == .allocated ? state.rawValue : 0)
        if state.kind == .free { blocks.append([state.order, pfn]) }
        if pfn % machine.geometry.pageblockPages == 0 {
          types.append(machine.frames.migrateType(PFN(pfn)))
        }
      }
      for page in pages { places[page] = machine.frame(id, page: page) }
      for zone in machine.populatedZones {
        var listed = 0
        for cpu in 0..<machine.cpuCount {
          listed += machine.perCPUPages(zone: zone, cpu: cpu).count
        }
        free.append(machine.freePagesSnapshot(zone) + listed)
        managed.append(machine.zone(zone).managed)
      }
      bitmap = machine.cmaAreas.indices.map { machine.cmaSetRuns(area: $0) }
      memory = machine.memory
      let isolated = [NodeItem.isolatedAnon.rawValue, NodeItem.isolatedFile.rawValue]
      for item in LRUList.allCases.map(\.rawValue) + isolated {
        lru.append(machine.nodeItem(item, node: 0))
      }
      isQuiet =
        machine.lruDisableCount == 0 && !machine.isCMAMutexHeld && machine.operationsInProgress == 0
    }

    /// How it differs from what was there before, beyond what moves explain.
    func harm(since before: Facts) -> String? {
      if !isQuiet { return "something is still disabled or held" }
      if types != before.types { return "types of pageblocks" }
      if bitmap != before.bitmap { return "bitmap: \(bitmap), before \(before.bitmap)" }
      if memory != before.memory || managed != before.managed { return "memory" }
      if lru != before.lru { return "LRU counts \(lru), before \(before.lru)" }
      if free != before.free { return "free pages \(free), before \(before.free)" }
      if places.count != before.places.count { return "mapped pages" }
      var moved: Set<Int> = []
      for (page, pfn) in before.places where places[page] != pfn {
        guard let target = places[page] else { return "page \(page) is gone" }
        if states[pfn.index] != 0, !places.values.contains(pfn) { return "\(pfn) was left behind" }
        if before.states[target.index] != 0, !before.places.values.contains(target) {
          return "\(target) was somebody's"
        }
        moved.formUnion([pfn.index, target.index])
      }
      for pfn in states.indices
      where states[pfn] != before.states[pfn] && !moved.contains(pfn) {
        return "state of frame \(pfn): \(FrameState(rawValue: states[pfn])), before "
          + "\(FrameState(rawValue: before.states[pfn]))"
      }
      return nil
    }
  }

  private struct Target: ~Copyable {
    var process: PinningProcess
    let pages: Range<Int>
    /// What is to become empty.
    let range: PFNRange

    init(process: consuming PinningProcess, pages: Range<Int>, range: PFNRange) {
      self.process = process
      self.pages = pages
      self.range = range
    }

    init(_ other: borrowing Target) throws {
      let process = try PinningProcess(other.process)
      self.init(process: process, pages: other.pages, range: other.range)
    }

    /// Some pages of a process lie in an area, or in a block of ZONE_MOVABLE.
    static func make(_ backing: Backing, area: Bool) throws -> Target {
      var process = try PinningProcess(
        megabytes: area ? 32 : 384, cma: area ? 6 : 0, movable: area ? 0 : 256)
      let file =
        backing == .shmem
        ? try process.machine.createFile(.shmem, name: "memfd", pages: 40).get() : nil
      if area {
        // Hardly anything but CMA is left for the process.
        while process.machine.allocatePages(
          order: 3, gfp: [.kernel, .noRetry, .noWarn]
        ).pfn != nil {}
      }
      let start = try process.populated(40, file: file)
      let block = try process.frame(start + 39).index >> 15
      let range =
        area ? process.machine.cmaAreas[0].range : PFNRange(block << 15, (block + 1) << 15)
      process.machine.drainAllPages()
      process.machine.trace.clear()
      return Target(process: process, pages: start..<start + 40, range: range)
    }

    var facts: Facts {
      mutating get { Facts(&process.machine, process.id, pages) }
    }
  }

  private func target(area: Bool, _ backing: Backing) throws -> Target {
    // Memory for what has to move is freed again after the pages were placed.
    var target = try Target.make(backing, area: area)
    if area {
      var freed = 0
      for pfn in stride(from: 0, to: target.range.start, by: 8) where freed < 24 {
        let state = target.process.machine.frames.head(PFN(pfn))
        if state.kind == .allocated, state.order == 3, !state.isLRU {
          try target.process.machine.freePages(PFN(pfn), order: 3)
          freed += 1
        }
      }
      target.process.machine.drainAllPages()
    }
    let inside = target.pages.count { page in
      target.process.machine.frame(target.process.id, page: page).map(target.range.contains)
        ?? false
    }
    try #require(inside >= 20, "only \(inside) pages lie in the range")
    return target
  }

  // MARK: cma_alloc

  private func call(_ target: borrowing Target) throws -> CMAAllocation {
    try target.process.machine.cmaAllocation(area: 0, pages: target.range.count)
  }

  /// After a call: sound, unharmed when it failed, and it works without the trouble.
  private func finish(
    _ target: inout Target, _ call: CMAAllocation, _ before: Facts, _ context: Comment
  ) throws {
    let outcome = try #require(call.outcome)
    #expect(target.process.sound == nil, context)
    target.process.machine.failAllocation = 0
    for reference in target.process.machine.temporaryReferences {
      target.process.machine.putTemporaryReference(reference.id)
    }
    if let pfn = outcome.pfn {
      try target.process.machine.cmaRelease(area: 0, pfn, pages: target.range.count)
    }
    let after = target.facts
    #expect(after.harm(since: before) == nil, context)
    if outcome.pfn == nil, outcome.migratedPages == 0 {
      #expect(after.places == before.places, context)
    }
    var again = try self.call(target)
    let second = again.run(&target.process.machine)
    #expect(second?.pfn?.index == target.range.start, context)
    #expect(target.process.sound == nil, context)
  }

  @Test("cma_alloc: a fatal signal before every step", arguments: Backing.allCases)
  func allocationIsKilled(backing: Backing) throws {
    let target = try target(area: true, backing)
    var step = 0
    while true {
      var copy = try Target(target)
      let before = copy.facts
      var call = try call(copy)
      for _ in 0..<step where call.outcome == nil {
        _ = call.advance(&copy.process.machine, .step)
        #expect(copy.process.sound == nil, "\(backing), step \(step)")
      }
      if call.outcome != nil { break }
      call.interrupt(&copy.process.machine)
      #expect(call.outcome?.pfn == nil)
      let after = copy.facts
      // Nothing was allocated and nothing moved: not a block of the buddy differs.
      if call.outcome?.migratedPages == 0, after.places == before.places, step < 12 {
        #expect(after.blocks == before.blocks, "\(backing), step \(step)")
      }
      try finish(&copy, call, before, "\(backing), signal before step \(step)")
      step += 1
    }
    #expect(step > 40, "the call ended after \(step) steps")
  }

  @Test("cma_alloc: the n-th allocation fails", arguments: Backing.allCases)
  func allocationFails(backing: Backing) throws {
    let target = try target(area: true, backing)
    var failures = 0
    for nth in 1...44 {
      var copy = try Target(target)
      let before = copy.facts
      copy.process.machine.failAllocation = nth
      var call = try call(copy)
      call.run(&copy.process.machine)
      if copy.process.machine.failAllocation == 0 { failures += 1 }
      try finish(&copy, call, before, "\(backing), allocation \(nth)")
    }
    #expect(failures >= 20, "\(failures) allocations failed")
  }

  @Test("cma_alloc: somebody takes a reference before every step", arguments: Backing.allCases)
  func allocationMeetsReference(backing: Backing) throws {
    let target = try target(area: true, backing)
    var step = 0
    var refused = 0
    while true {
      var copy = try Target(target)
      let before = copy.facts
      var call = try call(copy)
      for _ in 0..<step where call.outcome == nil {
        _ = call.advance(&copy.process.machine, .step)
      }
      if call.outcome != nil { break }
      // The last of the process's pages that is still in the range, if it can be looked up.
      let page = copy.pages.last { page in
        guard let pfn = copy.process.machine.frame(copy.process.id, page: page) else {
          return false
        }
        return copy.range.contains(pfn)
      }
      if let page, let pfn = copy.process.machine.frame(copy.process.id, page: page),
        copy.process.machine.folio(of: pfn) != nil
      {
        _ = copy.process.machine.takeTemporaryReference(pfn, holder: "a lookup")
      }
      call.run(&copy.process.machine)
      if call.outcome?.pfn == nil { refused += 1 }
      try finish(&copy, call, before, "\(backing), reference before step \(step)")
      step += 1
    }
    #expect(refused > 10, "\(refused) calls were refused")
  }

  // MARK: offline

  /// After a call that failed: sound, unharmed; and it works without the trouble.
  private func finish(
    _ target: inout Target, _ call: MemoryOffline, _ before: Facts, _ context: Comment
  ) throws {
    _ = try #require(call.outcome)
    #expect(target.process.sound == nil, context)
    target.process.machine.failAllocation = 0
    for reference in target.process.machine.temporaryReferences {
      target.process.machine.putTemporaryReference(reference.id)
    }
    if call.outcome?.refusal != nil {
      #expect(target.facts.harm(since: before) == nil, context)
      let again = try target.process.machine.memoryOffline(at: PFN(target.range.start))
      var second = try #require(again.call)
      let end = second.run(&target.process.machine)
      #expect(end != nil && end?.refusal == nil, context)
      #expect(target.process.sound == nil, context)
    }
  }

  @Test("offline: a signal before every step", arguments: Backing.allCases)
  func offlineIsInterrupted(backing: Backing) throws {
    let target = try target(area: false, backing)
    var step = 0
    while true {
      var copy = try Target(target)
      let before = copy.facts
      let begun = try copy.process.machine.memoryOffline(at: PFN(copy.range.start))
      var call = try #require(begun.call)
      for _ in 0..<step where call.outcome == nil {
        _ = call.advance(&copy.process.machine, .step)
      }
      if call.outcome != nil { break }
      #expect(copy.process.sound == nil, "\(backing), step \(step)")
      call.interrupt(&copy.process.machine)
      try finish(&copy, call, before, "\(backing), signal before step \(step)")
      // Most steps are one pageblock of many that are alike.
      step += step < 4 || (64...90).contains(step) ? 1 : 7
    }
    #expect(step > 100, "the call ended after \(step) steps")
  }

  @Test("offline: the n-th allocation fails", arguments: Backing.allCases)
  func offlineFails(backing: Backing) throws {
    let target = try target(area: false, backing)
    for nth in [1, 2, 3, 7, 20, 39, 40] {
      var copy = try Target(target)
      let before = copy.facts
      copy.process.machine.failAllocation = nth
      let begun = try copy.process.machine.memoryOffline(at: PFN(copy.range.start))
      var call = try #require(begun.call)
      call.run(&copy.process.machine)
      // The page that found no room is tried again in the next round.
      #expect(call.outcome?.refusal == nil, "\(backing), allocation \(nth)")
      try finish(&copy, call, before, "\(backing), allocation \(nth)")
    }
  }

  @Test("offline: a reference keeps it going until a signal", arguments: Backing.allCases)
  func offlineMeetsReference(backing: Backing) throws {
    let target = try target(area: false, backing)
    for page in [0, 1, 19, 39] {
      var copy = try Target(target)
      let before = copy.facts
      let pfn = try copy.process.frame(copy.pages.lowerBound + page)
      _ = copy.process.machine.takeTemporaryReference(pfn, holder: "a lookup")
      let begun = try copy.process.machine.memoryOffline(at: PFN(copy.range.start))
      var call = try #require(begun.call)
      while call.outcome == nil {
        if call.rounds == 3 { call.hasSignal = true }
        _ = call.advance(&copy.process.machine, .slice)
      }
      #expect(call.outcome?.refusal?.errno == .EINTR)
      #expect(call.outcome?.stuck == [pfn])
      try finish(&copy, call, before, "\(backing), page \(page)")
    }
  }
}

import ModelTesting
import Testing

@testable import MemoryModel
@testable import MemoryOperations

/// cma_alloc, alloc_contig_range and offline in slices against one step after the other, on machines
/// whose memory is in use.
@Suite struct ContiguousPaceTests {
  static let shapes: [PaceTests.Shape] = [
    .plain, .cma, .cmaHalf, .smp, .numaMovable, .roomy, .older,
  ]

  @Test("Contiguous memory: slices leave what single steps leave", arguments: shapes)
  func slicesAreSteps(shape: PaceTests.Shape) throws {
    var moved = 0
    // Without CMA and ZONE_MOVABLE most ranges have pages of the kernel, so few calls move anything.
    for seed in Seeds.list(shape == .plain ? 1...12 : 1...4) {
      var pair = try PacePair(try PaceTests.machine(shape), seed: seed, contiguous: 40)
      let broken = try pair.run(steps: Seeds.steps(100))
      #expect(broken == nil, "\(shape.rawValue), seed \(seed)")
      moved += pair.slice.event(.migrateSuccess)
    }
    #expect(moved > 0 || Seeds.steps(100) < 60, "\(shape.rawValue)")
  }

  @Test("P5.12: a scan takes runs of pages as it takes them one by one")
  func scansTakeRuns() throws {
    for seed in Seeds.list(1...6) {
      var random = SplitMix64(seed: seed)
      var machine = try PaceTests.machine(.cma)
      let created = machine.createSpace(name: "p")
      let space = try #require(created)
      let file = try machine.createFile(.shmem, name: "memfd", pages: 2000).get()
      let areas = [
        try machine.mapArea(
          space, pages: 4000, [.read, .write, .noHugePage], .anonymous
        ).get(),
        try machine.mapArea(
          space, pages: 2000, [.read, .write, .shared], .file(file, offset: 0)
        ).get(),
      ]
      for _ in 0..<60 {
        let area = random.below(2)
        let first = random.below(area == 0 ? 3900 : 1900)
        _ = machine.faultRange(
          space, areas[area] + first..<areas[area] + first + 1 + random.below(90), .write)
      }
      for _ in 0..<40 {
        let pfn = PFN(random.below(machine.frames.count))
        if machine.frames.head(pfn).isLRU, let folio = machine.folio(of: pfn) {
          machine.addReferences(folio, 1)
        }
      }
      machine.drainAllLRU()
      var single = try machine.fork()
      for block in stride(from: 0, to: machine.frames.count, by: 512) {
        let end = block + 1 + random.below(512)
        let start = block + random.below(end - block)
        var list: [PFN] = []
        var collected = random.below(20)
        let before = collected
        let scan = machine.collectMovable(
          in: PFNRange(start, end), &list, collected: &collected)
        if scan.isThrottled { continue }
        // As the rule says it, frame by frame.
        var taken: [PFN] = []
        var at = start
        while at < end, before + taken.count < Machine.collectedPagesLimit {
          let pfn = PFN(at)
          at += 1
          let state = single.frames.head(pfn)
          guard state.kind == .allocated, state.isLRU else { continue }
          let folio = Folio(pfn, order: 0)
          let isFile = single.folios.owner(folio).mapping.isFile
          if !isFile, single.references(folio) > single.mappings(folio) { continue }
          guard single.isolateLRU(folio) else { continue }
          single.countIsolated(folio, 1)
          taken.insert(pfn, at: 0)
        }
        #expect(list == taken, "seed \(seed), \(start) to \(end)")
        #expect(collected == before + taken.count, "seed \(seed), \(start) to \(end)")
        if random.below(3) > 0 {
          machine.putBackMovable(list)
          for pfn in taken {
            single.countIsolated(Folio(pfn, order: 0), -1)
            single.putBackLRU(Folio(pfn, order: 0))
          }
        }
        let isSame =
          machine.frames.isEqual(to: single.frames)
          && machine.folios.frames.isEqual(to: single.folios.frames)
          && machine.lruLists.isEqual(to: single.lruLists)
          && machine.lruBatches.isEqual(to: single.lruBatches)
          && machine.nodeItems.isEqual(to: single.nodeItems)
          && machine.zoneItems.isEqual(to: single.zoneItems)
        #expect(isSame, "seed \(seed), \(start) to \(end)")
      }
    }
  }

  @Test("cma_alloc and alloc_contig_range, interrupted after any slice, leave nothing behind")
  func interrupts() throws {
    for seed in Seeds.list(1...12) {
      var random = SplitMix64(seed: seed)
      var machine = try PaceTests.machine(.cma)
      let created = machine.createSpace(name: "p")
      let space = try #require(created)
      let pages = 9000
      let start = try machine.mapArea(
        space, pages: pages, [.read, .write, .noHugePage], .anonymous
      ).get()
      _ = machine.faultRange(space, start..<start + pages, .write)
      let slices = random.below(16)
      if random.below(2) == 0 {
        var call = try machine.cmaAllocation(area: 0, pages: 3000)
        PaceTests.run(&call, &machine, slices: slices)
        if let pfn = call.outcome?.pfn { try machine.cmaRelease(area: 0, pfn, pages: 3000) }
        #expect(machine.cmaSetRuns(area: 0).isEmpty, "seed \(seed)")
      } else {
        let range = PFNRange(4096, 4096 + 4000)
        var call = try machine.contiguousAllocation(of: range)
        PaceTests.run(&call, &machine, slices: slices)
        if call.outcome?.refusal == nil { machine.freePagesOneByOne(range) }
      }
      let broken = machine.check() ?? machine.checkMemory()
      #expect(broken == nil, "seed \(seed), \(slices) slices")
      #expect(machine.total(.isolatedAnon) == 0, "seed \(seed), \(slices) slices")
      #expect(machine.total(.anonMapped) == pages, "seed \(seed), \(slices) slices")
      #expect(machine.operationsInProgress == 0, "seed \(seed), \(slices) slices")
    }
  }
}

extension PacePair {
  struct Buffer {
    /// Of `cma_alloc`, else of `alloc_contig_range`.
    let area: Int?
    let range: PFNRange
  }

  mutating func actContiguous() throws -> (String, String?) {
    switch random.below(10) {
    case 0..<4: return try allocateCMA()
    case 4..<6: return try allocateRange()
    case 6..<9: return try release()
    default: return try takeOffline()
    }
  }

  /// Runs a call on both; one that waits for isolated pages is interrupted.
  private mutating func runBoth<Work: MemoryModel.Operation>(
    _ work: Work
  ) -> (Work.Outcome?, String?) where Work.Outcome: Equatable {
    var one = work
    var other = work
    while one.advance(&slice, .slice) == .running {}
    while other.advance(&step, .step) == .running {}
    if one.outcome == nil { one.interrupt(&slice) }
    if other.outcome == nil { other.interrupt(&step) }
    return (
      one.outcome,
      one.outcome == other.outcome
        ? nil
        : "\(String(describing: one.outcome)) instead of \(String(describing: other.outcome))"
    )
  }

  private mutating func allocateCMA() throws -> (String, String?) {
    guard !slice.cmaAreas.isEmpty else { return ("nothing", nil) }
    let area = random.below(slice.cmaAreas.count)
    let pages = 1 + random.below(random.below(2) == 0 ? 100 : slice.cmaAreas[area].pages)
    let (outcome, broken) = runBoth(
      try slice.cmaAllocation(area: area, pages: pages, alignment: random.below(6)))
    if let pfn = outcome?.pfn {
      buffers.append(Buffer(area: area, range: PFNRange(pfn.index, pfn.index + pages)))
    }
    return ("cma_alloc of \(pages)", broken)
  }

  private mutating func allocateRange() throws -> (String, String?) {
    let pages = 1 + random.below(random.below(2) == 0 ? 600 : 3000)
    let first = random.below(slice.frames.count - pages)
    let range = PFNRange(first, first + pages)
    guard let call = try? slice.contiguousAllocation(of: range) else { return ("nothing", nil) }
    let (outcome, broken) = runBoth(call)
    if let outcome, outcome.refusal == nil { buffers.append(Buffer(area: nil, range: range)) }
    return ("alloc_contig_range of \(range)", broken)
  }

  private mutating func release() throws -> (String, String?) {
    guard !buffers.isEmpty else { return ("nothing", nil) }
    let buffer = buffers.remove(at: random.below(buffers.count))
    if let area = buffer.area {
      let (pfn, pages) = (PFN(buffer.range.start), buffer.range.count)
      try slice.cmaRelease(area: area, pfn, pages: pages)
      try step.cmaRelease(area: area, pfn, pages: pages)
    } else {
      slice.freePagesOneByOne(buffer.range)
      step.freePagesOneByOne(buffer.range)
    }
    return ("release \(buffer.range)", nil)
  }

  /// A memory block goes offline, or all come back.
  private mutating func takeOffline() throws -> (String, String?) {
    if !slice.offlineMemory.isEmpty {
      for range in slice.offlineMemory {
        try slice.online(at: PFN(range.start), .movable)
        try step.online(at: PFN(range.start), .movable)
      }
      return ("online", nil)
    }
    let size = slice.geometry.memoryBlockPages
    let block = random.below(max(1, slice.frames.count / size))
    guard let found = try? slice.memoryOffline(at: PFN(block * size)), var one = found.call else {
      return ("nothing", nil)
    }
    var other = one
    while one.outcome == nil {
      one.hasSignal = one.rounds >= 3
      _ = one.advance(&slice, .slice)
    }
    while other.outcome == nil {
      other.hasSignal = other.rounds >= 3
      _ = other.advance(&step, .step)
    }
    let isSame = one.outcome == other.outcome
    return (
      "offline block \(block)",
      isSame
        ? nil
        : "\(String(describing: one.outcome)) instead of \(String(describing: other.outcome))"
    )
  }
}

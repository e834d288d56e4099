import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// Random programs beside a naive model: a table of who has which frame, and first fit over it.
@Suite struct CMARandomTests {
  /// What nobody can move: each frame's buffer or block, nil when free.
  private struct Naive {
    let area: Machine.CMAArea
    var isUsed: [Bool]
    var isReserved: [Bool]

    init(_ area: Machine.CMAArea, frames: Int) {
      self.area = area
      isUsed = Array(repeating: false, count: frames)
      isReserved = Array(repeating: false, count: area.bits)
    }

    /// P5.1 and P5.2: the frames that are tried in vain, and the one that works.
    func tries(_ pages: Int, _ alignment: Int) -> (busy: [Int], found: Int?) {
      let size = 1 << area.orderPerBit
      let bits = (pages + size - 1) / size
      let step = max(1, (1 << alignment) / size)
      var busy: [Int] = []
      var bit = 0
      while bit + bits <= area.bits {
        let pfn = area.base + bit * size
        let isAligned = pfn / size % step == 0
        guard isAligned, !isReserved[bit..<bit + bits].contains(true) else {
          bit += 1
          continue
        }
        if !isUsed[pfn..<pfn + pages].contains(true) { return (busy, pfn) }
        busy.append(pfn)
        bit += step
      }
      return (busy, nil)
    }

    mutating func mark(_ pfn: Int, _ pages: Int, _ used: Bool) {
      for frame in pfn..<pfn + pages { isUsed[frame] = used }
    }

    mutating func reserve(_ pfn: Int, _ pages: Int, _ reserved: Bool) {
      let size = 1 << area.orderPerBit
      let bit = (pfn - area.base) / size
      for index in bit..<bit + (pages + size - 1) / size { isReserved[index] = reserved }
    }
  }

  private func machine(_ random: inout SplitMix64) throws -> Machine {
    var configuration = MachineConfiguration()
    try configuration.layOut(bytesPerNode: [(24 + 8 * random.below(4)) << 20])
    configuration.cpuNodes = Array(repeating: 0, count: 1 + random.below(2))
    configuration.kernel = [Kernel.v6_12, .v6_12_0, .v6_9, .v6_1][random.below(4)]
    let base = [nil, 0xA00, 0x1000][random.below(3)]
    configuration.cmaAreas = [
      .init(
        name: "dev", pages: 512 * (1 + random.below(3)), base: base, orderPerBit: random.below(4))
    ]
    return try Machine.boot(configuration)
  }

  @Test("Random programs: pfn, retries, bits, counters, and every frame's owner")
  func programs() throws {
    for seed in Seeds.list(1...12) {
      var random = SplitMix64(seed: seed)
      var machine = try machine(&random)
      var naive = Naive(machine.cmaAreas[0], frames: machine.frames.count)
      var buffers: [(pfn: Int, pages: Int)] = []
      var blocks: [(pfn: Int, order: Int)] = []
      for step in 0..<Seeds.steps(150) {
        let note: Comment = "seed \(seed), step \(step)"
        machine.run(onCPU: random.below(machine.cpuCount))
        switch random.below(8) {
        case 0...2:
          let pages = 1 + random.below(random.below(2) == 0 ? 20 : 1500)
          // An unaligned large request would try each page of the area.
          let alignment = random.below(10)
          let tries = naive.tries(pages, alignment)
          if tries.busy.count > 40 { continue }
          machine.clearTrace()
          let result = try machine.cmaAllocate(area: 0, pages: pages, alignment: alignment)
          #expect(result.pfn?.index == tries.found, note)
          let events = machine.trace.events()
          if machine.trace.lost == 0 {
            let busy = events.filter { $0.kind == .cmaAllocBusyRetry }.map { Int($0.pfn) }
            #expect(busy == tries.busy, note)
          }
          if case .refused(let refusal) = result {
            #expect(refusal.errno == (tries.busy.isEmpty ? .ENOMEM : .EBUSY), note)
          }
          guard let pfn = result.pfn?.index else { continue }
          buffers.append((pfn, pages))
          naive.mark(pfn, pages, true)
          naive.reserve(pfn, pages, true)
        case 3 where !buffers.isEmpty:
          let buffer = buffers.remove(at: random.below(buffers.count))
          try machine.cmaRelease(area: 0, PFN(buffer.pfn), pages: buffer.pages)
          naive.mark(buffer.pfn, buffer.pages, false)
          naive.reserve(buffer.pfn, buffer.pages, false)
        case 4, 5:
          let order = [0, 0, 0, 1, 3, 9][random.below(6)]
          let gfp: GFPFlags = random.below(3) == 0 ? .kernel : .highUserMovable
          guard let pfn = machine.allocatePages(order: order, gfp: gfp).pfn else { continue }
          blocks.append((pfn.index, order))
          naive.mark(pfn.index, 1 << order, true)
        case 6 where !blocks.isEmpty:
          let block = blocks.remove(at: random.below(blocks.count))
          try machine.freePages(PFN(block.pfn), order: block.order)
          naive.mark(block.pfn, 1 << block.order, false)
        default: machine.drainAllPages()
        }
        let broken = machine.check()
        #expect(broken == nil, note)
        if broken != nil { break }
      }
      let runs = machine.cmaSetRuns(area: 0).flatMap { $0 }
      #expect(runs == naive.isReserved.indices.filter { naive.isReserved[$0] }, "seed \(seed)")
      let used = (0..<machine.frames.count).filter {
        machine.block(containing: PFN($0))?.state.kind == .allocated
      }
      #expect(used == naive.isUsed.indices.filter { naive.isUsed[$0] }, "seed \(seed)")
      #expect(
        machine.cmaAreas[0].allocatedPages - machine.cmaAreas[0].releasedPages
          == buffers.reduce(0) { $0 + $1.pages }, "seed \(seed)")
    }
  }

  @Test("AI.15: all buffers released and drained, the area is as after boot but for the order")
  func roundTrip() throws {
    for seed in Seeds.list(1...8) {
      var random = SplitMix64(seed: seed)
      var machine = try machine(&random)
      machine.drainAllPages()
      let blank = (0...10).map { machine.zone(1).freeCounts[$0] }
      var buffers: [(pfn: PFN, pages: Int)] = []
      for _ in 0..<30 {
        let pages = 1 + random.below(300)
        let result = try machine.cmaAllocate(area: 0, pages: pages, alignment: random.below(6))
        if let pfn = result.pfn { buffers.append((pfn, pages)) }
      }
      #expect(!buffers.isEmpty)
      while let buffer = buffers.popLast() {
        try machine.cmaRelease(area: 0, buffer.pfn, pages: buffer.pages)
      }
      machine.drainAllPages()
      #expect(machine.check() == nil, "seed \(seed)")
      // CMA pageblocks that were cut do not merge with each other again unless both are free at
      // once; here they all are.
      #expect((0...10).map { machine.zone(1).freeCounts[$0] } == blank, "seed \(seed)")
    }
  }

  /// Interleavings of two contiguous allocations, a task that allocates and one that frees.
  @Test("P10.4: interleaved calls leave a sound machine and all memory")
  func interleaved() throws {
    for seed in Seeds.list(1...30) {
      var random = SplitMix64(seed: seed)
      var machine = try Machine.restore(.single(pages: 8192, cma: PFNRange(8192, 10240)))
      var cma = try [
        machine.cmaAllocation(area: 0, pages: 1 + random.below(900), alignment: random.below(8)),
        machine.cmaAllocation(area: 0, pages: 1 + random.below(900), alignment: random.below(8)),
      ]
      let start = 4096 + random.below(3000)
      var range = try machine.contiguousAllocation(
        of: PFNRange(start, start + 1 + random.below(900)))
      var pending = [true, true, true]
      var held: [PFN] = []
      var steps = 0
      while pending.contains(true) {
        steps += 1
        let actor = random.below(5)
        switch actor {
        case 0, 1:
          if pending[actor], cma[actor].advance(&machine, .step) == .finished {
            pending[actor] = false
          }
        case 2:
          if pending[2], range.advance(&machine, .step) == .finished { pending[2] = false }
        case 3:
          if held.count < 200, steps < 4000,
            let pfn = machine.allocatePages(order: 0, gfp: .plainMovable).pfn
          {
            held.append(pfn)
          }
        default:
          if let pfn = held.popLast() { try machine.freePages(pfn, order: 0) }
        }
        if steps % 7 == 0 {
          let broken = machine.check()
          #expect(broken == nil, "seed \(seed), step \(steps)")
          if broken != nil { return }
        }
        guard steps < 200_000 else {
          Issue.record("seed \(seed) does not end")
          return
        }
      }
      #expect(machine.check() == nil, "seed \(seed)")
      #expect(machine.operationsInProgress == 0 && machine.isCMAMutexHeld == false)
    }
  }
}

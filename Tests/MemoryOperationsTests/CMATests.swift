import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// cma_alloc and cma_release: A6.21 to A6.31, P5.1 to P5.6, P10.4.
@Suite struct CMATests {
  let zone = ZoneIndex.dma32.rawValue

  private func cmaLists(_ machine: borrowing Machine) -> [Int: [Int]] {
    var lists: [Int: [Int]] = [:]
    for order in 0...10 {
      let blocks = machine.freeBlocks(zone, order: order, .cma)
      if !blocks.isEmpty { lists[order] = blocks }
    }
    return lists
  }

  /// S(4096) with a CMA area of 2048 pages at 6144.
  private func small() throws -> Machine {
    try Machine.restore(.single(pages: 4096, cma: PFNRange(6144, 8192)))
  }

  @Test("AV.15: the worked numbers of cma_alloc and cma_release")
  func workedNumbers() throws {
    var machine = try Machine.restore(.single(pages: 16384, cma: PFNRange(12288, 14336)))
    #expect(try machine.cmaAllocate(area: 0, pages: 10).pfn == PFN(12288))
    let first = [
      1: [12298], 2: [12300], 4: [12304], 5: [12320], 6: [12352], 7: [12416], 8: [12544],
      9: [12800], 10: [13312],
    ]
    #expect(cmaLists(machine) == first)
    #expect(machine.freePagesSnapshot(zone) == 16374)
    #expect(machine.freeCMASnapshot(zone) == 2038)
    #expect(try machine.cmaAllocate(area: 0, pages: 600, alignment: 3).pfn == PFN(12304))
    let second = [
      1: [12298], 2: [12300], 3: [12904], 4: [12912], 7: [12928], 8: [13056], 10: [13312],
    ]
    #expect(cmaLists(machine) == second)
    #expect(machine.freeCMASnapshot(zone) == 1438)
    let free = machine.freePagesSnapshot(zone)
    try machine.cmaRelease(area: 0, PFN(12288), pages: 10)
    #expect(machine.perCPUBlocks(zone, list: 1) == Array((12288...12297).reversed()))
    #expect(machine.freePagesSnapshot(zone) == free)
    #expect(machine.allocate(4, order: 0, .plainMovable) == [12297, 12296, 12295, 12294])
    #expect(machine.allocate(2, order: 0, .plain) == [4096, 4097])
    // Two candidates have a page in use; nothing is left on the per-CPU lists.
    machine.trace.clear()
    #expect(try machine.cmaAllocate(area: 0, pages: 8, alignment: 3).pfn == PFN(12904))
    let retries = machine.trace.events().filter { $0.kind == .cmaAllocBusyRetry }.map(\.pfn)
    #expect(retries == [12288, 12296])
    #expect(machine.perCPUPages(zone: zone, cpu: 0).count == 0)
    let third = [
      1: [12292, 12298], 2: [12288, 12300], 4: [12912], 7: [12928], 8: [13056], 10: [13312],
    ]
    #expect(cmaLists(machine) == third)
    #expect(machine.event(.cmaAllocSuccess) == 3)
    #expect(machine.check() == nil)
  }

  @Test("P5.14: without alignment the call creeps past a page in use, one page at a time")
  func creeping() throws {
    var machine = try small()
    // The only page in use of the area is its fifth.
    let pages = machine.allocate(4096, order: 0, .plainMovable)
    for pfn in pages where pfn >= 0 && pfn != 6148 { try machine.freePages(PFN(pfn), order: 0) }
    machine.trace.clear()
    #expect(try machine.cmaAllocate(area: 0, pages: 64).pfn == PFN(6149))
    let events = machine.trace.events()
    #expect(
      events.filter { $0.kind == .cmaAllocBusyRetry }.map(\.pfn) == [6144, 6145, 6146, 6147, 6148])
    #expect(
      events.filter { $0.kind == .testPagesIsolated }.map(\.argument1).dropLast()
        == [6148, 6148, 6148, 6148, 6148])
    #expect(machine.check() == nil)
    // S5.2: all of what is left has one candidate.
    guard case .refused(let refusal) = try machine.cmaAllocate(area: 0, pages: 1980) else {
      Issue.record("1980 pages were found")
      return
    }
    #expect(refusal.errno == .ENOMEM)
    #expect(machine.event(.cmaAllocFail) == 1)
  }

  @Test("P5.3: what is no request is neither counted nor finished")
  func noRequest() throws {
    var machine = try small()
    for pages in [0, 2049] {
      machine.trace.clear()
      #expect(try machine.cmaAllocate(area: 0, pages: pages).pfn == nil)
      #expect(machine.trace.events().map(\.kind) == [.cmaAllocStart])
    }
    #expect(machine.event(.cmaAllocFail) == 0)
    #expect(machine.log.lines.isEmpty)
    #expect(machine.check() == nil)
  }

  @Test("P5.3, P5.4: no candidate is ENOMEM: counted once, in pages in the area, and logged")
  func noCandidate() throws {
    var machine = try small()
    #expect(try machine.cmaAllocate(area: 0, pages: 3).pfn == PFN(6144))
    #expect(try machine.cmaAllocate(area: 0, pages: 100, alignment: 7).pfn == PFN(6272))
    machine.trace.clear()
    guard case .refused(let refusal) = try machine.cmaAllocate(area: 0, pages: 1900) else {
      Issue.record("1900 pages were found")
      return
    }
    #expect(refusal.errno == .ENOMEM)
    let lines = [
      "cma: __cma_alloc: reserved: alloc failed, req-size: 1900 pages, ret: -12",
      "cma: number of available pages: 125@3+1820@228=> 1945 free of 2048 total pages",
    ]
    #expect(machine.log.lines == lines)
    let finish = machine.trace.events().last!
    #expect(finish.kind == .cmaAllocFinish && finish.failed)
    #expect(finish.pfn == TraceEvent.noFrame.rawValue)
    _ = try machine.cmaAllocate(area: 0, pages: 1900, noWarn: true)
    #expect(machine.log.lines == lines)
    #expect(machine.event(.cmaAllocFail) == 2)
    #expect(machine.cmaAreas[0].failedPages == 3800)
    #expect(machine.cmaAreas[0].allocatedPages == 103)
  }

  @Test("P5.6: a wrong release is refused, and changes nothing")
  func wrongRelease() throws {
    var machine = try small()
    let pfn = try machine.cmaAllocate(area: 0, pages: 16).pfn!
    let before = try machine.fork()
    for (start, pages) in [(6144, 17), (6143, 1), (8191, 2), (6200, 1), (6144, 0), (0, 1)] {
      #expect(throws: MemoryError.self) {
        try machine.cmaRelease(area: 0, PFN(start), pages: pages)
      }
    }
    #expect(throws: MemoryError.self) { try machine.freePages(pfn, order: 0) }
    #expect(throws: MemoryError.self) { try machine.freeContiguous(PFNRange(6144, 6160)) }
    #expect(throws: MemoryError.self) { try machine.cmaRelease(area: 1, pfn, pages: 16) }
    #expect(difference(machine, before) == nil)
    try machine.cmaRelease(area: 0, pfn, pages: 16)
    #expect(machine.cmaSetRuns(area: 0).isEmpty)
    #expect(throws: MemoryError.self) { try machine.cmaRelease(area: 0, pfn, pages: 16) }
  }

  @Test("A6.21: alloc_contig_range gives back what its free blocks hold beyond the range")
  func headAndTail() throws {
    var machine = try Machine.restore(.single(pages: 4096))
    #expect(try machine.allocateContiguous(PFNRange(5000, 5200)) == nil)
    #expect(machine.freePagesSnapshot(zone) == 4096 - 200)
    #expect(machine.picture(4992..<5000) == "3.......")
    #expect(machine.picture(5200..<5208) == "4.......")
    #expect(machine.event(.compactIsolated) == 512 + 512)
    #expect(machine.check() == nil)
    try machine.freeContiguous(PFNRange(5000, 5200))
    machine.drainAllPages()
    #expect(machine.freePagesSnapshot(zone) == 4096)
    #expect(machine.freeCounts(zone)[10] == 4)
    #expect(machine.check() == nil)
  }

  @Test("P10.4: every step leaves a sound machine, and any step can be gone on from twice")
  func steps() throws {
    var machine = try Machine.restore(.single(pages: 4096, cma: PFNRange(6144, 8192)))
    _ = machine.allocate(40, order: 0, .plainMovable)
    var call = try machine.cmaAllocation(area: 0, pages: 700, alignment: 2)
    var steps = 0
    while true {
      var twin = try machine.fork()
      var twinCall = call
      let progress = call.advance(&machine, .step)
      steps += 1
      #expect(machine.check() == nil, "step \(steps)")
      #expect(twinCall.advance(&twin, .step) == progress)
      #expect(difference(machine, twin) == nil, "step \(steps)")
      if progress == .finished {
        #expect(call.outcome?.pfn != nil)
        break
      }
    }
    #expect(machine.operationsInProgress == 0)
    #expect(machine.isCMAMutexHeld == false)
    #expect(machine.zone(zone).isolatedPageblocks == 0)
  }

  @Test("R10: a second cma_alloc takes other bits and waits for the mutex")
  func mutex() throws {
    var machine = try small()
    var one = try machine.cmaAllocation(area: 0, pages: 10)
    var two = try machine.cmaAllocation(area: 0, pages: 10)
    for _ in 0..<4 { #expect(one.advance(&machine, .step) == .running) }
    #expect(two.advance(&machine, .step) == .running)
    for _ in 0..<3 { #expect(two.advance(&machine, .step) == .waiting(.cmaMutex)) }
    #expect(machine.cmaSetRuns(area: 0) == [0..<20])
    #expect(throws: MemoryError.self) { try machine.cmaAllocate(area: 0, pages: 1) }
    #expect(one.run(&machine)?.pfn == PFN(6144))
    #expect(machine.check() == nil)
    #expect(two.run(&machine)?.pfn == PFN(6154))
    #expect(machine.check() == nil)
  }

  @Test("R10: two ranges that share a pageblock collide, and the loser gives the pageblock back")
  func collision() throws {
    var machine = try Machine.restore(.single(pages: 4096))
    var one = try machine.contiguousAllocation(of: PFNRange(5000, 5010))
    var two = try machine.contiguousAllocation(of: PFNRange(5050, 5060))
    for _ in 0..<3 { #expect(one.advance(&machine, .step) == .running) }
    #expect(two.run(&machine)?.refusal?.errno == .EBUSY)
    // The kernel's undo does not ask who isolated it: the winner loses, too.
    #expect(one.run(&machine)?.refusal?.errno == .EBUSY)
    #expect(machine.check() == nil)
    #expect(machine.freePagesSnapshot(zone) == 4096)
  }

  @Test("P5.11: a fatal signal ends the call with EINTR and leaves nothing behind")
  func signal() throws {
    var machine = try small()
    var call = try machine.cmaAllocation(area: 0, pages: 10)
    call.hasFatalSignal = true
    guard case .refused(let refusal)? = call.run(&machine)?.result else {
      Issue.record("the call went on")
      return
    }
    #expect(refusal.errno == .EINTR)
    #expect(machine.cmaSetRuns(area: 0).isEmpty)
    #expect(machine.freeCMASnapshot(zone) == 2048)
    #expect(machine.check() == nil)
  }

  @Test("P5.1: several pages a bit, an alignment beyond it, and the offset of the base")
  func ordersPerBit() throws {
    var image = MachineImage.single(pages: 4096, cma: PFNRange(6144, 8192))
    image.cmaAreas[0].orderPerBit = 2
    var machine = try Machine.restore(image)
    #expect(try machine.cmaAllocate(area: 0, pages: 3).pfn == PFN(6144))
    #expect(machine.cmaSetRuns(area: 0) == [0..<1])
    #expect(machine.cmaUsed(area: 0) == 4)
    #expect(try machine.cmaAllocate(area: 0, pages: 5).pfn == PFN(6148))
    #expect(machine.cmaSetRuns(area: 0) == [0..<3])
    #expect(try machine.cmaAllocate(area: 0, pages: 4, alignment: 12).pfn == nil)
    #expect(try machine.cmaAllocate(area: 0, pages: 4, alignment: 9).pfn == PFN(6656))
    #expect(machine.cmaLargestRun(area: 0) == 2048 - 512 - 4)
    #expect(machine.check() == nil)
    try machine.cmaRelease(area: 0, PFN(6148), pages: 5)
    #expect(machine.cmaSetRuns(area: 0) == [0..<1, 128..<129])
    #expect(machine.check() == nil)
  }

  @Test("P5.1: the search against a walk over booleans")
  func search() throws {
    for seed in Seeds.list(1...40) {
      var random = SplitMix64(seed: seed)
      let base = 64 * (1 + random.below(40))
      let order = random.below(3)
      let area = Machine.CMAArea(
        name: "a", base: base, pages: 64 * (1 + random.below(12)), orderPerBit: order)
      var bitmap = try CMABitmap(frames: 1 << 13)
      var bits = Array(repeating: false, count: area.bits)
      for step in 0..<200 {
        let start = random.below(area.bits)
        let run = start..<min(area.bits, start + 1 + random.below(90))
        let sets = random.below(2) == 0
        if sets { bitmap.set(run, area) } else { bitmap.clear(run, area) }
        for bit in run { bits[bit] = sets }
        let note: Comment = "seed \(seed), step \(step)"
        #expect(bitmap.setRuns(area).flatMap { $0 } == bits.indices.filter { bits[$0] }, note)
        #expect(bitmap.clearRuns(area).flatMap { $0 } == bits.indices.filter { !bits[$0] }, note)
        let count = 1 + random.below(100)
        let mask = 1 << random.below(8) - 1
        let offset = random.below(mask + 1)
        let from = random.below(area.bits)
        let expected = (from..<max(from, area.bits - count + 1)).first { index in
          (index + offset) & mask == 0 && !bits[index..<index + count].contains(true)
        }
        let found = bitmap.firstRun(of: count, from: from, mask: mask, offset: offset, area)
        #expect(found == expected, note)
      }
    }
  }

  @Test("P5.3: a line of the log that would be longer than a record goes on in the next")
  func longLine() throws {
    var machine = try small()
    for _ in 0..<1024 { _ = try machine.cmaAllocate(area: 0, pages: 1) }
    for pfn in stride(from: 6144, to: 7168, by: 2) {
      try machine.cmaRelease(area: 0, PFN(pfn), pages: 1)
    }
    _ = try machine.cmaAllocate(area: 0, pages: 2000)
    let lines = machine.log.lines
    #expect(lines.count > 4)
    #expect(lines.allSatisfy { $0.utf8.count <= 1023 })
    #expect(lines[1].hasPrefix("cma: number of available pages: 1@0+1@2"))
    #expect(lines.last!.hasSuffix("=> 1536 free of 2048 total pages"))
  }

  @Test("A machine keeps the last 1024 lines")
  func boundedLog() {
    var log = KernelLog()
    for number in 0..<5000 { log.append("line \(number)") }
    #expect(log.lines.count == 1024 && log.lines[0] == "line 3976" && log.total == 5000)
    log.clear()
    #expect(log.lines.isEmpty && log.total == 0)
  }
}

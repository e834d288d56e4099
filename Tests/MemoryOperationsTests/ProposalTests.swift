import MemoryOperations
import ModelTesting
import Testing

@testable import MemoryModel

/// The patches that were never merged, and the line that old kernels printed (P9.20 to P9.24, P5.16).
@Suite struct ProposalTests {
  private func process(_ change: (inout Proposals) -> Void) throws -> PinningProcess {
    var process = try PinningProcess()
    var kernel = process.machine.kernel
    change(&kernel.proposals)
    process.machine.setKernel(kernel)
    return process
  }

  private func populate(_ process: inout PinningProcess, _ advice: MemoryAdvice?) throws -> Int {
    let start = try process.machine.mapArea(process.id, pages: 4096, [.read, .write], .anonymous)
      .get()
    if let advice {
      try process.machine.advise(process.id, start..<start + 4096, advice).get()
    }
    let run = process.machine.faultRange(process.id, start..<start + 4096, .write)
    #expect(run.done == 4096)
    process.machine.drainAllLRU()
    #expect(process.sound == nil)
    return process.inCMA(start, 4096)
  }

  @Test("P9.20: no released kernel knows the advice")
  func unknown() throws {
    var process = try process { _ in }
    let start = try process.populated(4)
    for advice in [MemoryAdvice.noMovable, .pinnable, .mightPin] {
      guard
        case .failure(let refusal) = process.machine.advise(process.id, start..<start + 4, advice)
      else {
        Issue.record("\(advice) is known")
        continue
      }
      #expect(refusal.errno == .EINVAL)
    }
  }

  @Test("P9.20, P9.22: advised areas are never populated from CMA, hinted ones in their share")
  func shares() throws {
    var plain = try process { _ in }
    let most = try populate(&plain, nil)
    #expect(most > 2000)
    for advice in [MemoryAdvice.noMovable, .pinnable] {
      var process = try process { $0.hasMovableAdvice = true }
      #expect(try populate(&process, advice) == 0)
    }
    var results: [Int] = []
    for percent in [0, 50, 100] {
      var process = try process { $0.mightPinPercent = percent }
      results.append(try populate(&process, .mightPin))
    }
    #expect(results[0] > 2000)
    #expect(results[2] == 0)
    #expect((results[0] / 3...results[0]).contains(results[1]), "\(results)")
  }

  @Test("P9.24: without borrowing CMA stays empty, from the first page on, and on every list")
  func noBorrowing() throws {
    var process = try process { $0.disablesCMABorrowing = true }
    let area = process.machine.cmaAreas[0]
    #expect(try populate(&process, nil) == 0)
    for frame in area.range.start..<area.range.end {
      let block = process.machine.block(containing: PFN(frame))
      #expect(block?.state.kind == .free, "frame \(frame)")
    }
    // The device gets all of it without a single move.
    let taken = try process.machine.cmaAllocate(area: 0, pages: area.pages)
    #expect(taken.pfn?.index == area.base)
    #expect(process.machine.event(named: "pgmigrate_success") == 0)
    try process.machine.cmaRelease(area: 0, PFN(area.base), pages: area.pages)
    #expect(try populate(&process, nil) == 0)
  }

  @Test("P5.16: kernels up to 5.13 name the range whose last test failed, later ones do not")
  func busyRanges() throws {
    for logs in [false, true] {
      var process = try PinningProcess()
      let start = try process.populatedInCMA(64)
      let pfn = try process.frame(start + 7)
      _ = process.machine.takeTemporaryReference(pfn, holder: "a lookup")
      var kernel = process.machine.kernel
      kernel.logsBusyRanges = logs
      process.machine.setKernel(kernel)
      let first = pfn.index & ~3
      #expect(
        try process.machine.allocateContiguous(PFNRange(first, first + 4), .cmaAllocation)?.errno
          == .EBUSY)
      let text = process.machine.log.lines.filter { $0.contains("PFNs busy") }
      #expect(text.count == (logs ? 1 : 0))
      if logs {
        #expect(text[0].hasPrefix("alloc_contig_range: ["))
        #expect(text[0].hasSuffix("\(String(first + 4, radix: 16))) PFNs busy"))
      }
    }
  }
}

import Foundation
import MemoryModel
import Testing

@testable import Recordings

/// The pool of huge pages against the recorded kernel: every write to nr_hugepages, every huge page
/// that a mapping gets, and every free list.
@Suite struct HugePageReplayTests {
  static let shared = ReplayTests.recordings(
    in: URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../../shared/fidelity").standardized.path)

  /// Those with a pool from both places, one of each name.
  static let withPool: [String] = {
    var paths: [String: String] = [:]
    for path in shared + ReplayTests.fixtures {
      let name = ReplayTests.name(path)
      if name.contains("hugetlb") && !name.hasPrefix("F-") || name.hasPrefix("G-boot-20") {
        paths[name] = path
      }
    }
    return paths.values.sorted()
  }()

  /// The comparison ends where migration, CMA or offline begin; up to there all agrees.
  @Test(arguments: withPool) func poolAgrees(_ path: String) throws {
    var replayer = try Replayer(try Recording(path: path))
    try replayer.run()
    ReplayTests().expectAgreement(replayer.report)
    #expect(replayer.report.operations > 0)
    let total = replayer.machine.hugePool(order: 9)?.total ?? 0
    #expect(total >= 20)
    let broken = replayer.machine.check()
    #expect(broken == nil)
  }

  static let contiguous = withPool.filter { ReplayTests.name($0).hasPrefix("C-cma-19") }

  /// P5.13: `cma_alloc()` moves a huge page in use to the pool's first free one; the old page is free
  /// then, still in the way, and is replaced by a fresh one.
  @Test(.enabled(if: !contiguous.isEmpty), arguments: contiguous)
  func replacementAgrees(_ path: String) throws {
    let recording = try Recording(path: path)
    var replayer = try Replayer(recording)
    try replayer.run()
    let stopped = try #require(replayer.report.stopped)
    var events: [[Int]] = []
    var free: [Int] = []
    for index in 0..<recording.count {
      let record = try recording.record(index)
      if record.i == stopped.index {
        events = (record.ev ?? []).filter(Replayer.isPoolEvent).map { $0.arguments }
      }
      if record.op == "dump", record.tag == "cma1" {
        free = record.hstates?.first { $0.order == 9 }?.free ?? []
      }
    }
    try #require(events.count == 2 && !free.isEmpty)
    let old = PFN(events[1][0])
    // cma_alloc() begins with drain_all_pages(), which decides the half rule here.
    replayer.machine.drainAllPages()
    let target = replayer.machine.allocateHugeMigrationTarget(order: 9, inPinScope: false).pfn
    replayer.machine.moveHugePageState(from: old, to: try #require(target))
    try replayer.machine.returnHugePage(old)
    let refusal = try replayer.machine.replaceFreeHugePage(old)
    #expect(refusal == nil)
    let list = replayer.machine.freeHugePages(order: 9).map(\.index)
    #expect(list == free)
    #expect(list[0] == events[0][0])
  }
}

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

  @Test(arguments: withPool) func poolAgrees(_ path: String) throws {
    var replayer = try Replayer(try Recording(path: path))
    try replayer.run()
    try ReplayTests().expectAgreement(replayer.report)
    #expect(replayer.report.operations > 0)
    let total = replayer.machine.hugePool(order: 9)?.total ?? 0
    #expect(total >= 20)
    let broken = replayer.machine.check()
    #expect(broken == nil)
  }

}

import Foundation
import Testing

@testable import Recordings

/// What a replay knows of time and of interrupts.
@Suite struct ReplayLimitTests {
  private static let failure =
    "cma: __cma_alloc: reserved: alloc failed, req-size: 4 pages, ret: -12"
  private static let second = 1_000_000_000

  @Test("Learned rule 30: ten failures in five seconds are printed, then the number of the others")
  func failures() {
    var limits = MessageLimits()
    var printed: [String] = []
    for index in 0..<12 {
      printed += limits.filter([Self.failure, "cma: number of available pages: => 0"], at: index)
    }
    #expect(printed.filter { $0 == Self.failure }.count == 10)
    #expect(printed.count == 22)
    #expect(limits.filter([Self.failure], at: 5 * Self.second) == [])
    #expect(
      limits.filter([Self.failure], at: 6 * Self.second)
        == ["__cma_alloc: 3 callbacks suppressed", Self.failure])
  }

  @Test func otherLines() {
    var limits = MessageLimits()
    for index in 0..<20 { #expect(limits.filter(["a line"], at: index) == ["a line"]) }
  }

  /// Records of what the kernel did up to a dump.
  private func segment(_ lines: [String]) throws -> [RecordingRecord] {
    try lines.map { try JSONDecoder().decode(RecordingRecord.self, from: Data($0.utf8)) }
  }

  @Test("Learned rule 31: what nobody finds on the lists may have gone to the buddy")
  func unseen() throws {
    let frees = InterruptFrees(
      try segment([
        #"{"i":1,"op":"madvise","ev":[["f",100,1,3,"(softirq)"],["f",8,0,5]]}"#,
        #"{"i":2,"op":"touch","ev":[["a",102,1,3264,0]]}"#,
        #"{"i":3,"op":"sleep_ms","ev":[["f",200,0,1,"(softirq)"]]}"#,
        #"{"i":4,"op":"drain_pcp","ev":[["f",300,1,1,"(softirq)"]],"zv":[["d",104,1,0,-3],["d",300,1,0]]}"#,
      ]))
    // 104, 102 and 100 were drained, but 102 was allocated before.
    #expect(frees.unseen == [1: [.init(pfn: 102, order: 1)]])
    #expect(frees.neverSeen == [1: []])
    #expect(frees.beforeDrain == [4: [.init(pfn: 300, order: 1)]])
  }

  @Test func nothingFreed() throws {
    let frees = InterruptFrees(try segment([#"{"i":1,"op":"madvise","ev":[["f",100,1,3]]}"#]))
    #expect(frees.unseen.isEmpty && frees.neverSeen.isEmpty && frees.beforeDrain.isEmpty)
  }
}

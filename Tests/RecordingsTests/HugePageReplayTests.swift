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

  static let pinning = withPool.filter { path in
    ["D-gup-12", "D-gup-13", "D-gup-31"].contains { ReplayTests.name(path).hasPrefix($0) }
  }

  /// P2.36, P4.15: huge pages that a long pin may not pin move to pinnable or to fresh ones.
  ///
  /// What they fetch from the buddy and give back to it, and the
  /// free list afterwards, are as recorded.
  @Test(arguments: pinning) func migrationAgrees(_ path: String) throws {
    let recording = try Recording(path: path)
    var replayer = try Replayer(recording)
    try replayer.run()
    let stopped = try #require(replayer.report.stopped)
    replayer.report.stopped = nil
    var moved = 0
    var dumps = 0
    for index in 0..<recording.count {
      let record = try recording.record(index)
      guard let number = record.i, number >= stopped.index else { continue }
      if record.op == "dump" || record.op == "dumpfull" {
        let states = try #require(record.hstates)
        for state in states {
          let found = replayer.machine.hugePool(order: state.order)
          let pool = try #require(found)
          #expect(pool.total == state.nr_huge_pages && pool.reserved == state.resv_huge_pages)
          #expect(pool.surplus == state.surplus_huge_pages)
          let list = replayer.machine.freeHugePages(order: state.order).map(\.index)
          #expect(list == state.free, "dump \(record.tag ?? "")")
        }
        dumps += 1
      } else if record.op == "pin", record.ev?.contains(where: { $0.code == "ms" }) == true {
        moved += try migrate(record, &replayer)
      } else {
        replayer.step(record)
        #expect(replayer.report.firstDisagreement == nil, "#\(number)")
      }
    }
    #expect(moved >= 24 && dumps >= 3)
    #expect(replayer.report.stopped == nil)
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

  /// Moves each page of the pinned range that must not stay, and compares with the record's events.
  private func migrate(_ record: RecordingRecord, _ replayer: inout Replayer) throws -> Int {
    let words = (record.cmd ?? "").split(separator: " ")
    let address = try #require(Int(words[2].dropFirst(2), radix: 16))
    let end = address + (try #require(Int(words[3]))) * 4096
    var expected: [[Int]] = []
    for event in record.ev ?? [] where Replayer.isPoolEvent(event) {
      expected.append([event.code == "a" ? 1 : 0, event.arguments[0]])
    }
    var found: [[Int]] = []
    var moved = 0
    var at = address & ~(HugeMappings.pageSize - 1)
    while at < end {
      defer { at += HugeMappings.pageSize }
      guard let place = replayer.hugeMappings.place(at), let old = replayer.hugeMappings[place]
      else { continue }
      let zone = replayer.machine.frames.zone(of: old).map { replayer.machine.zone($0).index }
      guard zone == .movable || replayer.machine.frames.migrateType(old) == .cma else { continue }
      let before = replayer.machine.trace.total
      let isolated = replayer.machine.isolateHugePage(old)
      #expect(isolated)
      let target = replayer.machine.allocateHugeMigrationTarget(order: 9, inPinScope: true)
      let new = try #require(target.pfn)
      replayer.machine.moveHugePageState(from: old, to: new)
      try replayer.machine.returnHugePage(old)
      replayer.machine.putBackHugePage(new)
      replayer.hugeMappings[place] = new
      moved += 1
      for event in replayer.machine.trace.events(from: before)
      where event.kind == .pageAlloc || event.kind == .pageFree {
        found.append([event.kind == .pageAlloc ? 1 : 0, Int(event.pfn)])
      }
    }
    #expect(found == expected, "#\(record.i ?? 0)")
    return moved
  }
}

import Foundation
import MemoryModel
import Testing

@testable import Recordings

/// Every operation of a recording agrees with the recorded kernel (docs/fidelity.md).
///
/// Of the full set, which takes a debug build many minutes, `Scripts/test` lets a release build judge.
@Suite struct ReplayTests {
  static let fixtures: [String] = recordings(
    in: Bundle.module.resourceURL!.appendingPathComponent("Fixtures").path)

  /// Where a file stops to agree; docs/fidelity.md says why.
  static let differing = Result {
    try ExpectedDifferences(
      path: URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../Scripts/differing-recordings.txt").standardized.path)
  }

  static func recordings(in folder: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasSuffix(".jsonl.gz") }.sorted().map { folder + "/" + $0 }
  }

  static func name(_ path: String) -> String { String(path.split(separator: "/").last!) }

  @Test(arguments: fixtures) func fixtureAgrees(_ path: String) throws {
    var replayer = try Replayer(try Recording(path: path))
    try replayer.run()
    try expectAgreement(replayer.report)
    let broken = replayer.machine.check()
    #expect(broken == nil)
    let unsound = replayer.machine.checkMemory()
    #expect(unsound == nil)
    #expect(replayer.report.stopped == nil)
    #expect(replayer.report.operations > 0)
  }

  @Test func thereAreFixtures() { #expect(Self.fixtures.count >= 9) }

  /// All agrees, or up to where the list says that it does not.
  func expectAgreement(_ report: ReplayReport) throws {
    guard case .unexpected(let text) = try Self.differing.get().verdict(on: report) else { return }
    Issue.record("\(text)\n\(report.text)")
  }
}

/// The comparison finds what is wrong: a model with a wrong rule, or a recording with a wrong number,
/// disagrees.
@Suite struct ReplayCatchesErrorsTests {
  let path = ReplayTests.fixtures.first { ReplayTests.name($0).hasPrefix("A-alloc-08") }!

  /// A recording whose lines are edited before it is replayed.
  func report(
    of name: String? = nil, editing edit: (inout [String]) -> Void
  ) throws -> ReplayReport {
    let path = name.map { name in
      ReplayTests.fixtures.first { ReplayTests.name($0).hasPrefix(name) }!
    }
    var lines = String(decoding: try GzipFile.read(path ?? self.path), as: UTF8.self)
      .split(separator: "\n").map(String.init)
    edit(&lines)
    let edited = FileManager.default.temporaryDirectory
      .appendingPathComponent("pinlab-\(UUID().uuidString).jsonl")
    try lines.joined(separator: "\n").write(to: edited, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(at: edited) }
    var replayer = try Replayer(try Recording(path: edited.path))
    try replayer.run()
    return replayer.report
  }

  /// A pfn that is off by one is found at its operation.
  @Test func wrongPageFrame() throws {
    var changed = -1
    let report = try report { lines in
      let index = lines.indices.dropFirst(40).first { lines[$0].contains("\"ev\":[[\"a\",") }!
      let parts = lines[index].components(separatedBy: "\"ev\":[[\"a\",")
      let number = parts[1].prefix { $0.isNumber }
      lines[index] =
        parts[0] + "\"ev\":[[\"a\",\(Int(number)! + 1)" + parts[1].dropFirst(number.count)
      changed = index
    }
    #expect(report.firstDisagreement != nil)
    // Two header lines come before record 0, whose `i` is 1.
    #expect(report.firstDisagreement.map { abs($0.index - changed) <= 2 } == true)
  }

  /// A result, an event, a counter, a message and a bit of the bitmap: each is compared.
  @Test(arguments: [
    ("cma_alloc", "\"pfn\": ?[0-9]+", "\"pfn\":1"),
    ("cma_alloc", "\\[\"ti\", ?[0-9]+", "[\"ti\",1"),
    ("cma_alloc", "\"cma_alloc_success\": ?1", "\"cma_alloc_success\":2"),
    ("cma_alloc", "1866 free of", "1867 free of"),
    ("cma_release", "\\[\"cr\", ?[0-9]+", "[\"cr\",1"),
  ]) func wrongContiguousAllocation(_ op: String, _ pattern: String, _ other: String) throws {
    let report = try report(of: "C-cma-02") { lines in
      let index = lines.indices.first {
        lines[$0].contains(op) && lines[$0].range(of: pattern, options: .regularExpression) != nil
          && $0 > 2
      }!
      lines[index] = lines[index].replacingOccurrences(
        of: pattern, with: other, options: .regularExpression)
    }
    #expect(report.firstDisagreement?.command.hasPrefix(op) == true, "\(pattern)")
  }

  @Test func wrongBitmap() throws {
    let report = try report(of: "C-cma-02") { lines in
      let index = lines.indices.last { lines[$0].contains("\"set_runs\"") }!
      lines[index] = lines[index].replacingOccurrences(
        of: "\"set_runs\": ?\\[", with: "\"set_runs\":[[5,1],", options: .regularExpression
      ).replacingOccurrences(of: "[5,1],]", with: "[5,1]]")
    }
    #expect(
      report.dumps.contains { $0.differences.contains { $0.contains("bits set in CMA area") } })
  }

  @Test func wrongOffline() throws {
    let report = try report(of: "E-offline-01") { lines in
      let index =
        lines.indices.first { lines[$0].contains("\"cmd\":\"offline") }
        ?? lines.indices.first { lines[$0].contains("\"cmd\": \"offline") }!
      lines[index] = lines[index].replacingOccurrences(
        of: "\"ret\": ?0", with: "\"ret\":-16", options: .regularExpression)
    }
    #expect(report.firstDisagreement?.command.hasPrefix("offline") == true)
  }

  /// One field of a dump's per-CPU lists changed is found at that dump.
  @Test func wrongPerCPUField() throws {
    let report = try report { lines in
      let index = lines.indices.last { lines[$0].contains("\"op\":\"dump\"") }!
      lines[index] = lines[index].replacingOccurrences(
        of: "\"alloc_factor\":0", with: "\"alloc_factor\":1")
    }
    let dump = try #require(report.dumps.last)
    #expect(dump.differences.contains { $0.contains("alloc_factor") })
  }

  /// Two entries of a dumped free list swapped are found: the order counts, not the set.
  @Test func wrongListOrder() throws {
    let report = try report { lines in
      let index = lines.indices.last { lines[$0].contains("\"op\":\"dump\"") }!
      let parts = lines[index].components(separatedBy: "\"Movable\":[")
      let at = parts.indices.dropFirst().first {
        parts[$0].prefix { $0 != "]" }.contains(",")
      }!
      var list = parts[at].prefix { $0 != "]" }.split(separator: ",")
      list.swapAt(0, 1)
      var edited = parts
      edited[at] = list.joined(separator: ",") + parts[at].drop { $0 != "]" }
      lines[index] = edited.joined(separator: "\"Movable\":[")
    }
    let dump = try #require(report.dumps.last)
    #expect(dump.differences.contains { $0.contains("free list") })
  }

  /// A recording that ends between two lines is not taken for a whole one.
  @Test func missingEnd() {
    #expect(throws: RecordingError.self) {
      try self.report { lines in lines.removeLast(lines.count / 2) }
    }
  }

  /// An operation that nobody knows ends the comparison, and says so.
  @Test func unknownOperation() throws {
    let report = try report { lines in
      lines.insert("{\"i\":9999,\"op\":\"frobnicate\"}", at: lines.count - 10)
    }
    #expect(report.stopped?.reason == "frobnicate is not modelled yet")
  }

  /// Without one operation the state at the next dump differs.
  @Test func missingOperation() throws {
    let report = try report { lines in
      let index = lines.indices.last { lines[$0].contains("\"op\":\"alloc\"") }!
      lines.remove(at: index)
    }
    #expect(!report.agrees)
  }
}

/// A damaged number ends in a message or in a machine that passes its check, never in a trap or a
/// hang: one number of a recording is changed, many times over.
@Suite struct DamagedNumberTests {
  static let values = [
    -1, 0, 5, 11, 64, 4096, 1 << 31, 1 << 32 - 1, 1 << 40, 1 << 62, .min, .max,
  ]

  @Test(arguments: ["G-boot-12", "G-boot-smp2"]) func oneNumber(
    _ name: String
  ) throws {
    let path = ReplayTests.fixtures.first { $0.contains(name + ".") }!
    let lines = String(decoding: try GzipFile.read(path), as: UTF8.self)
      .split(separator: "\n").map(String.init)
    let seed = UInt64(ProcessInfo.processInfo.environment["PINLAB_SEED"] ?? "") ?? 1
    var random = SplitMix64(seed: seed)
    let file = FileManager.default.temporaryDirectory
      .appendingPathComponent("pinlab-\(UUID().uuidString).jsonl")
    defer { try? FileManager.default.removeItem(at: file) }
    for _ in 0..<60 {
      var edited = lines
      let line = 2 + random.below(lines.count - 2)
      let numbers = lines[line].matches(of: #/[\[:,](-?\d+)[,\]}]/#).map { $0.output.1 }
      guard !numbers.isEmpty else { continue }
      let number = numbers[random.below(numbers.count)]
      let value = Self.values[random.below(Self.values.count)]
      edited[line].replaceSubrange(number.startIndex..<number.endIndex, with: "\(value)")
      try (edited.joined(separator: "\n") + "\n").write(
        to: file, atomically: false, encoding: .utf8)
      guard var machine = try? ReplayFile.initialMachine(file.path) else { continue }
      _ = machine.check()
      for order in 0..<4 { _ = machine.allocatePages(order: order, gfp: .highUserMovable) }
      machine.drainAllPages()
      _ = try? ReplayFile.run(file.path)
    }
  }
}

/// The same for the numbers of a pool of huge pages.
@Suite struct DamagedPoolTests {
  @Test func oneNumber() throws {
    let path = ReplayTests.fixtures.first { $0.contains("D-gup-31-") }!
    let lines = String(decoding: try GzipFile.read(path), as: UTF8.self)
      .split(separator: "\n").map(String.init)
    let dump = lines.firstIndex { $0.contains("\"pages\":{") }!
    let pools = lines[dump].firstRange(of: #/"hstates":\[.*?\}\]/#)!
    let numbers = lines[dump][pools].matches(of: #/[\[:,](-?\d+)/#).map { $0.output.1 }
    #expect(numbers.count > 60)
    var refused = 0
    for (index, number) in numbers.enumerated() {
      var edited = lines[...dump].map { $0 }
      let value = DamagedNumberTests.values[index % DamagedNumberTests.values.count]
      edited[dump].replaceSubrange(number.startIndex..<number.endIndex, with: "\(value)")
      do throws(RecordingError) {
        let recording = try Recording(
          path: path, lines: edited.map { Data($0.utf8) })
        let broken = try Replayer.initialMachine(recording).check()
        #expect(broken == nil, "number \(index) = \(value)")
      } catch {
        refused += 1
      }
    }
    #expect(refused > 40)
  }
}

/// Files that are no recordings get an error that names the file, the line and the fix.
@Suite struct RecordingErrorTests {
  func message(_ bytes: [UInt8], _ name: String = "bad.jsonl") throws -> String {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("pinlab-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent(name)
    try Data(bytes).write(to: file)
    do {
      var replayer = try Replayer(try Recording(path: file.path))
      try replayer.run()
      return "no error"
    } catch {
      return error.message.replacingOccurrences(of: folder.path + "/", with: "")
    }
  }

  let good = try! GzipFile.read(
    ReplayTests.fixtures.first { ReplayTests.name($0).hasPrefix("G-boot-12") }!)

  @Test func missingFile() {
    #expect(throws: RecordingError.self) { try Recording(path: "/nowhere/x.jsonl") }
  }

  @Test func folder() { #expect(throws: RecordingError.self) { try Recording(path: "/tmp") } }

  @Test func empty() throws { #expect(try message([]) == "bad.jsonl is empty") }

  @Test func foreignText() throws {
    let text = try message(Array("#!/bin/sh\necho hello\n".utf8))
    #expect(text == "bad.jsonl:1: not a recording: the first line is not a JSON object")
  }

  @Test func foreignJSON() throws {
    let text = try message(Array("{\"a\":1}\n".utf8))
    #expect(text.hasPrefix("bad.jsonl:1: \"op\" is missing"))
  }

  @Test func cutOff() throws {
    let text = try message(Array(good.dropLast(100)))
    #expect(text.contains("the line is cut off; the file is incomplete"))
  }

  @Test func cutOffGzip() throws {
    let path = ReplayTests.fixtures.first!
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)).dropLast(500))
    let text = try message(bytes, "bad.jsonl.gz")
    #expect(text.contains("damaged or cut off"), "\(text)")
  }

  @Test func damagedGzip() throws {
    let path = ReplayTests.fixtures.first!
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    for index in bytes.count / 2..<bytes.count / 2 + 64 { bytes[index] ^= 0x5A }
    let text = try message(bytes, "bad.jsonl.gz")
    #expect(text.contains("bad.jsonl.gz"), "\(text)")
  }

  /// A dump that puts one frame on two lists is refused, not trapped on.
  @Test func impossibleState() throws {
    let text = String(decoding: good, as: UTF8.self)
      .replacingOccurrences(
        of: "\"Movable\":[1024,2048,3072]", with: "\"Movable\":[1024,1024,3072]")
    let message = try message(Array(text.utf8))
    #expect(message.contains("0x400 is on two free lists"), "\(message)")
  }
}

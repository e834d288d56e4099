import Foundation
import TerminalTesting
import Testing

/// The recordings of the tests of Recordings.
enum Recordings {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../RecordingsTests/Fixtures").standardized.path
  static let good = folder + "/G-boot-10.jsonl.gz"
  static let another = folder + "/B-pcp-03.jsonl.gz"
}

/// `pinlab replay` on good, damaged, foreign and disagreeing files.
@Suite struct ReplayCommandTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func unpacked() throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "gzip -dc '\(Recordings.good)' > '\(folder.path)/good.jsonl'"]
    try process.run()
    process.waitUntilExit()
    return try String(contentsOfFile: folder.path + "/good.jsonl", encoding: .utf8)
  }

  @Test func agrees() throws {
    let ended = try pinlab("replay", Recordings.good)
    #expect(ended.status == 0 && ended.errors == "")
    #expect(ended.output.contains("operations agree"))
    let both = try pinlab("replay", Recordings.good, Recordings.another)
    #expect(both.status == 0)
    #expect(both.output.hasSuffix("2 recordings: 2 agree to the end, 0 disagree\n"))
  }

  @Test func printsJSON() throws {
    let ended = try pinlab("replay", "--json", Recordings.good, Recordings.another)
    #expect(ended.status == 0)
    let lines = ended.output.split(separator: "\n")
    #expect(lines.count == 2)
    for line in lines {
      let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
      #expect(object?["agrees"] as? Bool == true)
    }
  }

  @Test func saysWhatIsWrongWithFiles() throws {
    let text = try unpacked()
    folder.write(String(text.prefix(3000)), to: "cut.jsonl")
    folder.write("print(1)\n", to: "script.lua")
    folder.write("{\"some\":\"json\"}\n", to: "foreign.jsonl")
    folder.write("", to: "empty.jsonl")
    try Data(contentsOf: URL(fileURLWithPath: Recordings.good)).prefix(3000)
      .write(to: URL(fileURLWithPath: folder.path + "/cut.jsonl.gz"))
    for (name, words) in [
      ("cut.jsonl", "cut off"), ("cut.jsonl.gz", "cut off"), ("script.lua", "not a recording"),
      ("foreign.jsonl", "not a pinlab recording"), ("empty.jsonl", "empty"),
      ("missing", "No such file"),
    ] {
      let ended = try pinlab("replay", name, folder: folder)
      #expect(ended.status == 1 && ended.output == "", "\(name)")
      #expect(ended.errors.hasPrefix("pinlab replay: \(name)"), "\(ended.errors)")
      #expect(ended.errors.contains(words), "\(ended.errors)")
      #expect(ended.errors.split(separator: "\n").count == 1)
    }
  }

  @Test func oneBadFileDoesNotHideTheOthers() throws {
    let ended = try pinlab("replay", "missing", Recordings.good, folder: folder)
    #expect(ended.status == 1)
    #expect(ended.errors.contains("missing: No such file"))
    #expect(ended.output.hasSuffix("2 recordings: 1 agree to the end, 0 disagree, 1 unreadable\n"))
  }

  @Test func foldersGoByName() throws {
    let text = try unpacked()
    for name in ["good.jsonl", "other.txt"] { folder.write(text, to: name) }
    // As the recordings that hold only timings: neither dump nor events.
    let timings = text.split(separator: "\n").prefix(2) + ["{\"i\":1,\"op\":\"note\"}\n"]
    folder.write(timings.joined(separator: "\n"), to: "a-header.jsonl")
    folder.write("{\"kernel\":\"6.18\"}\n", to: "foreign.jsonl")
    let ended = try pinlab("replay", ".", folder: folder)
    #expect(ended.status == 0 && ended.errors == "", "\(ended.errors)")
    #expect(ended.output.contains("skipped: ./foreign.jsonl:1: \"op\" is missing"))
    let lines = ended.output.split(separator: "\n")
    #expect(lines[0].hasPrefix("skipped: ./a-header.jsonl"), "\(ended.output)")
    #expect(lines.last == "3 recordings: 1 agree to the end, 0 disagree, 2 skipped")
    let json = try pinlab("replay", "--json", folder.path)
    #expect(json.status == 0 && json.output.contains("\"skipped\":"))
  }

  @Test func aFolderWithoutRecordings() throws {
    let ended = try pinlab("replay", ".", folder: folder)
    #expect(ended.status == 1 && ended.output == "")
    #expect(ended.errors.contains("without recordings"), "\(ended.errors)")
  }

  /// A recording whose last dump has a watermark that no kernel would have computed.
  private func wrong() throws -> String {
    var lines = try unpacked().split(separator: "\n").map(String.init)
    let last = try #require(lines.last)
    #expect(last.contains("\"wmark\":{\"min\":51,"))
    lines[lines.count - 1] = last.replacing(
      "\"wmark\":{\"min\":51,", with: "\"wmark\":{\"min\":12345,")
    return lines.joined(separator: "\n") + "\n"
  }

  @Test func aListSaysWhatDiffers() throws {
    folder.write(try wrong(), to: "wrong.jsonl")
    folder.write(try unpacked(), to: "good.jsonl")
    func replay(_ list: String, _ files: String...) throws -> Ended {
      folder.write(list, to: "list.txt")
      let ended = try shell(
        "\"$PINLAB\" replay --expect list.txt " + files.joined(separator: " "), folder: folder)
      return ended
    }
    let unlisted = try replay("# nothing\n\n", "wrong.jsonl")
    #expect(unlisted.status == 1)
    let place = try #require(unlisted.output.firstMatch(of: /NOT as expected: .* up to #(\d+),/)).1
    let good = try replay("wrong #\(place) a mark\n", "wrong.jsonl", "good.jsonl")
    #expect(good.status == 0, "\(good.output)")
    #expect(good.output.contains("  as expected: a mark\n"))
    #expect(
      good.output.hasSuffix(
        "2 recordings: 1 agree to the end, 1 differ as expected, 0 disagree\n"))
    let json = try replay("wrong #\(place) a mark\n", "--json wrong.jsonl")
    #expect(json.status == 0 && json.output.contains("\"as_expected\":true"))
    // What has learned to agree, and what differs earlier or later.
    let stale = try replay("good #7 once\n", "good.jsonl")
    #expect(stale.status == 1 && stale.output.contains("take it off the list"), "\(stale.output)")
    let elsewhere = try replay("wrong #1 a mark\n", "wrong.jsonl")
    #expect(elsewhere.status == 1)
    #expect(elsewhere.output.contains("it agrees up to #\(place), and the list says #1: a mark"))
    for bad in ["wrong\n", "wrong 7 a mark\n", "wrong #7\n", "wrong #1 a\nwrong #2 b\n"] {
      let ended = try replay(bad, "wrong.jsonl")
      #expect(ended.status == 1 && ended.output == "")
      #expect(ended.errors.hasPrefix("pinlab replay: list.txt:"), "\(ended.errors)")
    }
    let missing = try pinlab("replay", "--expect", "none.txt", "wrong.jsonl", folder: folder)
    #expect(missing.status == 1 && missing.errors.contains("none.txt: No such file"))
  }

  @Test func showsTheFirstDisagreement() throws {
    folder.write(try wrong(), to: "wrong.jsonl")
    let ended = try pinlab("replay", "wrong.jsonl", folder: folder)
    #expect(ended.status == 1)
    #expect(ended.output.contains("12345"), "\(ended.output)")
    let json = try pinlab("replay", "--json", "wrong.jsonl", folder: folder)
    #expect(json.status == 1 && json.output.contains("\"agrees\":false"))
  }
}

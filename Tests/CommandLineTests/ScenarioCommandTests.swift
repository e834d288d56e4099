import Foundation
import TerminalTesting
import Testing

/// `pinlab scenarios`, its list, run and check; `Scripts/test` runs all of them with a release build.
@Suite struct ScenarioCommandTests {
  @Test func listsWithQuestions() throws {
    let ended = try pinlab("scenarios")
    #expect(ended.status == 0)
    #expect(ended.output.contains("S1.20  one page that cannot move"))
    #expect(ended.output.contains("P3.42, P3.50, P4.6."))
  }

  @Test func runsByNumberOrWords() throws {
    let number = try pinlab("scenarios", "run", "s1.20")
    #expect(number.status == 0 && number.output.contains("  ok  the error: ENOMEM"))
    let words = try pinlab("scenarios", "run", "cannot move")
    #expect(words.output == number.output)
  }

  @Test func tellsWhatAnotherKernelDoes() throws {
    let ended = try pinlab("scenarios", "run", "S1.22", "--kernel", "6.9")
    #expect(ended.status == 0)
    let unknown = try pinlab("scenarios", "run", "S1.22", "--kernel", "7.0")
    #expect(unknown.status == 2 && unknown.errors.contains("known are 4.2"))
  }

  @Test func refusesUnknownNames() throws {
    let ended = try pinlab("scenarios", "run", "S9.9")
    #expect(ended.status == 1 && ended.errors.contains("there is no scenario 'S9.9'"))
    let several = try pinlab("scenarios", "run", "page")
    #expect(several.status == 1 && several.errors.contains("may be S"))
    let path = try pinlab("scenarios", "list", "--path", "/no/such/folder")
    #expect(path.status == 1 && path.errors.contains("no such folder"))
  }

  @Test func checkFindsWhatDoesNotHold() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: "\(folder.path)/own", withIntermediateDirectories: false)
    folder.write("-- X1 · right\nexpect('a sum', 1 + 1, 2)\n", to: "own/right.lua")
    let right = try pinlab("scenarios", "check", "--path", folder.path)
    #expect(right.status == 0 && right.output.hasSuffix("1 of 1 scenarios hold\n"))
    folder.write("-- X2 · wrong\nexpect('a sum', 1 + 1, 3)\n", to: "own/wrong.lua")
    folder.write("-- X3 · empty\n", to: "own/empty.lua")
    let wrong = try pinlab("scenarios", "check", "--path", folder.path)
    #expect(wrong.status == 1)
    #expect(
      wrong.output.contains("FAILED  X2     wrong\n") && wrong.output.contains("it checks nothing"))
    #expect(wrong.output.hasSuffix("1 of 3 scenarios hold\n"))
  }
}

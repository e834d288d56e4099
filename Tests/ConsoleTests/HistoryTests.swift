// What is recalled, and the file that it is kept in.

import Glibc
import Testing
import TerminalTesting

@testable import Console

@Suite struct HistoryTests {
  @Test func lastsFromSessionToSession() throws {
    let fixture = try Fixture()
    let first = try fixture.start()
    try first.wait(for: "> ")
    first.enter("f {")
    try first.wait(for: ">> ")
    first.enter("\\n }")
    try first.wait(for: "= f {|\\n }\n> ")
    first.send(endOfInput)
    #expect(try first.waitForExit() == .status(0))

    let second = try fixture.start()
    try second.wait(for: "> ")
    second.send(up)
    try second.waitForScreen("both lines") { $0.ends(with: "> f {", "\\n }") }
    #expect(fixture.home.mode("state/fixture") == 0o700)
    #expect(fixture.home.mode("state/fixture/history") == 0o600)
  }

  @Test func failureIsOneWarning() throws {
    let fixture = try Fixture()
    // A file where a folder should be stops even root.
    fixture.home.write("", to: "file")
    let state = "\(fixture.home.path)/file/state"
    let terminal = try fixture.start([], ["XDG_STATE_HOME": state], columns: 200)
    try terminal.wait(for: "fixture: history is not kept: \(state): Not a directory\n")
    try terminal.wait(for: "> ")
    terminal.enter("echo a")
    try terminal.wait(for: "\na\n> ")
    terminal.send(up)
    try terminal.waitForScreen("the entry") { $0.ends(with: "a", "> echo a") }
    terminal.enter("")
    try terminal.wait(for: "\na\n> ")
    #expect(terminal.text.split(separator: "history is not kept").count == 2)
  }

  @Test func sessionsAddToEachOther() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/a/b/history"
    var one = History(path: path)
    var two = History(path: path)
    #expect(one.load() == nil && two.load() == nil)
    for number in 0..<3 {
      #expect(one.add("one \(number)") == nil)
      #expect(two.add("two \(number)") == nil)
    }
    var three = History(path: path)
    #expect(three.load() == nil)
    #expect(three.entries == ["one 0", "two 0", "one 1", "two 1", "one 2", "two 2"])
  }

  @Test func skipsRepetitionsAndBlanks() throws {
    let folder = try TemporaryFolder()
    var history = History(path: "\(folder.path)/history")
    #expect(history.load() == nil)
    for entry in ["a", "a", "b", " \n", "", "a"] { #expect(history.add(entry) == nil) }
    #expect(history.entries == ["a", "b", "a"])
    #expect(folder.read("history") == "a\nb\na\n")
  }

  @Test func keepsTheNewest() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/history"
    var history = History(path: path, limit: 10)
    #expect(history.load() == nil)
    for number in 0..<25 { #expect(history.add("\(number)") == nil) }
    #expect(history.entries == (15..<25).map(String.init))

    // The file is cut when it is next opened, and a session that has the old one goes on.
    var later = History(path: path, limit: 10)
    #expect(later.load() == nil)
    #expect(later.entries == (15..<25).map(String.init))
    #expect(history.add("more") == nil)
    #expect(folder.read("history") == (15..<25).map { "\($0)\n" }.joined() + "more\n")
  }

  @Test(arguments: ["", "a\nb", "a\\nb", "\\", "\\\\\n", "\r\n", "tab\tgrün\n\n", "\\r"])
  func everyEntryComesBack(_ entry: String) {
    let line = History.encode(entry)
    #expect(!line.utf8.contains(UInt8(ascii: "\n")))
    #expect(History.decode(line).utf8.elementsEqual(entry.utf8))
  }

  @Test func survivesDamage() throws {
    let folder = try TemporaryFolder()
    // An escape that is none of ours, and a last line whose writer was killed.
    folder.write("a\\x\n\n\nhalf", to: "history")
    var history = History(path: "\(folder.path)/history")
    #expect(history.load() == nil)
    #expect(history.entries == ["a\\x", "half"])
    #expect(history.add("next") == nil)
    #expect(folder.read("history") == "a\\x\n\n\nhalf\nnext\n")
  }

  @Test func followsBaseDirectories() {
    func path(_ variables: [String: String]) -> String? {
      History.defaultPath(application: "app") { variables[$0] }
    }
    #expect(path(["XDG_STATE_HOME": "/s", "HOME": "/h"]) == "/s/app/history")
    #expect(path(["XDG_STATE_HOME": "", "HOME": "/h"]) == "/h/.local/state/app/history")
    #expect(path(["XDG_STATE_HOME": "s", "HOME": "/h"]) == "/h/.local/state/app/history")
    #expect(path([:]) == nil)
  }
}

// Tab, with the candidates of the fixture.

import Testing
import TerminalTesting

@Suite struct CompletionTests {
  @Test func completesTheOnlyCandidate() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send("vm.pop\t")
    try terminal.wait(for: "vm.populate(")
    // No blank after an open parenthesis, one after a word.
    terminal.send("zü\t")
    try terminal.waitForScreen("no such word") { $0.ends(with: "> vm.populate(zü") }
    terminal.send(" zü\t!\r")
    try terminal.wait(for: "= vm.populate(zü zürich !\n")
  }

  @Test func completesWhatCandidatesShareThenListsThem() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send("x.pa\t")
    try terminal.wait(for: "x.page")
    terminal.send("\t\t")
    // Listed without what comes before them on the line.
    try terminal.waitForScreen("a list") {
      $0.ends(with: "> x.page", "pageblock  pagecount", "> x.page")
    }
  }

  @Test func completesInTheMiddle() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send("pop)\u{1B}[D\t")
    try terminal.waitForScreen("the middle") { $0.ends(with: "> populate()") }
  }

  @Test func showsAHundredOfManyCandidates() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send("many\t\t")
    // 101 lines do not fit: readline's pager waits for a key at each page.
    try terminal.wait(for: "many100")
    while !terminal.text.contains("… 200 more\n") {
      terminal.send(" ")
      try terminal.waitForMore()
    }
    try terminal.wait(for: "> many")
  }

  @Test func seesEarlierLinesOfStatement() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.enter("f {")
    try terminal.wait(for: ">> ")
    terminal.send("  con\t}\r")
    try terminal.wait(for: "= f {|  context }\n> ")
  }

  @Test func survivesSenselessAnswers() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    for word in ["bad", "cut"] {
      terminal.enter("\(word)\t\t")
      try terminal.wait(for: "= \(word)\n> ")
    }
  }

  @Test func completesFileNames() throws {
    let fixture = try Fixture()
    fixture.home.write("", to: "größe one.lua")
    let terminal = try fixture.start()
    try terminal.wait(for: "> ")
    // The name is closed with the quote that opened it; a folder is not complete yet.
    terminal.send("load \"\(fixture.home.path)/gr\t!\r")
    try terminal.wait(for: "= load \"\(fixture.home.path)/größe one.lua\"!\n> ")
    terminal.send("load \"\(fixture.home.path)/sta\t!\r")
    try terminal.wait(for: "= load \"\(fixture.home.path)/state/!\n> ")
  }

  @Test func listsFileNamesWithoutFolder() throws {
    let fixture = try Fixture()
    fixture.home.write("", to: "one-a")
    fixture.home.write("", to: "one-b")
    let terminal = try fixture.start(columns: 200)
    try terminal.wait(for: "> ")
    terminal.send("\"\(fixture.home.path)/one\t\t\t")
    try terminal.waitForScreen("a list") { $0.lines.dropLast().last == "one-a  one-b" }
  }
}

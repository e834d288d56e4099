// The prompt as a person meets it: a program in a terminal, keys and a screen.

import Console
import Testing
import TerminalTesting

@Suite struct ConversationTests {
  @Test func showsBannerPromptAndResult() throws {
    let terminal = try Fixture().start()
    try terminal.waitForScreen("the prompt") { $0.ends(with: "fixture 1.0", ">") }
    terminal.enter("echo hello")
    try terminal.waitForScreen("a result") { $0.ends(with: "> echo hello", "hello", ">") }
    terminal.enter("echo")
    try terminal.waitForScreen("no result") { $0.ends(with: "hello", "> echo", ">") }
    terminal.enter("fail")
    try terminal.waitForScreen("the error") { $0.ends(with: "> fail", "error: as asked", ">") }
  }

  @Test func recallsStatementOfManyLinesWithOneUp() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.enter("first")
    try terminal.wait(for: "= first\n> ")
    terminal.enter("f {")
    try terminal.wait(for: ">> ")
    terminal.enter("  a")
    try terminal.wait(for: ">> ")
    terminal.enter("}")
    try terminal.wait(for: "= f {|  a|}\n> ")
    terminal.send(up)
    try terminal.waitForScreen("the whole") { $0.ends(with: "= f {|  a|}", "> f {", "  a", "}") }
    // Edited at its end, and run as one.
    terminal.enter(" b")
    try terminal.wait(for: "= f {|  a|} b\n> ")
    // One entry below it there is what came before, not one of its lines.
    terminal.send(up + up + up)
    try terminal.waitForScreen("the first") { $0.ends(with: "= f {|  a|} b", "> first") }
  }

  @Test func recalledStatementMayGrow() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.enter("{}")
    try terminal.wait(for: "= {}\n> ")
    terminal.send(up)
    try terminal.wait(for: "{}")
    terminal.enter("{")
    try terminal.wait(for: ">> ")
    terminal.enter("}")
    try terminal.wait(for: "= {}{|}\n> ")
    terminal.send(up)
    try terminal.waitForScreen("both lines") { $0.ends(with: "> {}{", "}") }
  }

  @Test func leavesWithEndOfInput() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send(endOfInput)
    #expect(try terminal.waitForExit() == .status(0))
    // The shell's prompt must begin on a line of its own, and right there.
    #expect(terminal.screen.cursor == (row: 2, column: 0))
  }

  @Test func endOfInputCancelsUnfinishedStatementFirst() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.enter("f {")
    try terminal.wait(for: ">> ")
    terminal.send(endOfInput)
    try terminal.waitForScreen("the prompt") { $0.ends(with: "> f {", ">>", ">") }
    terminal.enter("quit")
    #expect(try terminal.waitForExit() == .status(0))
  }

  @Test func dumbTerminalLosesNoLine() throws {
    let terminal = try Fixture().start([], ["TERM": "dumb"])
    try terminal.wait(for: "> ")
    terminal.enter("a")
    try terminal.wait(for: "= a\n> ")
    terminal.send(endOfInput)
    #expect(try terminal.waitForExit() == .status(0))
    #expect(terminal.screen.cursor == (row: 4, column: 0))
  }

  @Test func endsWhenTerminalGoesAway() throws {
    // Not a crash, and not a loop: the kernel sends SIGHUP, for which readline cleans up.
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.hangUp()
    let exit = try terminal.waitForExit()
    #expect(exit == .signal(1) || exit == .status(0))
  }
}

@Suite struct ControlCTests {
  @Test func discardsLine() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send(controlC)
    try terminal.waitForScreen("a prompt") { $0.ends(with: "> ^C", ">") }
    terminal.send("half")
    try terminal.wait(for: "half")
    terminal.send(controlC)
    try terminal.waitForScreen("a fresh prompt") { $0.ends(with: "> half^C", ">") }
    terminal.enter("whole")
    try terminal.wait(for: "= whole\n> ")
  }

  @Test func discardsPendingLines() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.enter("f {")
    try terminal.wait(for: ">> ")
    terminal.send("x")
    // Ctrl-C makes the kernel drop keys that no one has read.
    try terminal.wait(for: "x")
    terminal.send(controlC)
    try terminal.waitForScreen("a fresh prompt") { $0.ends(with: "> f {", ">> x^C", ">") }
    terminal.enter("next")
    try terminal.wait(for: "= next\n> ")
    terminal.send(up + up)
    // Nothing of the statement was kept.
    try terminal.waitForScreen("the entry") { $0.ends(with: "= next", "> next") }
  }

  @Test func goesBelowRecalledStatement() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.paste("{\na\n}")
    terminal.enter("")
    try terminal.wait(for: "= {|a|}\n> ")
    terminal.send(up)
    try terminal.waitForScreen("the entry") { $0.ends(with: "> {", "a", "}") }
    // From the beginning of the first line.
    terminal.send("\u{01}" + controlC)
    try terminal.waitForScreen("a fresh prompt") { $0.ends(with: "> {", "a", "}^C", ">") }
  }

  @Test func stopsWhatRuns() throws {
    let terminal = try Fixture().start()
    for _ in 0..<3 {
      try terminal.wait(for: "> ")
      terminal.enter("spin")
      try terminal.wait(for: "spinning\n")
      terminal.send(controlC)
      try terminal.wait(for: "interrupted!\n")
    }
    try terminal.wait(for: "> ")
    terminal.enter("echo alive")
    try terminal.wait(for: "\nalive\n> ")
  }

  @Test func callsHookWhileSomethingRuns() throws {
    let terminal = try Fixture().start(["hook"])
    try terminal.wait(for: "> ")
    terminal.send(controlC)
    try terminal.wait(for: "> ")
    #expect(!terminal.text.contains("hook called"))
    terminal.enter("spin")
    try terminal.wait(for: "spinning\n")
    terminal.send(controlC)
    try terminal.wait(for: "hook called\n")
    try terminal.wait(for: "interrupted!\n> ")
  }

  @Test func stopsLongOutput() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.enter("lines 2000000")
    try terminal.wait(for: "line 20 of")
    terminal.send(controlC)
    try terminal.wait(for: "\n> ")
    #expect(!terminal.text.contains("line 1999999"))
    terminal.enter("echo alive")
    try terminal.wait(for: "\nalive\n> ")
  }

  @Test func stopsCompletion() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send("slow\t")
    try terminal.wait(for: "searching")
    terminal.send(controlC)
    terminal.enter("er")
    try terminal.wait(for: "= slower\n> ")
  }
}

@Suite struct ShellTests {
  /// A shell with job control, in which the fixture is started by hand.
  func startShell(_ fixture: Fixture) throws -> PseudoTerminal {
    let shell = try PseudoTerminal(
      "/bin/bash", ["--norc", "--noprofile", "-i"],
      environment: [
        "HOME": fixture.home.path, "PS1": "shell$ ", "F": builtProgram("console-fixture"),
      ])
    shell.kept.append(fixture.home)
    try shell.wait(for: "shell$ ")
    return shell
  }

  @Test func comesBackFromControlZ() throws {
    let shell = try startShell(Fixture())
    shell.enter("$F")
    try shell.wait(for: "1.0\n> ")
    shell.send("half")
    try shell.wait(for: "half")
    shell.send("\u{1A}")
    try shell.wait(for: "Stopped")
    try shell.wait(for: "shell$ ")
    // The line is there again, and the terminal obeys the editor: Backspace is not shown as ^?.
    shell.enter("fg")
    try shell.waitForScreen("the line") { $0.ends(with: "> half") }
    shell.send("\u{7F}\u{7F}")
    try shell.waitForScreen("half of it") { $0.ends(with: "> ha") }
    shell.enter("")
    try shell.wait(for: "= ha\n> ")
  }

  @Test func isSilentInPipe() throws {
    let shell = try startShell(Fixture())
    shell.enter("printf 'a\\nf {\\n}\\nfail\\nb' | $F | cat; echo status $?")
    try shell.wait(for: "cat; echo status $?\n")
    let shown = try shell.wait(for: "status 0\n")
    // The error comes on another way and may come first.
    let output = shown.split(separator: "\n").filter { !$0.hasPrefix("error") }
    #expect(output == ["= a", "= f {|}", "= b", "status 0"])
    #expect(shown.contains("error: as asked\n"))
  }

  @Test func saysThatPipeEndedEarly() throws {
    let shell = try startShell(Fixture())
    shell.enter("printf 'f {' | $F")
    try shell.wait(for: "unfinished statement at the end of the input\n")
  }

  @Test func promptsThePersonWhenOutputIsFile() throws {
    let fixture = try Fixture()
    let shell = try startShell(fixture)
    shell.enter("$F > ~/out")
    try shell.wait(for: "> ~/out\n> ")
    shell.enter("echo a")
    try shell.wait(for: "echo a\n> ")
    shell.send(endOfInput)
    try shell.wait(for: "shell$ ")
    #expect(fixture.home.read("out") == "fixture 1.0\na\n")
  }

  @Test func runsTwiceInOneProcess() throws {
    let shell = try startShell(Fixture())
    shell.enter("$F twice")
    try shell.wait(for: "1.0\n> ")
    shell.enter("a")
    try shell.wait(for: "= a\n> ")
    shell.send(endOfInput)
    try shell.wait(for: "again\n> ")
    shell.send(up + up)
    try shell.waitForScreen("the entry") { $0.ends(with: "again", "> a") }
    shell.send(controlC)
    try shell.wait(for: "> ")
    shell.send(endOfInput)
    // The shell's own editing works, so the terminal is as it was.
    try shell.wait(for: "shell$ ")
  }
}

@Suite struct PasteTests {
  @Test func runsPastedLinesAsIfTyped() throws {
    let fixture = try Fixture()
    let terminal = try fixture.start()
    try terminal.wait(for: "> ")
    terminal.paste((1...10).map { "line\($0)" }.joined(separator: "\n"))
    try terminal.wait(for: "line10")
    terminal.enter("")
    for number in 1...10 { try terminal.wait(for: "= line\(number)\n") }
    try terminal.wait(for: "> ")
    // It was entered at once, so it comes back at once.
    terminal.send(up)
    try terminal.waitForScreen("all ten") { screen in
      screen.lines.suffix(10) == ["> line1"] + (2...10).map { "line\($0)" }
    }
  }

  @Test func keepsDeclarationsTogether() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.paste("local a\nb")
    terminal.enter("")
    try terminal.wait(for: "= local a|b\n> ")
  }

  @Test func goesOnAfterPastedBeginning() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.paste("one\nf {")
    terminal.enter("")
    try terminal.wait(for: "= one\n>> ")
    terminal.enter("}")
    try terminal.wait(for: "= f {|}\n> ")
  }

  @Test func stopsAtFailure() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.paste("one\nfail\ntwo\nthree")
    terminal.enter("")
    try terminal.wait(for: "= one\nerror: as asked\n2 lines after it not run\n> ")
  }

  @Test func takesLinesTypedAhead() throws {
    // As from a terminal that does not mark what is pasted.
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send("echo a\recho b\recho c\r")
    for letter in ["a", "b", "c"] { try terminal.wait(for: "\n\(letter)\n") }
  }
}

@Suite struct WindowTests {
  @Test func followsResize() throws {
    let terminal = try Fixture().start(columns: 90)
    try terminal.wait(for: "> ")
    terminal.enter("width")
    try terminal.wait(for: "width is 90\n> ")
    terminal.resize(columns: 40, rows: 10)
    terminal.enter("width")
    try terminal.wait(for: "width is 40\n> ")
    // The editor breaks a line of 50 characters at the new edge: 38 behind the prompt, then 12.
    terminal.send("\u{0C}" + String(repeating: "x", count: 50))
    try terminal.waitForScreen("two rows") {
      $0.ends(
        with: "> " + String(repeating: "x", count: 38), String(repeating: "x", count: 12))
    }
  }

  @Test func followsResizeWhileEvaluating() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.enter("spin")
    try terminal.wait(for: "spinning\n")
    terminal.resize(columns: 40, rows: 10)
    terminal.send(controlC)
    try terminal.wait(for: "interrupted!\n> ")
    terminal.send("\u{0C}" + String(repeating: "x", count: 50))
    try terminal.waitForScreen("two rows") {
      $0.ends(
        with: "> " + String(repeating: "x", count: 38), String(repeating: "x", count: 12))
    }
    // Only an editor that knows the edge finds the way back up from the second row.
    terminal.send("\u{01}y")
    try terminal.waitForScreen("y in front") {
      $0.ends(
        with: "> y" + String(repeating: "x", count: 37), String(repeating: "x", count: 13))
    }
  }

  @Test func showsLongOutputWhole() throws {
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.enter("lines 20000")
    try terminal.wait(for: "line 19999 of 20000\n> ")
    let shown = terminal.text.split(separator: "\n").filter { $0.hasPrefix("line ") }
    #expect(shown == (0..<20000).map { "line \($0) of 20000"[...] })
  }

  @Test func editsCharactersNotBytes() throws {
    // Without any locale in the environment, as in a container.
    let terminal = try Fixture().start()
    try terminal.wait(for: "> ")
    terminal.send("größe\u{7F}\u{7F}\u{7F}")
    try terminal.waitForScreen("two letters") { $0.ends(with: "> gr") }
    terminal.enter("ün")
    try terminal.wait(for: "= grün\n> ")
  }
}

@Suite struct ColorTests {
  @Test func coloursOnlyWhenAllowed() throws {
    let escape = Array("\u{1B}[1;32m> ".utf8)
    for (arguments, variables, isColored) in [
      ([], [:], true),
      ([], ["NO_COLOR": "1"], false),
      ([], ["NO_COLOR": ""], true),
      (["never"], ["CLICOLOR_FORCE": "1"], false),
      (["always"], ["NO_COLOR": "1"], true),
    ] as [([String], [String: String], Bool)] {
      let terminal = try Fixture().start(arguments, variables)
      try terminal.wait(for: "> ")
      let isFound = terminal.bytes.indices.contains { terminal.bytes[$0...].starts(with: escape) }
      #expect(isFound == isColored, "\(arguments) \(variables)")
    }
  }

  @Test func strongestWins() {
    let none: (String) -> String? = { _ in nil }
    #expect(ColorChoice.auto.allowsColor(isTerminal: true, environment: none))
    #expect(!ColorChoice.auto.allowsColor(isTerminal: false, environment: none))
    #expect(ColorChoice.always.allowsColor(isTerminal: false) { $0 == "NO_COLOR" ? "1" : nil })
    #expect(!ColorChoice.never.allowsColor(isTerminal: true, environment: none))
    #expect(!ColorChoice.auto.allowsColor(isTerminal: true) { $0 == "TERM" ? "dumb" : nil })
    let forced = { (name: String) in name == "CLICOLOR_FORCE" ? "1" : nil }
    #expect(ColorChoice.auto.allowsColor(isTerminal: false, environment: forced))
    let both = { (name: String) in ["CLICOLOR_FORCE", "NO_COLOR"].contains(name) ? "1" : nil }
    #expect(!ColorChoice.auto.allowsColor(isTerminal: true, environment: both))
  }
}

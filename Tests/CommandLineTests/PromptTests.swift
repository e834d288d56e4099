import TerminalTesting
import Testing

/// The prompt as a person meets it.
@Suite struct PromptTests {
  @Test func greets() throws {
    let terminal = try Home().start()
    let lines = terminal.screen.lines
    #expect(
      lines[0].hasPrefix("pinlab 0.") && lines[0].contains("help() · lessons() · Ctrl-D leaves"))
    #expect(lines[1].hasPrefix("try: m = machine{"))
    #expect(lines[2] == ">")
  }

  @Test func bannerIsTrue() throws {
    // What the banner says to try works as it stands there.
    let terminal = try Home().start()
    terminal.enter("m = machine{ ram = \"4G\", cma = \"1G\" }")
    try terminal.wait(for: "\n> ")
    terminal.enter("m:map()")
    try terminal.wait(for: "lower case: mixed\n> ")
    terminal.enter("m:alloc_pages(0)")
    try terminal.wait(for: "allocated, order 0, Unmovable pageblock")
  }

  @Test func showsResultsAndKeepsTheLast() throws {
    let terminal = try Home().start()
    terminal.enter("1 + 1")
    try terminal.wait(for: "\n2\n> ")
    terminal.enter("_ * 21")
    try terminal.wait(for: "\n42\n> ")
    terminal.enter("\"text\", nil, { 1, x = 2 }")
    try terminal.wait(for: "\n\"text\"  nil  { 1, x = 2 }\n> ")
    terminal.enter("_1, _3.x")
    try terminal.wait(for: "\n\"text\"  2\n> ")
    terminal.enter("x = 5")
    try terminal.waitForScreen("no result") { $0.ends(with: "> x = 5", ">") }
  }

  @Test func anAssignmentTellsWhatWasRefused() throws {
    let terminal = try Home().start()
    for line in [
      "m = machine{ ram = \"64M\", cma = \"32M\" }", "vm = m:guest{ ram = \"4K\" }",
      "pages = vm:populate()", "held = m:temp_ref(vm:page(0), \"me\")",
    ] { terminal.enter(line) }
    terminal.enter("p = vm:pin{ longterm = true }")
    try terminal.wait(for: "\np is nil: ENOMEM")
    try terminal.wait(for: "\n  in the way: 1 page of temporary reference #1 of me")
    terminal.enter("q, err = vm:pin{ longterm = true }")
    terminal.enter("err.errno")
    try terminal.wait(for: "\n\"ENOMEM\"\n> ")
    #expect(!terminal.screen.lines.contains { $0.hasPrefix("q is nil") })
    #expect(!terminal.screen.lines.contains { $0.hasPrefix("vm is nil") })
  }

  @Test func showsFramesInHexadecimal() throws {
    let terminal = try Home().start()
    terminal.enter("p = machine{ ram = \"64M\" }:alloc_pages(0)")
    try terminal.wait(for: "\n> ")
    for (input, shown) in [
      ("p.pfn", "0x1000"), ("p.address", "0x1000000"), ("p.zone.end_pfn ", "0x3fe0"),
      ("p.pfn + 0", "4096"), ("p.order", "0"),
    ] {
      terminal.enter(input)
      try terminal.wait(for: "\n\(shown)\n> ")
    }
  }

  @Test func answersSlipsWithOneLine() throws {
    let terminal = try Home().start()
    terminal.enter("m = machine{ ram = \"64M\" }")
    try terminal.wait(for: "\n> ")
    for (input, message) in [
      ("machin{ ram = \"64M\" }", "attempt to call a nil value (global 'machin')"),
      ("machine{ rma = \"4G\" }", "did you mean 'ram'?"),
      ("m:alloc_page()", "did you mean 'alloc_pages'?"),
      ("m.alloc_pages()", "write object:alloc_pages"),
      ("m:alloc_pages(0, \"GFP_KERNL\")", "did you mean \"GFP_KERNEL\"?"),
      ("x = = 3", "unexpected symbol near '='"),
      ("m:page(99999999)", "outside memory, which ends at 0x3fe0"),
    ] {
      terminal.enter(input)
      let shown = try terminal.wait(for: "\n> ")
      #expect(shown.replacing("\n", with: "").contains(message), "\(shown)")
      #expect(!shown.contains("traceback"), "\(shown)")
    }
    // Who called whom is said when there is more to say.
    terminal.enter("function f() m:page(-1) end")
    try terminal.wait(for: "\n> ")
    terminal.enter("f()")
    try terminal.wait(for: "in function 'f'")
  }

  @Test func refusalsAreValues() throws {
    let terminal = try Home().start()
    terminal.enter("m = machine{ ram = \"64M\" }")
    try terminal.wait(for: "\n> ")
    terminal.enter("m:alloc_pages(11)")
    try terminal.wait(for: "\nnil  ENOMEM  order 11 is above the largest block, order 10\n> ")
    terminal.enter("_2.errno")
    try terminal.wait(for: "\n\"ENOMEM\"\n> ")
  }

  @Test func undoesWhatChangedAMachine() throws {
    let terminal = try Home().start()
    for (input, shown) in [
      ("m = machine{ ram = \"64M\" }", "\n> "), ("undo()", "nothing to undo\n> "),
      ("before = m.free", "\n> "), ("p = m:alloc_pages(3)", "\n> "),
      ("before - m.free", "\n8\n> "), ("undo()", "undone: p = m:alloc_pages(3)\n> "),
      ("before - m.free", "\n0\n> "), ("m:check()", "\ntrue\n> "),
      ("redo()", "done again: p = m:alloc_pages(3)\n> "), ("before - m.free", "\n8\n> "),
      ("redo()", "nothing to redo\n> "),
    ] {
      terminal.enter(input)
      try terminal.wait(for: shown)
    }
  }

  @Test func takesFunctionsOfSeveralLines() throws {
    let terminal = try Home().start()
    terminal.enter("function double(x)")
    try terminal.wait(for: ">> ")
    terminal.enter("  return x * 2")
    try terminal.wait(for: ">> ")
    terminal.enter("end")
    try terminal.wait(for: "\n> ")
    terminal.enter("double(21)")
    try terminal.wait(for: "\n42\n> ")
    terminal.send(up + up)
    try terminal.waitForScreen("the whole function") {
      $0.ends(with: "> function double(x)", "  return x * 2", "end")
    }
  }

  @Test func helps() throws {
    let terminal = try Home().start(columns: 120, rows: 60)
    for (input, words) in [
      ("help()", "A model of the Linux memory manager."), ("help", "save(file, [force])"),
      ("help(machine)", "Boots a modelled machine"), ("help(\"machine:fork\")", "A second machine"),
      ("machine{ ram = \"64M\" }:help()", "alloc_pages"), ("help(\"zone\")", "One zone"),
    ] {
      terminal.enter(input)
      let shown = try terminal.wait(for: "\n> ")
      #expect(shown.contains(words), "\(input): \(shown)")
    }
  }

  @Test func completes() throws {
    let terminal = try Home().start()
    terminal.send("mach\t")
    try terminal.waitForScreen("the function") { $0.lines.last?.hasPrefix("> machine") == true }
    terminal.send(controlC)
    try terminal.wait(for: "\n> ")
    terminal.enter("m = machine{ ram = \"64M\" }")
    try terminal.wait(for: "\n> ")
    terminal.send("m:al\t")
    try terminal.waitForScreen("the method") { $0.lines.last?.hasPrefix("> m:alloc_pages") == true }
    terminal.send(controlC)
    try terminal.wait(for: "\n> ")
    terminal.send("m:zone(\"DMA3\t")
    try terminal.waitForScreen("the zone") { $0.lines.last?.contains("\"DMA32\"") == true }
  }

  @Test func leaves() throws {
    for keys in [controlD, "quit\r", "exit()\r"] {
      let terminal = try Home().start()
      terminal.send(keys)
      #expect(try terminal.waitForExit() == .status(0))
    }
    // A session may use the names for its own.
    let terminal = try Home().start()
    terminal.enter("exit = 3")
    try terminal.wait(for: "\n> ")
    terminal.enter("exit")
    try terminal.wait(for: "\n3\n> ")
  }

  @Test func promptAfterScript() throws {
    let home = try Home()
    home.folder.write("x = 41 + ...", to: "a.lua")
    let terminal = try home.start(["-i", "\(home.folder.path)/a.lua", "1"])
    terminal.enter("x")
    try terminal.wait(for: "\n42\n> ")
  }

  @Test func timeLimitHoldsForEachInput() throws {
    let terminal = try Home().start(["--time-limit", "0.2"])
    for _ in 0..<2 {
      terminal.enter("while true do end")
      try terminal.wait(for: "time limit reached (0.2 s)")
      try terminal.wait(for: "\n> ")
    }
    terminal.enter("6 * 7")
    try terminal.wait(for: "\n42\n> ")
  }
}

/// Ctrl-C stops whatever runs, and the session goes on.
@Suite struct ControlCTests {
  @Test(arguments: [
    "while true do end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do pcall(function() while true do end end) end",
    "xpcall(function() while true do end end, function() while true do end end)",
    "string.find((\"a\"):rep(60), (\"a*\"):rep(60) .. \"b\")",
    "table.sort({ 3, 1, 2 }, function() while true do end end)",
    "while true do machine{ ram = \"64M\" } end",
    "m:tick(1000000) m:tick(1000000) m:tick(1000000) m:tick(1000000)",
    "for _ in pairs(setmetatable({}, { __pairs = function() while true do end end })) do end",
  ]) func stops(_ source: String) throws {
    let terminal = try Home().start()
    terminal.enter("m = machine{ ram = \"64M\" }")
    try terminal.wait(for: "\n> ")
    terminal.enter("print(\"run\" .. \"ning\") \(source)")
    try terminal.wait(for: "running\n")
    terminal.send(controlC)
    try terminal.wait(for: "interrupted")
    try terminal.wait(for: "\n> ")
    terminal.enter("m:check()")
    try terminal.wait(for: "\ntrue\n> ")
  }

  @Test func discardsTheLine() throws {
    let terminal = try Home().start()
    terminal.send("half a li")
    try terminal.wait(for: "half a li")
    terminal.send(controlC)
    try terminal.wait(for: "\n> ")
    terminal.enter("1 + 1")
    try terminal.wait(for: "\n2\n> ")
  }

  @Test func stopsScript() throws {
    let home = try Home()
    home.folder.write("print('running') while true do end", to: "a.lua")
    let terminal = try PseudoTerminal(builtProgram("pinlab"), ["\(home.folder.path)/a.lua"])
    try terminal.wait(for: "running\n")
    terminal.send(controlC)
    #expect(try terminal.waitForExit() == .signal(2))
  }
}

/// What stays from one session to the next, and what follows the window.
@Suite struct SessionTests {
  @Test func savedSessionRuns() throws {
    let home = try Home()
    let terminal = try home.start()
    for input in [
      "m = machine{ ram = \"64M\" }", "p = m:alloc_pages(3)", "p:free()", "1 + 1", "print(_ + 1)",
      "nonsense()", "save(\"\(home.folder.path)/saved.lua\")",
    ] {
      terminal.enter(input)
      try terminal.wait(for: "\n> ")
    }
    #expect(terminal.text.contains("saved 5 inputs to "))
    let text = try #require(home.folder.read("saved.lua"))
    #expect(text.hasPrefix("-- saved by pinlab\n-- pinlab 0."))
    #expect(text.contains("--seed 0\n") && !text.contains("nonsense"))
    let ended = try pinlab("saved.lua", folder: home.folder)
    #expect(ended.status == 0 && ended.output == "3\n", "\(ended.errors)")
  }

  @Test func saveSparesOtherFiles() throws {
    let home = try Home()
    home.folder.write("mine", to: "a.lua")
    let terminal = try home.start()
    terminal.enter("save(\"\(home.folder.path)/a.lua\")")
    try terminal.wait(for: "\n> ")
    #expect(home.folder.read("a.lua") == "mine")
    terminal.enter("save(\"\(home.folder.path)/a.lua\", true)")
    try terminal.wait(for: "saved 0 inputs")
    #expect(home.folder.read("a.lua") != "mine")
  }

  @Test func remembersHistory() throws {
    let home = try Home()
    let first = try home.start()
    first.enter("print(\"remember me\")")
    try first.wait(for: "\n> ")
    first.send(controlD)
    _ = try first.waitForExit()
    let second = try home.start()
    second.send(up)
    try second.waitForScreen("the entry") { $0.ends(with: "> print(\"remember me\")") }
  }

  @Test func mapFollowsTheWindow() throws {
    let terminal = try Home().start(columns: 100)
    terminal.enter("m = machine{ ram = \"4G\" }")
    try terminal.wait(for: "\n> ")
    terminal.enter("m:map()")
    try terminal.wait(for: "lower case: mixed\n> ")
    let wide = terminal.screen.lines.map(\.count).max() ?? 0
    terminal.resize(columns: 60, rows: 40)
    terminal.enter("m:map()")
    try terminal.wait(for: "mixed\n> ")
    let narrow = terminal.screen.lines.filter { $0.contains("MMMM") }.map(\.count).max() ?? 0
    #expect(wide > 90 && wide <= 100, "\(wide)")
    #expect(narrow > 50 && narrow <= 60, "\(narrow)")
  }

  @Test func takesTenPastedLines() throws {
    let terminal = try Home().start()
    terminal.paste((1...10).map { "print(\($0) * 11)" }.joined(separator: "\n"))
    try terminal.wait(for: "print(10 * 11)")
    terminal.enter("")
    let results = (1...10).map { "\($0 * 11)\n" }.joined()
    try terminal.wait(for: "\n\(results)> ")
  }

  @Test func pastedLocalsStayTogether() throws {
    let terminal = try Home().start()
    terminal.paste("local a = 20\nlocal b = 22\nprint(a + b)")
    terminal.enter("")
    try terminal.wait(for: "\n42\n> ")
    // The last line shows its value, as it would alone.
    terminal.paste("local a = 20\nlocal b = 23\na + b")
    terminal.enter("")
    try terminal.wait(for: "\n43\n> ")
    terminal.paste("local a = [[one\ntwo]]\nx = [[\nb]]")
    terminal.enter("")
    terminal.enter("#x")
    try terminal.wait(for: "#x\n1\n> ")
  }

  @Test func colourObeysTheUser() throws {
    for (arguments, variables, isColored) in [
      ([], [:], true), ([], ["NO_COLOR": "1"], false), (["--color", "never"], [:], false),
      (["--color", "always"], ["NO_COLOR": "1"], true),
    ] as [([String], [String: String], Bool)] {
      let home = try TemporaryFolder()
      let terminal = try PseudoTerminal(
        builtProgram("pinlab"), arguments,
        environment: variables.merging(["HOME": home.path]) { given, _ in given })
      try terminal.wait(for: "> ")
      terminal.enter("machine{ ram = \"64M\" }:map()")
      try terminal.wait(for: "mixed\n")
      #expect(isColoured(terminal.bytes) == isColored, "\(arguments) \(variables)")
    }
  }

  @Test func mapsAreASCIIWhereTheLocaleIs() throws {
    for (variables, isASCII) in [
      (["LC_ALL": "C"], true), (["LANG": "en_GB.ISO-8859-1"], true), (["LANG": "C.UTF-8"], false),
      (["LC_ALL": "C", "LANG": "C.UTF-8"], true), ([:], false),
    ] as [([String: String], Bool)] {
      let home = try TemporaryFolder()
      let terminal = try PseudoTerminal(
        builtProgram("pinlab"), ["--color", "never"],
        environment: variables.merging(["HOME": home.path]) { given, _ in given })
      try terminal.wait(for: "> ")
      terminal.enter("machine{ ram = \"64M\" }:map()")
      try terminal.wait(for: "mixed\n")
      let cells = isASCII ? "........" : "░░░░░░░░"
      #expect(terminal.screen.lines.contains { $0.contains(cells) }, "\(variables)")
    }
  }

  @Test func helpFitsTheTerminal() throws {
    let ended = try pinlab(
      "-e", "help() help(machine) help(\"machine\") help(kernel) help(explore)")
    for line in ended.output.split(separator: "\n") where !line.hasPrefix("    ") {
      #expect(line.count <= 80, "\(line)")
    }
  }

  /// Whether there is a sequence `ESC [ … m`; readline sends others that set no colour.
  private func isColoured(_ bytes: [UInt8]) -> Bool {
    var rest = bytes[...]
    while let start = rest.firstIndex(of: 0x1B) {
      rest = rest[(start + 1)...]
      let end = rest.dropFirst().firstIndex { !(0x30...0x3B).contains($0) }
      if rest.first == UInt8(ascii: "["), let end, rest[end] == UInt8(ascii: "m") { return true }
    }
    return false
  }
}

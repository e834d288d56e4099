import GoldenTesting
import TerminalTesting
import Testing

/// Options, scripts and exit statuses, as a shell script meets them.
@Suite struct OptionTests {
  @Test func runsStatementsInOrder() throws {
    let ended = try pinlab("-e", "x = 2 print(1)", "-e", "print(x)")
    #expect(ended.output == "1\n2\n")
    #expect(ended.errors == "" && ended.status == 0)
  }

  @Test func printsItsVersion() throws {
    let long = try pinlab("--version")
    #expect(long.status == 0 && long.output.hasPrefix("pinlab "))
    let short = try pinlab("-v", "-e", "print('after')")
    #expect(short.status == 0)
    #expect(short.output.hasPrefix(long.output.dropLast() + "  Lua 5.4  Linux 6.12"))
    #expect(short.output.hasSuffix("\nafter\n"))
    #expect(try pinlab("-v").output.split(separator: "\n").count == 1)
  }

  @Test func showsHelp() throws {
    for arguments in ["--help", "-h", "help"] {
      let ended = try pinlab(arguments)
      #expect(ended.status == 0 && ended.errors == "")
      #expect(ended.output.contains("pinlab [options] [script [args]]"))
      #expect(ended.output.contains("pinlab replay FILE..."))
    }
    let late = try pinlab("-e", "print(1)", "--help")
    #expect(late.status == 0 && late.output.contains("--time-limit") && !late.output.hasPrefix("1"))
    #expect(try pinlab("replay", "--help").output.contains("--json"))
    #expect(try pinlab("capture", "--help").output.contains("<directory>"))
  }

  @Test func warnsWhenAsked() throws {
    let ended = try pinlab("-W", "-e", "warn('careful')")
    #expect(ended.output.contains("careful\n") && ended.status == 0)
  }

  @Test func seedDecidesRandomNumbers() throws {
    let source = "for _ = 1, 20 do io.write(math.random(1000000), ' ') end"
    let first = try pinlab("--seed", "7", "-e", source).output
    #expect(try pinlab("--seed", "7", "-e", source).output == first)
    #expect(try pinlab("--seed", "8", "-e", source).output != first)
    #expect(try pinlab("-e", source).output == pinlab("--seed", "0", "-e", source).output)
  }

  @Test func badUsageExitsWithTwo() throws {
    let runs = [
      try pinlab("--bogus"), try pinlab("-x"), try pinlab("--kernel", "5.0", "-e", ""),
      try pinlab("--color", "sometimes"), try pinlab("--seed", "x"), try pinlab("--seed"),
      try pinlab("--time-limit", "soon"), try pinlab("--time-limit", "0"),
      try pinlab("--time-limit", "1e300", "-e", ""), try pinlab("--time-limit", "nan", "-e", ""),
      try pinlab("--memory-limit", "lots"), try pinlab("--memory-limit", "1K"),
      try pinlab("-l", "module"), try pinlab("replay"), try pinlab("replay", "--jsn", "x"),
      try pinlab("capture"),
    ]
    for ended in runs {
      #expect(ended.status == 2)
      #expect(ended.output == "")
    }
    expectGolden(runs.map(\.errors).joined(separator: "\n"), "bad-usage")
  }

  @Test func choosesKernel() throws {
    let ended = try pinlab(
      "--kernel", "6.12.0", "-e", "print(machine{ ram = '64M' }:kernel().name)")
    #expect(ended.output == "6.12.0\n")
  }

  @Test func coloursMapsWhenTold() throws {
    let source = "print(machine{ ram = '64M' }:map())"
    #expect(!(try pinlab("-e", source).output.contains("\u{1B}")))
    #expect(!(try pinlab("--color", "never", "-e", source).output.contains("\u{1B}")))
    #expect(try pinlab("--color", "always", "-e", source).output.contains("\u{1B}["))
    let both = try pinlab("--color", "always", "-e", source, environment: ["NO_COLOR": "1"])
    #expect(both.output.contains("\u{1B}["), "what is asked for wins")
  }
}

@Suite struct ScriptTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func passesArguments() throws {
    folder.write("print(arg[0], arg[1], arg[2], #arg, ...)", to: "a.lua")
    let ended = try pinlab("a.lua", "x", "-y", folder: folder)
    #expect(ended.output == "a.lua\tx\t-y\t2\tx\t-y\n")
    #expect(try pinlab("--", "a.lua", "-e", folder: folder).output == "a.lua\t-e\tnil\t1\t-e\n")
  }

  @Test func skipsShebang() throws {
    folder.write("#!/usr/bin/env pinlab\nprint('ran')\nerror('here')", to: "a.lua")
    let ended = try pinlab("a.lua", folder: folder)
    #expect(ended.output == "ran\n" && ended.status == 1)
    #expect(ended.errors.hasPrefix("pinlab: a.lua:3: here\n"))
  }

  @Test func runsPipeAsScript() throws {
    let ended = try pinlab(input: "x = 1\nfunction f()\n  return x\nend\nprint(f())\n")
    #expect(ended.output == "1\n" && ended.errors == "" && ended.status == 0)
    let named = try pinlab("-", "a", "b", input: "print(...)")
    #expect(named.output == "a\tb\n" && named.status == 0)
    let failed = try pinlab(input: "print(1)\nprint(1 +)\n")
    #expect(failed.status == 1 && failed.output == "")
    #expect(failed.errors.hasPrefix("pinlab: stdin:2: unexpected symbol near ')'"))
    #expect(try pinlab(input: "").status == 0)
  }

  @Test func saysWhereItFailed() throws {
    folder.write(
      """
      local m = machine{ ram = "64M" }
      local function inner()
        m:free_pages(0x99999999)
      end
      inner()
      """, to: "a.lua")
    let ended = try pinlab("a.lua", folder: folder)
    #expect(ended.status == 1 && ended.output == "")
    expectGolden(ended.errors, "script-error")
  }

  @Test func failedStatementEndsTheRun() throws {
    folder.write("print('never')", to: "a.lua")
    let ended = try pinlab("-e", "error('first')", "a.lua", folder: folder)
    #expect(ended.status == 1 && ended.output == "")
    #expect(ended.errors.hasPrefix("pinlab: (command line):1: first\n"))
    #expect(try pinlab("-e", "error({ code = 2 })").errors.contains("code = 2"))
  }

  @Test func refusesWhatIsNoScript() throws {
    folder.write("{\"op\":\"header\",\"exp\":\"x\"}\n", to: "r.jsonl")
    let recording = try pinlab("r.jsonl", folder: folder)
    #expect(recording.status == 1)
    #expect(
      recording.errors == "pinlab: r.jsonl is a recording; did you mean: pinlab replay r.jsonl\n")
    let packed = try pinlab(Recordings.good)
    #expect(packed.errors.hasSuffix("did you mean: pinlab replay \(Recordings.good)\n"))
    let missing = try pinlab("missing.lua", folder: folder)
    #expect(missing.status == 1)
    #expect(missing.errors == "pinlab: cannot open missing.lua: No such file or directory\n")
    let directory = try pinlab(".", folder: folder)
    #expect(directory.errors == "pinlab: cannot open .: Is a directory\n")
  }

  @Test func writesEverythingBeforeItEnds() throws {
    let ended = try pinlab("-e", "for i = 1, 50000 do print(i) end error('end')")
    #expect(ended.output.hasSuffix("\n50000\n"))
    #expect(ended.status == 1)
  }
}

@Suite struct LimitTests {
  @Test(arguments: [
    "while true do end", "while true do pcall(error) end",
    "coroutine.wrap(function() while true do end end)()",
    "pcall(string.find, ('a'):rep(40), ('a*'):rep(40) .. 'b')",
    "m = machine{ ram = '64M' } m:tick(1000000) while true do m:tick(1000000) end",
  ]) func timeLimitStops(_ source: String) throws {
    let ended = try pinlab("--time-limit", "0.3", "-e", source)
    #expect(ended.status == 1)
    #expect(ended.errors.contains("time limit reached (0.3 s)"), "\(ended.errors)")
  }

  @Test func memoryLimitStopsTables() throws {
    let ended = try pinlab("--memory-limit", "16M", "-e", "t = {} for i = 1, 1e9 do t[i] = {} end")
    #expect(ended.status == 1)
    #expect(ended.errors.contains("memory limit reached (16.0 MiB)"))
  }

  @Test func memoryLimitStopsStrings() throws {
    let ended = try pinlab("--memory-limit", "16M", "-e", "s = 'x' while true do s = s .. s end")
    #expect(ended.status == 1)
    #expect(ended.errors.contains("memory"))
  }

  @Test func sandboxLacksFilesAndProcesses() throws {
    let names = "os.execute, os.exit, os.remove, io.open, io.popen, require, package, dofile"
    let ended = try pinlab("-e", "print(\(names))")
    #expect(ended.output == "nil\tnil\tnil\tnil\tnil\tnil\tnil\tnil\n", "\(ended.errors)")
    #expect(try pinlab("-e", "load('\\27Lua')()").status == 1)
  }

  @Test func unsafeOpensEverything() throws {
    let folder = try TemporaryFolder()
    let script = "local f = io.open('a', 'w') f:write('x') f:close() print(os.getenv('X'))"
    let ended = try pinlab("--unsafe", "-e", script, folder: folder, environment: ["X": "y"])
    #expect(ended.output == "y\n" && folder.read("a") == "x", "\(ended.errors)")
    #expect(try pinlab("--unsafe", "-e", "print('x') os.exit(3)").status == 3)

    folder.write("return { answer = 42 }", to: "module.lua")
    let module = try pinlab(
      "--unsafe", "-l", "module", "-e", "print(module.answer)", folder: folder)
    #expect(module.output == "42\n", "\(module.errors)")
  }

  @Test func readsLuaInitOnlyWhenUnsafe() throws {
    let environment = ["LUA_INIT": "print('init')"]
    let source = "print(1)"
    #expect(try pinlab("-e", source, environment: environment).output == "1\n")
    #expect(try pinlab("--unsafe", "-e", source, environment: environment).output == "init\n1\n")
    #expect(try pinlab("--unsafe", "-E", "-e", source, environment: environment).output == "1\n")
  }
}

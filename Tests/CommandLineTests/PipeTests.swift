import TerminalTesting
import Testing

/// Pipes, full disks and closed descriptors, as shell scripts and cron meet them.
@Suite struct PipeTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: ["'print(1)'", "'for i = 1, 100000 do print(i) end'"])
  func aFullDiskIsNoSuccess(statement: String) throws {
    let ended = try shell("\"$PINLAB\" -e \(statement) > /dev/full", folder: folder)
    #expect(ended.status == 1)
    #expect(
      ended.errors == "pinlab: cannot write to standard output: No space left on device\n")
  }

  @Test func aReaderThatLeavesEndsIt() throws {
    let ended = try shell(
      "\"$PINLAB\" -e 'while true do print(1) end' | head -n 2", folder: folder)
    #expect(ended.status == 0 && ended.output == "1\n1\n" && ended.errors == "")
  }

  /// One block: less than a machine takes.
  @Test func aFileThatMayNotGrowIsAnError() throws {
    let ended = try shell(
      """
      ulimit -f 1
      "$PINLAB" -e 'm = machine{ ram = "64M" }' -e 'print(pcall(m.save, m, "a.machine"))'
      ls
      """, folder: folder)
    #expect(ended.status == 0, "\(ended.errors)")
    #expect(ended.output.hasPrefix("false\tsave: a.machine: File too large\n"), "\(ended.output)")
    #expect(!ended.output.contains(".tmp"))
  }

  /// A file that takes the number of standard output must not get what is printed.
  @Test func aClosedOutputGetsNothing() throws {
    let ended = try shell(
      """
      "$PINLAB" -e 'm = machine{ ram = "64M" }' -e 'print("x") m:save("a.machine")' >&-
      "$PINLAB" -e 'print(machine{ from = "a.machine" }.free > 0)'
      """, folder: folder)
    #expect(ended.status == 0 && ended.output == "true\n", "\(ended.errors)")
  }

  @Test func piecesOfScriptsFail() throws {
    for (text, words) in [
      ("m=machine{}\nm:free(", "stdin:2: "), ("return 1+", "stdin:1: "),
      ("error(\"x\")\nprint(3)", "stdin:1: x"),
    ] {
      let ended = try pinlab(input: text)
      #expect(ended.status == 1 && ended.output == "")
      #expect(ended.errors.hasPrefix("pinlab: \(words)"), "\(ended.errors)")
    }
  }
}

// The program under test, with a home of its own.

import TerminalTesting

let up = "\u{1B}[A"
let controlC = "\u{03}"
let endOfInput = "\u{04}"

/// The prompt of `console-fixture`; several sessions share its home.
struct Fixture {
  let home: TemporaryFolder

  init() throws { home = try TemporaryFolder() }

  func start(
    _ arguments: [String] = [], _ variables: [String: String] = [:], columns: Int = 80
  ) throws -> PseudoTerminal {
    let environment = ["HOME": home.path, "XDG_STATE_HOME": "\(home.path)/state"]
    let terminal = try PseudoTerminal(
      builtProgram("console-fixture"), arguments,
      environment: environment.merging(variables) { _, given in given }, columns: columns)
    terminal.kept.append(home)
    return terminal
  }
}

// The real program, started as a shell starts it.

import Foundation
import TerminalTesting

/// What a run of `pinlab` came to.
struct Ended {
  let status: Int32
  let output: String
  let errors: String
}

/// Runs `pinlab` to its end, without a terminal.
///
/// - Parameters:
///   - input: Standard input; nothing when nil.
///   - folder: Where it runs.
func pinlab(
  _ arguments: String..., input: String? = nil, folder: TemporaryFolder? = nil,
  environment: [String: String] = [:]
) throws -> Ended {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: builtProgram("pinlab"))
  process.arguments = arguments
  process.environment = environment
  if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder.path) }
  // Files take any amount, so that no pipe can fill up while we wait.
  let scratch = try TemporaryFolder()
  for name in ["in", "out", "err"] { scratch.write("", to: name) }
  if let input { scratch.write(input, to: "in") }
  func handle(_ name: String) throws -> FileHandle {
    let url = URL(fileURLWithPath: "\(scratch.path)/\(name)")
    return name == "in"
      ? try FileHandle(forReadingFrom: url) : try FileHandle(forWritingTo: url)
  }
  process.standardInput = try handle("in")
  process.standardOutput = try handle("out")
  process.standardError = try handle("err")
  try process.run()
  process.waitUntilExit()
  return Ended(
    status: process.terminationReason == .exit ? process.terminationStatus : -1,
    output: scratch.read("out") ?? "", errors: scratch.read("err") ?? "")
}

/// Runs a line of the shell, in which `$PINLAB` is the program.
func shell(_ line: String, folder: TemporaryFolder) throws -> Ended {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = ["-c", "{ \(line)\n} > out 2> err < /dev/null"]
  process.environment = ["PINLAB": builtProgram("pinlab"), "PATH": "/usr/bin:/bin"]
  process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
  try process.run()
  process.waitUntilExit()
  return Ended(
    status: process.terminationReason == .exit ? process.terminationStatus : -1,
    output: folder.read("out") ?? "", errors: folder.read("err") ?? "")
}

/// The prompt in a terminal, with a home of its own.
struct Home {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  func start(
    _ arguments: [String] = [], _ variables: [String: String] = [:], columns: Int = 100,
    rows: Int = 40
  ) throws -> PseudoTerminal {
    let environment = ["HOME": folder.path, "XDG_STATE_HOME": "\(folder.path)/state"]
    let terminal = try PseudoTerminal(
      builtProgram("pinlab"), arguments,
      environment: environment.merging(variables) { _, given in given }, columns: columns,
      rows: rows)
    terminal.kept.append(folder)
    try terminal.wait(for: "\n> ")
    return terminal
  }
}

let up = "\u{1B}[A"
let controlC = "\u{03}"
let controlD = "\u{04}"

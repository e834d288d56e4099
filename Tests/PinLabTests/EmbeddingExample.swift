// The example of docs/embedding.md: what stands between the markers stands there.

// docs/embedding.md begins
import Foundation
import PinLab
import Synchronization

/// Runs scripts of strangers over a machine of ours.
func embed() throws -> [String] {
  var report: [String] = []
  let printed = Printed()

  // A run may take 50 MB and two seconds; what it prints comes to us.
  let session = PinLabSession(
    limits: LuaLimits(memory: 50 << 20, time: .seconds(2)), seed: 7
  ) { text in printed.add(text) }

  // One function of our own: declared once, checked, and explained by help(budget).
  let spent = Mutex(0)
  session.lua.register(
    LuaLibrary(
      "host", doc: "What this program adds.",
      functions: [
        LuaFunction(
          "budget", .positional, [LuaParameter("pages", .integer(1...1000), "How many.")],
          returns: [LuaResult(.integer(), "Pages that are left.")],
          errors: [LuaErrno("EDQUOT", "the budget is spent")],
          doc: "Takes pages from the budget."
        ) { call throws(LuaFailure) in
          let pages = call.integer(0)
          let left = spent.withLock { spent -> Int? in
            guard spent + pages <= 1000 else { return nil }
            spent += pages
            return 1000 - spent
          }
          guard let left else {
            return call.refuse(errno: "EDQUOT", message: "the budget of 1000 pages is spent")
          }
          call.returns(left)
        }
      ]))

  // Run Lua; results come back as values.
  let outcome = session.run(
    """
    m = machine{ ram = "64M" }
    for _ = 1, 16 do m:alloc_pages(4) end
    print("left", budget(256))
    return m:zone("DMA32").free, ...
    """, chunkName: "@setup.lua", arguments: ["argument"])
  switch outcome {
  case .values(let values): report.append("free \(values[0].integer!), \(values[1].string!)")
  case .failure(let error): report.append(error.message)
  }

  // Read the machine that the script built. `machine` is borrowed: nothing is copied.
  let free = session.withMachine("m") { machine in
    machine.populatedZones.map { machine.freePagesSnapshot($0) }.reduce(0, +)
  }
  report.append("\(free ?? 0) pages free in all zones")

  // A mistake is a message with its place, and the session goes on.
  if let error = session.run("budget(5000)", chunkName: "@user.lua").failure {
    report.append(error.message)
  }

  // A runaway script stops at its limit, or when another thread says so.
  let interrupter = session.interrupter
  Thread.detachNewThread {
    Thread.sleep(forTimeInterval: 0.05)
    interrupter.interrupt()
  }
  let stopped = session.run("while true do pcall(error) end").failure
  if case .interrupt? = stopped?.stop { report.append("interrupted") }

  report.append("sound: \(session.evaluate("m:check()").displays[0])")
  report.append("printed: \(printed.text)")
  return report
}

/// Where the session's output goes.
final class Printed: Sendable {
  private let stored = Mutex("")

  var text: String { stored.withLock { $0 } }

  func add(_ text: String) { stored.withLock { $0 += text } }
}
// docs/embedding.md ends

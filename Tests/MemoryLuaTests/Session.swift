import LuaBridge
import MemoryLua

/// A fresh session with the memory library, and what it printed.
final class Session {
  let lua: LuaSession
  private let sink = Sink()

  init(seed: UInt64 = 0, limits: LuaLimits = .none, writing: FileWriting = .nowhere) {
    let context = MemoryContext()
    context.writing = writing
    lua = LuaSession(limits: limits, seed: seed) { [sink] in sink.text += $0 }
    lua.register(MemoryLibrary.library(context))
  }

  var output: String { sink.text }

  /// What the prompt shows for a line: results as displayed, or the message.
  func shown(_ line: String) -> String {
    let evaluation = lua.evaluate(line)
    if let failure = evaluation.outcome.failure { return failure.message }
    return evaluation.displays.joined(separator: "  ")
  }

  private final class Sink {
    var text = ""
  }
}

// The library product: everything of pinlab but the terminal.
//
//     import PinLab
//
//     let session = PinLabSession(seed: 7) { text in log.append(text) }
//     session.run("m = machine{ ram = '64M' }  p = m:alloc_pages(0)")
//     let free = session.withMachine("m") { $0.freePagesSnapshot(1) }

@_exported public import LuaBridge
@_exported public import MemoryLua
@_exported public import MemoryModel

/// A Lua session with the memory library, inside another program.
///
/// One thread at a time; only ``interrupter`` may be used from elsewhere.
public final class PinLabSession {
  /// The Lua state, for registering libraries of one's own.
  public let lua: LuaSession
  /// What the memory library draws for.
  public let context: MemoryContext

  /// A new session.
  ///
  /// - Parameters:
  ///   - limits: What each run may use.
  ///   - sandbox: Whether scripts are kept from files, processes, bytecode and C modules.
  ///   - seed: Where `math.random` starts.
  ///   - context: Terminal width, colour, and the kernel of machines that name none.
  ///   - output: Receives what scripts print.
  public init(
    limits: LuaLimits = .none, sandbox: Bool = true, seed: UInt64 = 0,
    context: MemoryContext = MemoryContext(), output: @escaping (String) -> Void
  ) {
    self.context = context
    lua = LuaSession(limits: limits, sandbox: sandbox, seed: seed, output: output)
    lua.register(MemoryLibrary.library(context))
  }

  deinit { context.forgetTasks() }

  /// Runs a script; see ``LuaSession/run(_:chunkName:arguments:)``.
  @discardableResult
  public func run(
    _ source: String, chunkName: String = "=script", arguments: [String] = []
  ) -> LuaOutcome {
    lua.run(source, chunkName: chunkName, arguments: arguments)
  }

  /// Runs a line as the prompt does; see ``LuaSession/evaluate(_:chunkName:)``.
  public func evaluate(_ line: String) -> LuaEvaluation { lua.evaluate(line) }

  /// Stops the running script from a signal handler or another thread.
  public var interrupter: LuaInterrupter { lua.interrupter }

  /// Reads the machine that a global variable holds.
  ///
  /// - Returns: What `body` returns; nil when no global of that name is a machine.
  public func withMachine<Result>(
    _ name: String, _ body: (borrowing Machine) throws -> Result
  ) rethrows -> Result? {
    guard
      let value = lua.run("return _G[...]", chunkName: "=machine", arguments: [name])
        .values?.first,
      let object = value.object(as: MachineObject.self)
    else { return nil }
    return try body(object.machine)
  }
}

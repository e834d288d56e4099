// Stopping a session from outside.

internal import CLuaGate

/// Interrupts a session from a signal handler or another thread.
///
/// It may outlive the session, and then does nothing.
public final class LuaInterrupter: Sendable {
  private let core: SessionCore

  init(core: SessionCore) { self.core = core }

  /// Stops the running script; async-signal-safe.
  ///
  /// Plain Lua code stops at its next instruction, also inside coroutines and pattern matching, and
  /// whatever it catches with pcall.
  public func interrupt() { unsafe gate_interrupt(core.session) }

  /// A flag that is not 0 while the running script must stop, for long loops that know nothing of
  /// Lua.
  ///
  /// Read it with an atomic load. It lives as long as this object.
  public var flag: UnsafePointer<Int32> { unsafe gate_stop_flag(core.session) }
}

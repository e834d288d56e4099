// What a run may use.

/// The limits of a session; nil means none.
///
/// Instruction and time limits apply to each run. They need a hook that about doubles the cost of
/// plain Lua code; the memory limit costs nothing until it is reached.
public struct LuaLimits: Sendable {
  /// Bytes of Lua memory.
  ///
  /// A table may pass it while it grows, up to three times, before the script is stopped; a string
  /// may not.
  public var memory: Int?
  /// Virtual machine instructions, counted in steps of 1,000.
  public var instructions: Int?
  /// Wall time.
  public var time: Duration?

  public static let none = LuaLimits()

  public init(memory: Int? = nil, instructions: Int? = nil, time: Duration? = nil) {
    self.memory = memory
    self.instructions = instructions
    self.time = time
  }
}

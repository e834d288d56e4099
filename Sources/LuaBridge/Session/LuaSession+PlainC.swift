// What the benchmark compares with.

internal import CLuaGate

extension LuaSession {
  /// Registers `plain_c(order)` and `plain_object():method(order)`, written in C against the Lua API
  /// the usual way, so that a benchmark can time both kinds of binding in one run.
  ///
  /// - Returns: false when memory ran out.
  @discardableResult
  public func registerPlainC() -> Bool { unsafe gate_bench_plain_c(core.session) }
}

// A coroutine whose steps Swift decides.
//
// Invariant: the registry slot belongs to this object until it is released; a coroutine that is dropped
// in the middle gives back what its bodies kept.

internal import CLuaGate

/// A Lua function that runs until a body it calls yields (``LuaCall/yieldAgain(_:)``), and goes on when
/// Swift says so.
public final class LuaCoroutine {
  let core: SessionCore
  let slot: Int32

  init(core: SessionCore, slot: Int32) {
    self.core = core
    self.slot = slot
  }

  deinit { unsafe gate_release_reference(core.session, slot) }

  /// What a part of a run came to.
  public enum Progress {
    case yielded
    case finished([LuaValue])
    case failed(LuaError)
  }
}

/// What code deep below a body may do with Lua while the body runs.
///
/// It may be kept, but is of use only until the body returns.
@safe public final class LuaScope {
  private var call: UnsafeMutablePointer<gate_call>?
  private let core: SessionCore

  fileprivate init(_ call: UnsafeMutablePointer<gate_call>, _ core: SessionCore) {
    unsafe self.call = call
    self.core = core
  }

  fileprivate func close() { unsafe call = nil }

  private func current() -> UnsafeMutablePointer<gate_call> {
    guard let call = unsafe call else { preconditionFailure("the body has returned") }
    return unsafe call
  }

  /// Whether the script was interrupted or met a limit.
  public var shouldStop: Bool { unsafe LuaCall(current(), core).shouldStop() }

  /// Calls a Lua function; its error becomes a value.
  public func invoke(_ function: LuaReference, _ arguments: [LuaValue] = []) -> LuaOutcome {
    unsafe LuaCall(current(), core).invoke(function, arguments)
  }

  /// A coroutine that will call a function; nil when memory ran out.
  public func coroutine(_ function: LuaReference) -> LuaCoroutine? {
    let slot = unsafe gate_coroutine(current(), function.slot)
    return slot > 0 ? LuaCoroutine(core: core, slot: slot) : nil
  }

  /// Writes to the session's output.
  public func write(_ text: String) { core.sink(text) }

  /// Runs a coroutine until it yields or ends.
  ///
  /// - Parameter arguments: For its function, the first time.
  public func resume(
    _ coroutine: LuaCoroutine, _ arguments: [LuaValue] = []
  ) -> LuaCoroutine.Progress {
    let call = unsafe current()
    unsafe call.pointee.depth += 1
    let base = unsafe call.pointee.arena.pointee.count
    let builder = unsafe LuaCall(call, core)
    for argument in arguments { builder.returns(argument) }
    unsafe call.pointee.depth -= 1
    var thread: OpaquePointer? = nil
    var first: Int32 = 0
    var count: Int32 = 0
    let status = unsafe gate_resume_coroutine(
      call, coroutine.slot, base, &thread, &first, &count)
    if status == Int32(GATE_RUN_YIELDED) { return .yielded }
    guard let state = unsafe thread else { return .finished([]) }
    let reader = unsafe StackReader(core: core, thread: state)
    let values = (0..<count).map { reader.value(at: first + $0) }
    if status == Int32(GATE_RUN_OK) { return .finished(values) }
    let message: String =
      switch values.last {
      case .string(let text)?: text
      case nil: "it was stopped"
      default: "it failed"
      }
    return .failed(
      LuaError(
        message: message, traceback: "", isIncompleteInput: false,
        stop: LuaStop(unsafe gate_stop_reason(call.pointee.session))))
  }
}

extension LuaCall {
  /// Runs `body` with a scope that code below it can keep while this call runs.
  public func withScope<Result>(
    _ body: (LuaScope) throws(LuaFailure) -> Result
  ) throws(LuaFailure) -> Result {
    let scope = unsafe LuaScope(call, core)
    defer { scope.close() }
    return try body(scope)
  }

  /// Whether this call came from inside a coroutine itself, and not from one that it runs.
  public func isInside(_ coroutine: LuaCoroutine) -> Bool {
    unsafe gate_is_coroutine(call, coroutine.slot)
  }
}

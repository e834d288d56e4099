// Stopping, calling back, and yielding from a body.

internal import CLuaGate

/// A function argument, callable while the body that received it runs.
public struct LuaCallback {
  let slot: Int32
}

extension LuaCall {
  /// Whether the script was interrupted or met a limit.
  ///
  /// A long body asks now and then, and returns or throws; whatever it does, the script is stopped
  /// after it.
  public func shouldStop() -> Bool { unsafe gate_should_stop(call.pointee.session) }

  /// A function argument, to be called with ``invoke(_:_:)`` during this call.
  public func callback(_ position: Int) -> LuaCallback {
    LuaCallback(slot: unsafe raw(position).index)
  }

  /// A function argument, to be kept beyond this call.
  ///
  /// Nil when memory ran out.
  public func reference(_ position: Int) -> LuaReference? {
    let slot = unsafe gate_reference(call.pointee.L, raw(position).index)
    return unsafe slot > 0 ? LuaReference(core: core, slot: slot) : nil
  }

  /// Calls a Lua function.
  ///
  /// Its error becomes a value; it cannot yield.
  public func invoke(_ callback: LuaCallback, _ arguments: [LuaValue] = []) -> LuaOutcome {
    invoke(slot: callback.slot, reference: 0, arguments)
  }

  /// Calls a Lua function that was kept earlier.
  public func invoke(_ reference: LuaReference, _ arguments: [LuaValue] = []) -> LuaOutcome {
    invoke(slot: 0, reference: reference.slot, arguments)
  }

  private func invoke(slot: Int32, reference: Int32, _ arguments: [LuaValue]) -> LuaOutcome {
    // The arguments stand above the results so far; depth keeps them from counting as results.
    unsafe call.pointee.depth += 1
    let base = unsafe call.pointee.arena.pointee.count
    for argument in arguments { returns(argument) }
    unsafe call.pointee.depth -= 1
    var first: Int32 = 0
    var count: Int32 = 0
    let status = unsafe gate_invoke(call, slot, reference, base, &first, &count)
    defer { unsafe gate_set_top(call.pointee.L, first - 1) }
    if status == Int32(GATE_RUN_OK) {
      return .values((0..<count).map { reader.value(at: first + $0) })
    }
    let error = count > 0 ? reader.value(at: first + count - 1) : .string("not enough memory")
    let message =
      switch error {
      case .string(let text): text
      default: display(at: first + count - 1)
      }
    return .failure(
      LuaError(
        message: message, traceback: "", isIncompleteInput: false,
        stop: LuaStop(unsafe gate_stop_reason(call.pointee.session))))
  }

  /// Rethrows a callback's error as it was, with its own position.
  public static func rethrow(_ error: LuaError) -> LuaFailure {
    LuaFailure(error.message, hasPosition: true)
  }

  /// The text of an argument as `tostring` gives it.
  public func display(_ position: Int) -> String { unsafe display(at: raw(position).index) }

  private func display(at index: Int32) -> String {
    var length = 0
    let text = unsafe gate_display(call.pointee.session, call.pointee.L, index, false, &length)
    return unsafe String(
      decoding: UnsafeRawBufferPointer(start: text, count: length), as: UTF8.self)
  }

  /// Whether the call came from inside a coroutine, where ``yieldAgain(_:)`` works.
  public var canYield: Bool { unsafe gate_is_yieldable(call.pointee.L) }

  /// Yields the results returned so far, and has the body called again with `state` when the
  /// coroutine is resumed.
  ///
  /// What the script passes to `resume` is ignored.
  ///
  /// Return from the body right after. The body is entered with the same arguments and with
  /// ``continuation(as:)`` giving `state`. A coroutine that is dropped gives `state` back.
  public func yieldAgain(_ state: AnyObject) {
    precondition(unsafe call.pointee.next_continuation == nil, "already yielding")
    unsafe call.pointee.next_continuation = Unmanaged.passRetained(state).toOpaque()
  }

  /// The state of the last ``yieldAgain(_:)`` of this call; nil on its first entry.
  public func continuation<State: AnyObject>(as type: State.Type = State.self) -> State? {
    unsafe call.pointee.continuation.map { pointer in
      unsafe Unmanaged<AnyObject>.fromOpaque(pointer).takeUnretainedValue() as! State
    }
  }
}

// One call from Lua into a body: its arguments.
//
// Invariant: the pointer is valid while the body runs, and a LuaCall cannot be copied out of it.
// No method here can raise a Lua error. Arguments were checked against the declaration before the
// body was entered; asking for one as something else than declared is a mistake in the host, and
// traps.

internal import CLuaGate

/// The arguments of a call, and the builder of its results.
@safe public struct LuaCall: ~Copyable {
  let call: UnsafeMutablePointer<gate_call>
  unowned(unsafe) let core: SessionCore

  init(_ call: UnsafeMutablePointer<gate_call>, _ core: SessionCore) {
    unsafe self.call = call
    unsafe self.core = core
  }

  /// The number of arguments: at least that of the declared parameters.
  public var count: Int { unsafe Int(call.pointee.argument_count) }

  var reader: StackReader { unsafe StackReader(core: core, thread: call.pointee.L) }

  func raw(_ position: Int) -> gate_value {
    unsafe precondition(
      position >= 0 && position < Int(call.pointee.argument_count), "no argument \(position)")
    return unsafe call.pointee.arguments[position]
  }
}

extension LuaCall {
  /// Whether an optional argument was given.
  public func isGiven(_ position: Int) -> Bool { unsafe raw(position).kind != GATE_NIL }

  /// Whether a function with named fields was called with the text of its first field alone, as in
  /// `guest("vm0")` instead of `guest{ name = "vm0" }`.
  public var isNameAlone: Bool {
    guard unsafe call.pointee.argument_count > 0 else { return false }
    let first = unsafe call.pointee.`self` == nil ? 1 : 2
    return unsafe raw(0).kind == GATE_STRING && raw(0).index == first
  }

  /// An argument of type `.integer`, `.size`, `.pfn`, `.address`, or the position of a `.choice`.
  public func integer(_ position: Int) -> Int {
    let value = unsafe raw(position)
    unsafe precondition(value.kind != GATE_NIL, "argument \(position) is missing")
    return unsafe Int(value.integer)
  }

  public func integer(_ position: Int, default fallback: Int) -> Int {
    isGiven(position) ? integer(position) : fallback
  }

  /// The set of a `.flags` argument: bit i stands for name i.
  ///
  /// Empty when it was not given.
  public func flags(_ position: Int) -> UInt64 {
    isGiven(position) ? UInt64(bitPattern: Int64(integer(position))) : 0
  }

  public func boolean(_ position: Int, default fallback: Bool = false) -> Bool {
    isGiven(position) ? integer(position) != 0 : fallback
  }

  public func number(_ position: Int) -> Double {
    Double(bitPattern: UInt64(bitPattern: Int64(integer(position))))
  }

  public func number(_ position: Int, default fallback: Double) -> Double {
    isGiven(position) ? number(position) : fallback
  }

  public func string(_ position: Int) -> String { unsafe reader.string(raw(position)) }

  public func string(_ position: Int, default fallback: String) -> String {
    isGiven(position) ? string(position) : fallback
  }

  /// An argument of any type, copied.
  ///
  /// Tables are copied to a depth of 16.
  public func value(_ position: Int) -> LuaValue {
    let raw = unsafe raw(position)
    guard unsafe raw.kind != GATE_NIL else { return .nil }
    return unsafe reader.value(at: raw.index)
  }

  /// The handle of an object argument.
  public func handle(_ position: Int) -> LuaHandle {
    let raw = unsafe raw(position)
    guard let object = unsafe raw.pointer?.assumingMemoryBound(to: gate_object.self),
      let handle = unsafe core.handle(of: object.pointee)
    else { preconditionFailure("argument \(position) is no object") }
    return handle
  }

  /// The Swift object of an object argument.
  public func object<Object: AnyObject>(_ position: Int, as type: Object.Type = Object.self)
    -> Object
  {
    let raw = unsafe raw(position)
    guard let object = unsafe raw.pointer?.assumingMemoryBound(to: gate_object.self) else {
      preconditionFailure("argument \(position) is no object")
    }
    return unsafe Self.downcast(object)
  }

  /// The handle that a method or property was called on.
  public var handle: LuaHandle {
    guard let object = unsafe call.pointee.`self`,
      let handle = unsafe core.handle(of: object.pointee)
    else { preconditionFailure("not a method") }
    return handle
  }

  /// The Swift object that a method or property was called on.
  public func object<Object: AnyObject>(as type: Object.Type = Object.self) -> Object {
    guard let object = unsafe call.pointee.`self` else { preconditionFailure("not a method") }
    return unsafe Self.downcast(object)
  }

  /// The index of the handle that a method or property was called on.
  public var index: Int { unsafe Int(call.pointee.`self`?.pointee.index ?? 0) }

  private static func downcast<Object: AnyObject>(_ object: UnsafePointer<gate_object>) -> Object {
    guard let held = unsafe object.pointee.object else { preconditionFailure("closed object") }
    let any = unsafe Unmanaged<AnyObject>.fromOpaque(held).takeUnretainedValue()
    // The declared class needs no cast: no object of another is ever made.
    if unsafe object.pointee.type.pointee.tag
      == UInt64(UInt(bitPattern: ObjectIdentifier(Object.self)))
    {
      return unsafe unsafeDowncast(any, to: Object.self)
    }
    guard let cast = any as? Object else { preconditionFailure("object is no \(Object.self)") }
    return cast
  }

  private static func downcast<Object: AnyObject>(_ object: UnsafeMutablePointer<gate_object>)
    -> Object
  {
    unsafe downcast(UnsafePointer(object))
  }
}

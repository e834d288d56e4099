// Building results. They go into the session's arena; C pushes them after the body has returned,
// because a push may raise.

internal import CLuaGate

extension LuaCall {
  public func returns(_ value: Int) { unsafe gate_return_integer(call, Int64(value)) }
  public func returns(_ value: Double) { unsafe gate_return_number(call, value) }
  public func returns(_ value: Bool) { unsafe gate_return_boolean(call, value) }
  public func returnsNil() { unsafe gate_return_nil(call) }

  public func returns(_ value: String) {
    var value = value
    value.withUTF8 { unsafe gate_return_string(call, $0.baseAddress, $0.count) }
  }

  /// Returns an object of a declared type.
  ///
  /// - Precondition: The type is declared and `handle.object` is of its class.
  public func returns(_ handle: LuaHandle) {
    guard let type = unsafe core.types[handle.typeName] else {
      preconditionFailure("type \(handle.typeName) is not declared")
    }
    let wanted: AnyObject.Type = type.declaration.objectClass
    precondition(
      Swift.type(of: handle.object) == wanted || isKind(handle.object, wanted),
      "a \(handle.typeName) must hold a \(wanted)")
    unsafe gate_return_object(
      call, type.native, Unmanaged.passRetained(handle.object).toOpaque(), UInt64(handle.index),
      handle.generation)
  }

  private func isKind(_ object: AnyObject, _ wanted: AnyObject.Type) -> Bool {
    // The tag of the declared class licenses an unchecked cast, so subclasses must be real ones.
    var current: AnyClass? = Swift.type(of: object)
    while let candidate = current {
      if candidate == wanted { return true }
      current = _getSuperclass(candidate)
    }
    return false
  }

  public func returns(_ value: LuaValue) {
    switch value {
    case .nil: returnsNil()
    case .boolean(let value): returns(value)
    case .integer(let value): unsafe gate_return_integer(call, value)
    case .number(let value): returns(value)
    case .string(let value): returns(value)
    case .table(let table): returns(table)
    case .object(let handle): returns(handle)
    case .function(let reference): unsafe gate_return_reference(call, reference.slot)
    case .other: returnsNil()
    }
  }

  public func returns(_ table: LuaTable) { returns(table, refusal: false) }

  private func returns(_ table: LuaTable, refusal: Bool) {
    unsafe gate_begin_table(call, Int32(table.elements.count), Int32(table.fields.count))
    for (position, element) in table.elements.enumerated() {
      returns(element)
      unsafe gate_set_index(call, Int64(position + 1))
    }
    for (name, value) in table.fields {
      returns(value)
      var name = name
      name.withUTF8 {
        unsafe gate_set_field(call, $0.baseAddress ?? UnsafePointer(bitPattern: 1)!, $0.count)
      }
    }
    unsafe gate_end_table(call, refusal)
  }

  /// Returns `nil, err`: what the modelled system refuses.
  ///
  /// `err` has the fields `errno`, `message` and `rule`, and reads `ENOMEM message` as text.
  ///
  /// - Parameter details: More fields of `err`.
  public func refuse(
    errno: String, message: String, rule: String? = nil,
    fields details: [(name: String, value: LuaValue)] = []
  ) {
    returnsNil()
    unsafe core.refusal = "\(errno)  \(message)"
    var fields: [(name: String, value: LuaValue)] = [
      ("errno", .string(errno)), ("message", .string(message)),
    ]
    if let rule { fields.append(("rule", .string(rule))) }
    returns(LuaTable(fields: fields + details), refusal: true)
  }

  func fail(_ failure: LuaFailure) {
    unsafe call.pointee.failure_has_position = failure.hasPosition
    var message = failure.message
    message.withUTF8 { unsafe gate_fail(call, $0.baseAddress, $0.count) }
  }

  /// Writes to the session's output, like `print` without the newline.
  public func write(_ text: String) { unsafe core.sink(text) }

  /// Tells Lua's collector of memory that it cannot see, so that it collects sooner: the bytes that
  /// the objects returned by this call keep alive.
  public func hintMemory(bytes: Int) { unsafe call.pointee.pressure += Int64(bytes) }

  /// Gives back what the object this method was called on holds.
  ///
  /// Every later use of it in Lua is an error that says so.
  ///
  /// The Swift object lives on while the body holds it.
  public func closeObject() {
    guard let object = unsafe call.pointee.`self` else { return }
    unsafe gate_close_object(call.pointee.session, object)
  }
}

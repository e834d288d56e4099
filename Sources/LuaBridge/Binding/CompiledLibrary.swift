// Turning declarations into the tables that the C gate checks arguments with.
//
// Invariant: what is built here is never changed and lives as long as the session core, so the gate
// may keep pointers to it in Lua.

internal import CLuaGate

/// A declared type and its C twin.
@safe final class CompiledType {
  let declaration: LuaType
  let native: UnsafeMutablePointer<gate_type>

  init(_ declaration: LuaType, _ native: UnsafeMutablePointer<gate_type>) {
    self.declaration = declaration
    unsafe self.native = native
  }
}

/// A declaration and how scripts write it: `machine` or `machine:pin`.
struct DeclaredFunction {
  let path: String
  let owner: LuaType?
  let function: LuaFunction
}

/// What a C function pointer leads back to.
@safe final class BodyBox {
  let body: LuaFunction.Body
  unowned(unsafe) let core: SessionCore

  init(_ body: @escaping LuaFunction.Body, _ core: SessionCore) {
    self.body = body
    unsafe self.core = core
  }
}

private func dispatch(
  _ context: UnsafeMutableRawPointer, _ call: UnsafeMutablePointer<gate_call>
) -> Int32 {
  unsafe Unmanaged<BodyBox>.fromOpaque(context)._withUnsafeGuaranteedRef { box in
    var luaCall = unsafe LuaCall(call, box.core)
    do throws(LuaFailure) {
      try box.body(&luaCall)
    } catch {
      if unsafe call.pointee.next_continuation != nil { return Int32(GATE_YIELD) }
      luaCall.fail(error)
      return Int32(GATE_FAILED)
    }
    return unsafe call.pointee.next_continuation == nil ? Int32(GATE_DONE) : Int32(GATE_YIELD)
  }
}

extension SessionCore {
  /// Compiles and registers a library.
  ///
  /// - Precondition: Its type names are new to the session, and every type it mentions is declared.
  func register(_ library: LuaLibrary) {
    libraries.append(library)
    for type in library.types {
      precondition(types[type.name] == nil, "type \(type.name) is declared twice")
      let native = unsafe memory.array([gate_make_type(memory.string(type.name))])
      let compiled = unsafe CompiledType(type, native)
      types[type.name] = compiled
      unsafe native.pointee.tag = UInt64(UInt(bitPattern: ObjectIdentifier(type.objectClass)))
      unsafe native.pointee.context = memory.keep(compiled)
    }
    for type in library.types {
      guard let compiled = types[type.name] else { continue }
      fill(compiled)
      guard unsafe gate_register_type(session, compiled.native) else {
        fatalError("no memory for the type \(type.name)")
      }
    }
    for function in library.functions {
      let native = unsafe compile(function, path: function.name, owner: nil)
      guard unsafe gate_register_function(session, function.name, native) else {
        fatalError("no memory for the function \(function.name)")
      }
    }
    for key in library.hexKeys {
      guard unsafe gate_show_in_hex(session, key) else {
        fatalError("no memory for the key \(key)")
      }
    }
  }

  private func fill(_ compiled: CompiledType) {
    let type = compiled.declaration
    let native = unsafe compiled.native
    let methods = unsafe ([helpMethod(of: type)] + type.methods).map { method in
      unsafe UnsafePointer(
        compile(method, path: "\(type.name):\(method.name)", owner: compiled)) as Optional
    }
    unsafe native.pointee.methods = UnsafePointer(memory.array(methods))
    unsafe native.pointee.method_count = Int32(methods.count)

    let getters = unsafe type.properties.map { property in
      unsafe UnsafePointer(
        compile(LuaFunction(property.name, doc: property.doc, body: property.get), owner: compiled))
        as Optional
    }
    unsafe native.pointee.getters = UnsafePointer(memory.array(getters))
    unsafe native.pointee.getter_count = Int32(getters.count)

    let setters = unsafe type.properties.compactMap { property in
      unsafe property.set.map { set in
        let parameter = LuaParameter(property.name, property.type)
        let function = LuaFunction(
          property.name, .positional, [parameter], doc: property.doc, body: set)
        return unsafe UnsafePointer(compile(function, owner: compiled)) as Optional
      }
    }
    unsafe native.pointee.setters = UnsafePointer(memory.array(setters))
    unsafe native.pointee.setter_count = Int32(setters.count)
    fillMetamethods(compiled)
  }

  private func fillMetamethods(_ compiled: CompiledType) {
    let type = compiled.declaration
    let native = unsafe compiled.native
    func meta(
      _ name: String, _ parameters: [LuaParameter] = [], _ body: @escaping LuaFunction.Body
    ) -> UnsafePointer<gate_function> {
      unsafe UnsafePointer(
        compile(LuaFunction(name, .positional, parameters, doc: "", body: body), owner: compiled))
    }
    let other = LuaParameter("other", .object(type.name))
    if let display = type.display {
      unsafe native.pointee.display = meta("tostring") { call throws(LuaFailure) in
        call.returns(display(call.handle))
      }
    }
    if let length = type.length {
      unsafe native.pointee.length = meta("#") { call throws(LuaFailure) in
        call.returns(length(call.handle))
      }
    }
    if let equals = type.equals {
      unsafe native.pointee.equals = meta("==", [other]) { call throws(LuaFailure) in
        call.returns(equals(call.handle, call.handle(0)))
      }
    }
    if let less = type.less {
      unsafe native.pointee.less = meta("<", [other]) { call throws(LuaFailure) in
        call.returns(less(call.handle, call.handle(0)))
      }
    }
    if let element = type.element {
      unsafe native.pointee.element = meta("[]", [LuaParameter("index", .integer())], element)
    }
    if let close = type.close { unsafe native.pointee.close = meta("close", [], close) }
    if type.isLive != nil {
      unsafe native.pointee.is_live = { context, object, index, generation in
        guard let object = unsafe object else { return false }
        let compiled = unsafe Unmanaged<CompiledType>.fromOpaque(context).takeUnretainedValue()
        let handle = unsafe LuaHandle(
          compiled.declaration.name,
          Unmanaged<AnyObject>.fromOpaque(object).takeUnretainedValue(), index: Int(index),
          generation: UInt32(generation))
        return compiled.declaration.isLive?(handle) ?? true
      }
    }
  }

  @discardableResult
  private func compile(
    _ function: LuaFunction, path: String? = nil, owner: CompiledType?
  ) -> UnsafeMutablePointer<gate_function> {
    let parameters = unsafe function.parameters.map { unsafe compile($0) }
    let box = BodyBox(function.body, self)
    let native = unsafe memory.array([
      gate_function(
        name: memory.string(function.name), session: session, body: dispatch,
        context: memory.keep(box), owner: owner.map { unsafe UnsafePointer($0.native) },
        parameters: UnsafePointer(memory.array(parameters)),
        parameter_count: Int32(parameters.count), named: function.style == .named)
    ])
    if let path {
      unsafe functions[UnsafeRawPointer(native)] = DeclaredFunction(
        path: path, owner: owner?.declaration, function: function)
    }
    return unsafe native
  }

  private func compile(_ parameter: LuaParameter) -> gate_parameter {
    var native = unsafe gate_make_parameter(memory.string(parameter.name), GATE_ANY)
    unsafe native.optional = parameter.isOptional
    unsafe native.rest = parameter.isRest
    func names(_ names: [String]) {
      let pointers = unsafe names.map { unsafe memory.string($0) as Optional }
      unsafe native.names = unsafe UnsafeRawPointer(memory.array(pointers))
        .assumingMemoryBound(to: UnsafePointer<CChar>.self)
      unsafe native.name_count = Int32(names.count)
    }
    let kind: gate_kind
    switch parameter.type {
    case .any: kind = GATE_ANY
    case .boolean: kind = GATE_BOOLEAN
    case .integer(let range):
      kind = GATE_INTEGER
      unsafe (native.minimum, native.maximum) = (range.lowerBound, range.upperBound)
    case .number(let range):
      kind = GATE_NUMBER
      unsafe (native.number_minimum, native.number_maximum) = (range.lowerBound, range.upperBound)
    case .size(let range):
      kind = GATE_SIZE
      unsafe (native.minimum, native.maximum) = (range.lowerBound, range.upperBound)
    case .pfn:
      kind = GATE_PFN
      unsafe native.minimum = 0
    case .address: kind = GATE_ADDRESS
    case .string, .file: kind = GATE_STRING
    case .choice(let list):
      kind = GATE_ENUM
      names(list)
    case .flags(let list):
      precondition(list.count <= 63, "at most 63 flags")
      kind = GATE_FLAGS
      names(list)
    case .object(let name):
      kind = GATE_OBJECT
      guard let type = types[name] else { preconditionFailure("type \(name) is not declared") }
      unsafe native.type = UnsafePointer(type.native)
    case .anyObject: kind = GATE_ANY_OBJECT
    case .table: kind = GATE_TABLE
    case .function: kind = GATE_FUNCTION
    }
    unsafe native.kind = kind
    return unsafe native
  }
}

// help(): text for everything that is declared.

internal import CLuaGate

extension SessionCore {
  /// The global function `help`, in every session.
  func registerHelp() {
    let help = LuaFunction(
      "help", .positional,
      [
        LuaParameter(
          "what", .any, optional: true,
          "A function, an object, or a name such as \"machine\" or \"machine:pin\".")
      ],
      doc: "Explains a function, an object or a name; without an argument, lists them all.",
      example: "help(\"help\")"
    ) { [unowned self] call throws(LuaFailure) in
      call.write(try self.help(call))
    }
    register(LuaLibrary("lua", doc: "", functions: [help]))
  }

  /// The method `help` that every type has.
  func helpMethod(of type: LuaType) -> LuaFunction {
    LuaFunction("help", doc: "Explains this object.") { call throws(LuaFailure) in
      call.write(HelpText.describe(type))
    }
  }

  private func help(_ call: borrowing LuaCall) throws(LuaFailure) -> String {
    guard call.count > 0, call.isGiven(0) else { return HelpText.overview(libraries) }
    let index = unsafe call.raw(0).index
    let thread = unsafe call.call.pointee.L
    if let native = unsafe gate_function_at(thread, index),
      let declared = unsafe functions[UnsafeRawPointer(native)]
    {
      return HelpText.describe(declared)
    }
    switch call.value(0) {
    case .object(let handle):
      if let type = types[handle.typeName]?.declaration { return HelpText.describe(type) }
    case .string(let name):
      return try help(name)
    default: break
    }
    return "No help for \(call.display(0)). help() lists what there is.\n"
  }

  private func help(_ name: String) throws(LuaFailure) -> String {
    let name = name.replacingDot()
    var found = unsafe functions.values.filter { $0.path.replacingDot() == name }.map(
      HelpText.describe)
    if let type = types[name]?.declaration { found.append(HelpText.describe(type)) }
    if found.isEmpty {
      // A method by its bare name, on every type that has it.
      found = unsafe functions.values.filter {
        $0.owner != nil && $0.function.name == name && name != "help"
      }
      .sorted { $0.path < $1.path }.map(HelpText.describe)
    }
    if found.isEmpty { found = HelpText.properties(named: name, in: libraries) }
    guard found.isEmpty else { return found.joined(separator: "\n") }
    let known = unsafe functions.values.map(\.path) + types.keys
    if let near = NearestName.find(name, in: known) {
      throw LuaFailure("no help for '\(name)'; did you mean '\(near)'?")
    }
    throw LuaFailure("no help for '\(name)'; help() lists what there is")
  }
}

extension String {
  /// `type.method` written as `type:method`.
  fileprivate func replacingDot() -> String { String(map { $0 == "." ? ":" : $0 }) }
}

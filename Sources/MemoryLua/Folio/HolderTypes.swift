internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

extension MemoryLibrary {
  static func temporaryReferenceType() -> LuaType {
    holderType(
      "temp_ref", doc: "A plain reference to a page that somebody took for a while.",
      method: "release", methodDoc: "Gives the reference back.", kernel: ["folio_put"],
      rules: ["P1.1"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ ram = "1M", thp = "never" }
        vm:populate()
        ref = m:temp_ref(vm:page(0), "a scanner")
        ref:release()
        vm:page(0).ref --> 1
        """)
  }

  static func isolationType() -> LuaType {
    holderType(
      "isolation", doc: "A folio that somebody took off its LRU list.",
      method: "put_back", methodDoc: "Queues the folio for its LRU list again.",
      kernel: ["folio_putback_lru"], rules: ["P1.32"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ ram = "1M", thp = "never" }
        vm:populate()
        i = m:isolate(vm:page(0))
        i:put_back()
        m:drain_lru()
        vm:page(0).lru --> "active_anon"
        """)
  }

  private static func holderType(
    _ name: String, doc: String, method: String, methodDoc: String, kernel: [String],
    rules: [String], example: String
  ) -> LuaType {
    LuaType(
      name, MachineObject.self, doc: doc,
      properties: [
        LuaProperty("page", .object("page"), "The page that was asked for.") {
          call throws(LuaFailure) in
          call.returns(
            LuaHandle(
              "page", call.object(as: MachineObject.self), index: try held(call).page.index))
        },
        LuaProperty("holder", .string, "Who holds it.") { call throws(LuaFailure) in
          call.returns(try held(call).holder)
        },
        LuaProperty("operation", .integer(), "The operation that took it.") {
          call throws(LuaFailure) in
          call.returns(try held(call).operation)
        },
      ],
      methods: [
        LuaFunction(
          method, doc: methodDoc + " The object is stale afterwards.", kernel: kernel,
          rules: rules, example: example
        ) { call throws(LuaFailure) in
          let object = call.object(as: MachineObject.self)
          let id = call.index
          let step = Step("x1", kernel.first ?? name, "give back \(name) #\(id)")
          _ = try OperationRunner.atomic(object, call, "\(name) #\(id):\(method)", step) {
            machine in
            machine.putTemporaryReference(id)
            return .done(0)
          }
        }
      ],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        guard let held = object.machine.temporaryReference(handle.index) else {
          return "\(name) #\(handle.index), given back"
        }
        return "\(held.isIsolation ? "isolation" : "reference") of \(held.page), held by "
          + "\(held.holder) since operation \(held.operation)"
      },
      isLive: { handle in
        handle.owner(as: MachineObject.self).machine.temporaryReference(handle.index) != nil
      },
      close: { call in
        call.object(as: MachineObject.self).machine.putTemporaryReference(call.index)
      })
  }

  private static func held(_ call: borrowing LuaCall) throws(LuaFailure) -> TemporaryReference {
    guard
      let held = call.object(as: MachineObject.self).machine.temporaryReference(call.index)
    else { throw LuaFailure("it was given back") }
    return held
  }
}

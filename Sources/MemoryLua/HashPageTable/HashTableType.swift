internal import LuaBridge
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

extension MemoryLibrary {
  static func hashTableType() -> LuaType {
    LuaType(
      "hpt", MachineObject.self,
      doc: "The hash page table of a powerpc guest; it is freed when the guest exits.",
      properties: hashTableProperties,
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        guard let table = table(object, handle.index) else { return "hpt, freed" }
        let source =
          table.area.map { "CMA area '\(object.machine.cmaAreas[$0].name)'" } ?? "the buddy"
        return "hash page table of \(object.machine.spaces[handle.index].name): order "
          + "\(table.order), \(formatSize(1 << table.order)) at \(table.pfn) from \(source), "
          + "reverse map of \(table.reverseMapPages) pages"
      },
      isLive: { handle in table(handle.owner(as: MachineObject.self), handle.index) != nil })
  }

  static func table(_ object: MachineObject, _ space: Int) -> HashPageTable? {
    object.machine.spaces.indices.contains(space) ? object.machine.spaces[space].hashTable : nil
  }

  private static func number(
    _ name: String, _ doc: String, as type: LuaParameterType = .integer(),
    _ read: @escaping @Sendable (HashPageTable) -> Int
  ) -> LuaProperty {
    LuaProperty(name, type, doc) { call in
      guard let table = table(call.object(as: MachineObject.self), call.index) else {
        return call.returnsNil()
      }
      call.returns(read(table))
    }
  }

  private static var hashTableProperties: [LuaProperty] {
    [
      LuaProperty("guest", .object("guest"), "Whose it is.") { call in
        call.returns(
          LuaHandle("guest", call.object(as: MachineObject.self), index: call.index))
      },
      number("order", "log2 of its bytes.") { $0.order },
      number("bytes", "Its size in bytes.") { 1 << $0.order },
      number("pfn", "Its first frame.", as: .pfn) { $0.pfn.index },
      number("pages", "Its size in pages.") { $0.pages },
      LuaProperty(
        "area", .object("cma_area"), "The CMA area it is from; nil for a block of the buddy."
      ) { call in
        let object = call.object(as: MachineObject.self)
        guard let area = table(object, call.index)?.area else { return call.returnsNil() }
        call.returns(LuaHandle("cma_area", object, index: area))
      },
      number("reverse_map_pages", "Pages of its reverse map, which are not contiguous.") {
        $0.reverseMapPages
      },
    ]
  }

  // MARK: Making one

  static var hashTable: LuaFunction {
    LuaFunction(
      "hpt", .named,
      [
        LuaParameter("guest", .object("guest"), "The guest that it is for."),
        LuaParameter(
          "order", .integer(), optional: true,
          "log2 of its bytes, 18 to 46. Without it QEMU's choice: a 128th of the guest's RAM, rounded "
            + "up to a power of two."),
        LuaParameter(
          "default", .boolean, default: "false",
          "What the first run does when nobody asked for a size: order 24, and smaller ones down to "
            + "18."),
      ],
      returns: [LuaResult(.object("hpt"))],
      errors: [
        LuaErrno(
          "ENOMEM",
          "no contiguous memory for it, or none for its reverse map; err.blockers says who was in "
            + "the way of the last candidate"),
        LuaErrno("EINVAL", "the order is not between 18 and 46"),
      ],
      doc: """
        Gives a powerpc guest its hash page table, from the area kvm_cma or else from the buddy.

        A table of another order is freed first, one of the same order is kept and cleared. Boot \
        sets the area aside with machine{ arch = "ppc64", kvm_cma_resv_ratio = 5 }.
        """,
      kernel: ["kvmppc_alloc_reset_hpt", "kvmppc_allocate_hpt", "kvm_alloc_hpt_cma"],
      rules: ["P5.21", "P5.22", "P5.23"],
      example: """
        m = machine{ arch = "ppc64", ram = "8G", kvm_cma_resv_ratio = 5 }
        vm = m:guest{ ram = "1G" }
        m:hpt{ guest = vm, order = 25 }.pages --> 512
        m:cma("kvm_cma").used --> 512
        vm:exit()
        m:cma("kvm_cma").used --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      guard call.isGiven(0) else {
        throw LuaFailure("bad field 'guest' in 'hpt' (it is needed, such as guest = vm)")
      }
      let handle = call.handle(0)
      guard handle.object === object else {
        throw LuaFailure("bad field 'guest' in 'hpt' (it runs on another machine)")
      }
      try checkHashTables(object, "hpt")
      let isDefault = call.boolean(2, default: false)
      if isDefault, call.isGiven(1) {
        throw LuaFailure("bad field 'default' in 'hpt' (give either an order or default = true)")
      }
      let ram = object.machine.spaces[handle.index].ram.count << object.machine.geometry.pageShift
      let order = call.isGiven(1) ? call.integer(1) : HashPageTable.order(forRAM: ram)
      try makeHashTable(
        object, space: handle.index, order: isDefault ? nil : order, &call
      ) { call in
        call.returns(LuaHandle("hpt", object, index: handle.index))
      }
    }
  }

  static func checkHashTables(_ object: MachineObject, _ function: String) throws(LuaFailure) {
    guard object.machine.geometry == .ppc64 else {
      throw LuaFailure(
        "\(function): hash page tables are powerpc's; boot machine{ arch = \"ppc64\" }")
    }
  }

  /// Makes a table and goes on with `success`, or refuses with who was in the way.
  ///
  /// - Parameter isStartOfGuest: Part of a call that did something before, so it cannot be taken in steps.
  /// - Returns: Whether there is one.
  @discardableResult
  static func makeHashTable(
    _ object: MachineObject, space: Int, order: Int?, _ call: inout LuaCall,
    isStartOfGuest: Bool = false, _ success: (inout LuaCall) -> Void
  ) throws(LuaFailure) -> Bool {
    var operation = HashTableAllocation(space: space, order: order)
    let waited: String?
    if isStartOfGuest {
      // The guest exists by now, and starting it again after each step would make another.
      waited = try OperationRunner.perform(object, call, space: space) { () throws(LuaFailure) in
        OperationRunner.run(&operation, object, call)
      }
    } else {
      let fresh = operation
      (operation, waited) = try OperationRunner.call(
        object, call, "\(object.machine.spaces[space].name):hpt", space: space
      ) { () throws(LuaFailure) in fresh }
    }
    switch operation.outcome {
    case .success:
      success(&call)
      return true
    case .failure(let refusal):
      let message = waited.map { "\(refusal.message): \($0)" } ?? refusal.message
      guard let last = operation.last else {
        call.refuse(errno: refusal.errno.name, message: message, rule: refusal.rule)
        return false
      }
      refuse(
        call, Refusal(refusal.errno, message, rule: refusal.rule),
        object.machine.blockers(in: last), object)
      return false
    case nil:
      call.refuse(Refusal(.EINTR, "hpt: \(waited ?? "killed")", rule: "P5.21"))
      return false
    }
  }
}

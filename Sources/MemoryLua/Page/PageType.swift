internal import LuaBridge
internal import MemoryModel

extension MemoryLibrary {
  static func pageType() -> LuaType {
    LuaType(
      "page", MachineObject.self,
      doc: "A page frame: where it is, and what it is part of right now.",
      properties: pageProperties, methods: [free],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        let pfn = PFN(handle.index)
        var text = "\(pfn) \(state(pfn, object))"
        if let block = object.machine.block(containing: pfn) {
          text += ", order \(block.state.order)"
          if block.start != pfn { text += " block at 0x\(String(block.start.rawValue, radix: 16))" }
        }
        if let zone = object.machine.frames.zone(of: pfn) {
          text +=
            ", \(object.machine.frames.migrateType(pfn).name) pageblock of "
            + object.machine.zone(zone).index.name
        }
        return text
      })
  }

  /// What a frame is: `free`, `pcp`, `allocated`, `pool`, `reserved` or `hole`.
  static func state(_ pfn: PFN, _ object: MachineObject) -> String {
    guard object.machine.isMemory(pfn) else { return "hole" }
    switch object.machine.block(containing: pfn)?.state.kind {
    case .free: return "free"
    case .perCPU: return "pcp"
    case .allocated: return "allocated"
    case .hugePool: return "pool"
    case .some(FrameState.Kind.none), nil: return "reserved"
    }
  }

  private static var pageProperties: [LuaProperty] {
    [
      LuaProperty("pfn", .pfn, "Its page frame number.") { call in call.returns(call.index) },
      LuaProperty("address", .address, "Its physical address.") { call in
        call.returns(
          call.index << call.object(as: MachineObject.self).machine.geometry.pageShift)
      },
      LuaProperty(
        "state", .string,
        "free (buddy), pcp (a per-CPU list), allocated, pool (a free huge page), reserved, or hole."
      ) { call in
        call.returns(state(PFN(call.index), call.object(as: MachineObject.self)))
      },
      LuaProperty("order", .integer(), "The order of the block it lies in; nil in none.") { call in
        let object = call.object(as: MachineObject.self)
        guard let block = object.machine.block(containing: PFN(call.index)) else {
          return call.returnsNil()
        }
        call.returns(block.state.order)
      },
      LuaProperty("block", .object("page"), "The first page of its block; nil in none.") { call in
        let object = call.object(as: MachineObject.self)
        guard let block = object.machine.block(containing: PFN(call.index)) else {
          return call.returnsNil()
        }
        call.returns(LuaHandle("page", object, index: block.start.index))
      },
      LuaProperty("migratetype", .string, "The type of its pageblock.") { call in
        let object = call.object(as: MachineObject.self)
        call.returns(object.machine.frames.migrateType(PFN(call.index)).name)
      },
      LuaProperty("pageblock", .object("pageblock"), "Its pageblock.") { call in
        let object = call.object(as: MachineObject.self)
        call.returns(
          LuaHandle(
            "pageblock", object,
            index: call.index >> object.machine.geometry.pageblockOrder))
      },
      LuaProperty("zone", .object("zone"), "Its zone; nil outside of all.") { call in
        let object = call.object(as: MachineObject.self)
        guard let zone = object.machine.frames.zone(of: PFN(call.index)) else {
          return call.returnsNil()
        }
        call.returns(LuaHandle("zone", object, index: zone))
      },
      LuaProperty("folio", .object("folio"), "The folio it belongs to; nil in none.") { call in
        let object = call.object(as: MachineObject.self)
        guard let folio = object.machine.folio(of: PFN(call.index)) else {
          return call.returnsNil()
        }
        call.returns(LuaHandle("folio", object, index: folio.head.index))
      },
      LuaProperty(
        "mapcount", .integer(), "Entries that show just this page, or a leaf around it."
      ) { call in
        let object = call.object(as: MachineObject.self)
        let pfn = PFN(call.index)
        guard let folio = object.machine.folio(of: pfn) else { return call.returns(0) }
        call.returns(object.machine.pageMappings(pfn) + object.machine.entireMappings(folio))
      },
    ] + holderProperties
  }

  private static var free: LuaFunction {
    LuaFunction(
      "free", doc: "Gives the block that starts here back; the same as m:free_pages(page).",
      kernel: ["__free_pages"], rules: ["A3.14"],
      example: """
        p = machine{ ram = "64M" }:alloc_pages(2)
        p:free()
        p.state --> "pcp"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      try Arguments.free(PFN(call.index), order: nil, object, call, function: "free")
    }
  }
}

internal import LuaBridge
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func pageblockType() -> LuaType {
    LuaType(
      "pageblock", MachineObject.self,
      doc: "The unit that has a migratetype: 512 pages on x86_64.",
      properties: [
        LuaProperty("pfn", .pfn, "Its first frame.") { call in
          let order = call.object(as: MachineObject.self).machine.geometry.pageblockOrder
          call.returns(call.index << order)
        },
        LuaProperty("type", .string, "Its migratetype.") { call in
          call.returns(summary(call.handle).type.name)
        },
        LuaProperty("zone", .object("zone"), "Its zone; nil outside of all.") { call in
          guard let zone = summary(call.handle).zone else { return call.returnsNil() }
          call.returns(LuaHandle("zone", call.handle.object, index: zone))
        },
        count("free", "Pages on the buddy lists.") { $0.free },
        count("pcp", "Pages on per-CPU lists.") { $0.perCPU },
        count("allocated", "Pages in use.") { $0.allocated },
        count("reserved", "Pages that boot kept.") { $0.reserved },
        count("movable", "Pages on an LRU list or driver-movable: what the claim rule counts.") {
          $0.lru + $0.driverMovable
        },
      ],
      methods: [],
      display: { handle in
        let block = summary(handle)
        return "pageblock at 0x\(String(block.start.rawValue, radix: 16)) \(block.type.name): "
          + "\(block.free) free, \(block.perCPU) on per-CPU lists, \(block.allocated) allocated, "
          + "\(block.reserved) reserved"
      })
  }

  private static func count(
    _ name: String, _ doc: String, _ read: @escaping @Sendable (PageblockSummary) -> Int
  ) -> LuaProperty {
    LuaProperty(name, .integer(), doc) { call in call.returns(read(summary(call.handle))) }
  }

  private static func summary(_ handle: LuaHandle) -> PageblockSummary {
    PageblockReader.summary(
      of: PFN(handle.index << handle.owner(as: MachineObject.self).machine.geometry.pageblockOrder),
      handle.owner(as: MachineObject.self).machine)
  }
}

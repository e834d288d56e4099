internal import LuaBridge
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func zoneType() -> LuaType {
    LuaType(
      "zone", MachineObject.self,
      doc: "One zone of one node: its extent, marks, counters and lists.",
      properties: zoneProperties, methods: [freeList, perCPU],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        let zone = object.machine.zone(handle.index)
        let size = object.machine.geometry.pageSize
        guard zone.spanned > 0 else {
          return "zone \(zone.index.name) of node \(zone.node): no memory"
        }
        return "zone \(zone.index.name) of node \(zone.node): "
          + "pfn [0x\(String(zone.start, radix: 16)), 0x\(String(zone.end, radix: 16))), "
          + "\(formatSize(zone.managed * size)) managed, "
          + "\(object.machine.freePagesSnapshot(handle.index)) pages free"
      })
  }

  private static func number(
    _ name: String, _ doc: String, as type: LuaParameterType = .integer(),
    _ read: @escaping @Sendable (Zone) -> Int
  ) -> LuaProperty {
    LuaProperty(name, type, doc) { call in
      call.returns(read(call.object(as: MachineObject.self).machine.zone(call.index)))
    }
  }

  private static var zoneProperties: [LuaProperty] {
    [
      LuaProperty("name", .string, "DMA, DMA32, Normal, Movable or Device.") { call in
        call.returns(call.object(as: MachineObject.self).machine.zone(call.index).index.name)
      },
      LuaProperty("node", .object("node"), "The node it belongs to.") { call in
        let object = call.object(as: MachineObject.self)
        call.returns(
          LuaHandle("node", object, index: object.machine.zone(call.index).node))
      },
      number("start_pfn", "Its first frame.", as: .pfn) { $0.start },
      number("end_pfn", "The frame behind its last one.", as: .pfn) { $0.end },
      number("spanned", "Frames from start to end, holes included.") { $0.spanned },
      number("present", "Pages of memory.") { $0.present },
      number("managed", "Pages that the allocator was given.") { $0.managed },
      number("cma_pages", "Pages in CMA areas.") { $0.cmaPages },
      number("min", "The min watermark in pages, boost included.") { $0.watermark(0) },
      number("low", "The low watermark in pages, boost included.") { $0.watermark(1) },
      number("high", "The high watermark in pages, boost included.") { $0.watermark(2) },
      number("promo", "The promo watermark in pages, boost included.") { $0.watermark(3) },
      number("boost", "watermark_boost in pages.") { $0.watermarkBoost },
      number("nr_free_pages", "The global counter, as the watermark tests see it: it lags.") {
        $0.freePages
      },
      number("reserved_highatomic", "Pages in HighAtomic pageblocks.") { $0.reservedHighAtomic },
      number("stat_threshold", "How far a CPU's counter may run ahead.") { $0.statThreshold },
      LuaProperty("free", .integer(), "Pages on the free lists, exactly.") { call in
        call.returns(
          call.object(as: MachineObject.self).machine.freePagesSnapshot(call.index))
      },
      LuaProperty("free_cma", .integer(), "Free pages in CMA pageblocks, exactly.") { call in
        call.returns(call.object(as: MachineObject.self).machine.freeCMASnapshot(call.index))
      },
      LuaProperty("below_high", .boolean, "The flag ZONE_BELOW_HIGH (rule A4.3).") { call in
        let zone = call.object(as: MachineObject.self).machine.zone(call.index)
        call.returns(zone.flags.contains(.belowHigh))
      },
      LuaProperty(
        "lowmem_reserve", .table,
        "Pages held back from requests for DMA, DMA32, Normal, Movable, Device."
      ) { call in
        let zone = call.object(as: MachineObject.self).machine.zone(call.index)
        call.returns(
          LuaTable((0..<ZoneIndex.count).map { .integer(Int64(zone.lowmemReserve[$0])) }))
      },
    ]
  }

  private static var freeList: LuaFunction {
    LuaFunction(
      "free_list", .positional,
      [
        LuaParameter("order", .integer(0...10)),
        LuaParameter("type", .choice(MigrateType.allCases.map(\.name))),
        LuaParameter("limit", .integer(1...(1 << 24)), default: "1024", "How many at the most."),
      ],
      returns: [LuaResult(.table, "First pfns, the next to be taken first.")],
      doc: "The blocks of a free list, from head to tail.",
      rules: ["A0.3"],
      example: "machine{ ram = \"64M\" }:zone(\"DMA32\"):free_list(10, \"Movable\")[1] --> 4096"
    ) { call in
      let object = call.object(as: MachineObject.self)
      let order = call.integer(0)
      guard order <= object.machine.geometry.maxOrder else { return call.returns(LuaTable()) }
      let list = object.machine.zone(call.index).freeList(
        order: order, MigrateType.allCases[call.integer(1)])
      var elements: [LuaValue] = []
      var next = object.machine.frames.first(list)
      while let pfn = next, elements.count < call.integer(2, default: 1024) {
        elements.append(.integer(Int64(pfn.rawValue)))
        next = object.machine.frames.next(pfn, order: order)
      }
      call.returns(LuaTable(elements))
    }
  }

  private static var perCPU: LuaFunction {
    LuaFunction(
      "pcp", .positional, [LuaParameter("cpu", .integer(0...255), default: "the current one")],
      returns: [LuaResult(.table, "count, high, high_min, high_max, batch, …, and lists.")],
      doc: "A CPU's lists of this zone, with every field of struct per_cpu_pages.",
      kernel: ["struct per_cpu_pages"], rules: ["A5.1", "A5.2"],
      example: "machine{ ram = \"64M\" }:zone(\"DMA32\"):pcp(0).batch --> 1"
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let cpu = try Arguments.cpu(
        call.integer(0, default: object.machine.currentCPU), object)
      let pages = object.machine.perCPUPages(zone: call.index, cpu: cpu)
      var lists: [(name: String, value: LuaValue)] = []
      for index in 0..<PerCPUPages.listCount where !pages.list(index).isEmpty {
        let order = PerCPUList.order(
          index, pageblockOrder: object.machine.geometry.pageblockOrder)
        let blocks = object.machine.frames.blocks(pages.list(index))
        let type =
          index < 12 ? MigrateType.allCases[index % 3].name : index == 13 ? "Movable" : "other"
        lists.append(
          (
            "\(order) \(type)",
            .table(LuaTable(blocks.map { .integer(Int64($0.rawValue)) }))
          ))
      }
      call.returns(
        LuaTable(fields: [
          ("count", .integer(Int64(pages.count))), ("high", .integer(Int64(pages.high))),
          ("high_min", .integer(Int64(pages.highMin))),
          ("high_max", .integer(Int64(pages.highMax))), ("batch", .integer(Int64(pages.batch))),
          ("alloc_factor", .integer(Int64(pages.allocFactor))),
          ("free_count", .integer(Int64(pages.freeCount))),
          ("expire", .integer(Int64(pages.expire))),
          ("lists", .table(LuaTable(fields: lists))),
        ]))
    }
  }
}

internal import LuaBridge
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

extension MemoryLibrary {
  static func readingMethods(_ context: MemoryContext) -> [LuaFunction] {
    [
      zones, zone, nodes, node, page, pageblock, map(context),
      text(
        "buddyinfo", "/proc/buddyinfo: free blocks of each order, zone by zone.", "frag_show_print",
        "A8.1", ProcText.buddyinfo),
      text(
        "pagetypeinfo", "/proc/pagetypeinfo: free blocks by migratetype, and pageblocks by type.",
        "pagetypeinfo_show", "A8.2", ProcText.pagetypeinfo),
      text(
        "zoneinfo", "/proc/zoneinfo: marks, counters and per-CPU lists of each zone.",
        "zoneinfo_show", "A8.3", ProcText.zoneinfo),
      vmstat, trace, check,
    ]
  }

  private static func text(
    _ name: String, _ doc: String, _ function: String, _ rule: String,
    _ render: @escaping @Sendable (borrowing Machine) -> String
  ) -> LuaFunction {
    LuaFunction(
      name, returns: [LuaResult(.string, "The file's text, byte for byte.")], doc: doc,
      kernel: [function], rules: [rule],
      example: "print(machine{ ram = \"64M\" }:\(name)())"
    ) { call in call.returns(render(call.object(as: MachineObject.self).machine)) }
  }

  private static var zones: LuaFunction {
    LuaFunction(
      "zones", returns: [LuaResult(.table, "The zones with memory, node by node.")],
      doc: "The zones that have memory.", kernel: ["for_each_populated_zone"], rules: ["A1.1"],
      example: "#machine{ ram = \"64M\" }:zones() --> 2"
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(
          object.machine.populatedZones.map { .object(LuaHandle("zone", object, index: $0)) }))
    }
  }

  private static var zone: LuaFunction {
    LuaFunction(
      "zone", .positional,
      [
        LuaParameter("name", .choice(ZoneIndex.allCases.map(\.name))),
        LuaParameter("node", .integer(0...31), default: "0"),
      ],
      returns: [LuaResult(.object("zone"))], doc: "A zone by its name.", rules: ["A1.1"],
      example: "machine{ ram = \"64M\" }:zone(\"DMA32\").managed"
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let node = call.integer(1, default: 0)
      guard node < object.machine.nodeCount else {
        throw LuaFailure(
          "there is no node \(node); this machine has 0 to \(object.machine.nodeCount - 1)")
      }
      call.returns(
        LuaHandle("zone", object, index: node * ZoneIndex.count + call.integer(0)))
    }
  }

  private static var nodes: LuaFunction {
    LuaFunction(
      "nodes", returns: [LuaResult(.table)], doc: "The NUMA nodes.",
      example: "#machine{ nodes = { \"64M\", \"64M\" } }:nodes() --> 2"
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(
          (0..<object.machine.nodeCount).map { .object(LuaHandle("node", object, index: $0)) }))
    }
  }

  private static var node: LuaFunction {
    LuaFunction(
      "node", .positional, [LuaParameter("id", .integer(0...31), default: "0")],
      returns: [LuaResult(.object("node"))], doc: "A NUMA node by its number.",
      example: "machine{ nodes = { \"64M\", \"64M\" } }:node(1).id --> 1"
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let id = call.integer(0, default: 0)
      guard id < object.machine.nodeCount else {
        throw LuaFailure(
          "there is no node \(id); this machine has 0 to \(object.machine.nodeCount - 1)")
      }
      call.returns(LuaHandle("node", object, index: id))
    }
  }

  private static var page: LuaFunction {
    LuaFunction(
      "page", .positional, [LuaParameter("pfn", .pfn)],
      returns: [LuaResult(.object("page"))], doc: "A page by its page frame number.",
      kernel: ["pfn_to_page"],
      example: "machine{ ram = \"64M\" }:page(0x10).state --> \"reserved\""
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pfn = try Arguments.pfn(call.value(0), object, function: "page", name: "pfn")
      call.returns(LuaHandle("page", object, index: pfn.index))
    }
  }

  private static var pageblock: LuaFunction {
    LuaFunction(
      "pageblock", .positional, [LuaParameter("page", .any, "A page, or a pfn in the pageblock.")],
      returns: [LuaResult(.object("pageblock"))], doc: "The pageblock that a page lies in.",
      kernel: ["get_pageblock_migratetype"], rules: ["A0.1", "A1.7"],
      example: "machine{ ram = \"64M\" }:pageblock(0x1000).type --> \"Movable\""
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pfn = try Arguments.pfn(call.value(0), object, function: "pageblock")
      call.returns(
        LuaHandle(
          "pageblock", object, index: pfn.index >> object.machine.geometry.pageblockOrder))
    }
  }

  private static func map(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "map", .named,
      [
        LuaParameter("columns", .integer(20...1000), default: "the terminal's width"),
        LuaParameter("color", .boolean, default: "as the prompt"),
        LuaParameter("legend", .boolean, default: "true"),
        LuaParameter(
          "pfn", .integer(0...Int64.max), optional: true, "Draw memory from this frame on."),
        LuaParameter("pages", .integer(1...Int64.max), optional: true, "Draw so many pages."),
        LuaParameter("area", .string, optional: true, "Draw the CMA area of this name."),
        LuaParameter(
          "blockers", .choice(["none", "cma_alloc", "offline", "alloc_contig"]), default: "none",
          "Point at the pages that such a call could not move away, and say whose they are."),
      ],
      returns: [LuaResult(.string, "The drawing.")],
      doc: """
        Draws physical memory: each zone a strip of cells, how full they are and what their \
        pageblocks are for.
        """,
      kernel: ["has_unmovable_pages", "isolate_migratepages_block"], rules: ["P5.12", "P6.1"],
      example: """
        m = machine{ ram = "64M", cma = "16M" }
        print(m:map{ columns = 60, color = false })
        print(m:map{ area = "reserved", blockers = "cma_alloc", color = false, legend = false })
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      var map = MemoryMap(
        columns: call.isGiven(0) ? call.integer(0) : context.columns(),
        color: call.boolean(1, default: context.color), unicode: context.unicode,
        legend: call.boolean(2, default: true))
      map.range = try mapRange(&call, object)
      guard call.isGiven(6), call.integer(6) > 0 else {
        return call.returns(map.text(object.machine))
      }
      let mode = [IsolationMode.cmaAllocation, .memoryOffline, .contiguousPages][
        call.integer(6) - 1]
      let range = map.range ?? PFNRange(0, object.machine.frames.count)
      let blockers = object.machine.blockers(in: range, for: mode)
      map.blocked = blockers.flatMap { $0.pages.map(\.pfn) }
      call.returns(
        map.text(object.machine) + blockersText(blockers, object).dropFirst().description
          + (map.blocked.isEmpty ? "" : "\n"))
    }
  }

  /// The frames that the fields pfn, pages and area of `map` mean; nil for all.
  private static func mapRange(
    _ call: inout LuaCall, _ object: MachineObject
  ) throws(LuaFailure) -> PFNRange? {
    let all = PFNRange(0, object.machine.frames.count)
    if call.isGiven(5) {
      guard !call.isGiven(3), !call.isGiven(4) else {
        throw LuaFailure("map: give either an area, or pfn and pages")
      }
      return object.machine.cmaAreas[try area(call.string(5), object)].range
    }
    guard call.isGiven(3) || call.isGiven(4) else { return nil }
    let start = call.integer(3, default: 0)
    let pages = call.integer(4, default: all.end)
    let range = PFNRange(start, start + min(pages, all.end)).intersection(all)
    guard object.machine.memory.pages(in: range) > 0 else {
      throw LuaFailure(
        "map: there is no memory from pfn 0x\(String(start, radix: 16)) on; it ends at "
          + "0x\(String(all.end, radix: 16))")
    }
    return range
  }

  private static var vmstat: LuaFunction {
    LuaFunction(
      "vmstat", .named,
      [
        LuaParameter(
          "since", .object("machine"), optional: true,
          "An earlier fork: print only what changed since, with signs."),
        LuaParameter(
          "table", .boolean, default: "false", "Return numbers by name instead of text."),
      ],
      returns: [LuaResult(.any, "/proc/vmstat's text, or a table of numbers.")],
      doc: "/proc/vmstat: the counters of zones, nodes and events.",
      kernel: ["vmstat_show"], rules: ["A8.4", "A8.10"],
      example: """
        m = machine{ ram = "64M" }
        before = m:fork()
        m:alloc_pages(0)
        m:vmstat{ since = before, table = true }.pgalloc_dma32 --> 1
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      guard call.isGiven(0) || call.boolean(1) else {
        return call.returns(ProcText.vmstat(object.machine))
      }
      var values = ProcText.vmstatValues(object.machine)
      if call.isGiven(0) {
        let earlier = ProcText.vmstatValues(call.object(0, as: MachineObject.self).machine)
        values = zip(values, earlier).map { ($0.name, $0.value - $1.value) }
      }
      if call.boolean(1) {
        return call.returns(
          LuaTable(fields: values.map { ($0.name, .integer(Int64($0.value))) }))
      }
      let changed = values.filter { $0.value != 0 }
      call.returns(
        changed.map { "\($0.name) \($0.value > 0 ? "+" : "")\($0.value)\n" }.joined())
    }
  }

  private static var trace: LuaFunction {
    LuaFunction(
      "trace", .named,
      [
        LuaParameter("last", .integer(0...(1 << 16)), default: "all", "Only the last events."),
        LuaParameter("clear", .boolean, default: "false", "Forget the events afterwards."),
      ],
      returns: [LuaResult(.string, "One line an event.")],
      doc: """
        What happened, as ftrace prints it. The ring holds the last 65,536 events.

        The clock counts events, and a page's address stands for its struct page.
        """,
      kernel: ["trace_mm_page_alloc", "trace_mm_page_free"], rules: ["A8.20"],
      example: """
        m = machine{ ram = "64M" }
        m:alloc_pages(0)
        print(m:trace{ last = 1 })
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      let total = object.machine.trace.total
      let first = call.isGiven(0) ? max(0, total - call.integer(0)) : 0
      call.returns(TraceText.lines(object.machine, from: first))
      if call.boolean(1) { object.machine.clearTrace() }
    }
  }

  private static var check: LuaFunction {
    LuaFunction(
      "check", returns: [LuaResult(.boolean, "true when every invariant holds.")],
      errors: [LuaErrno("EINVAL", "an invariant is broken; the message says which and where")],
      doc: """
        Verifies every invariant of the state: lists, counts, tables, pins, devices.

        What a kernel of old corrupted on the way (I4) is told first.
        """,
      rules: ["AI.1", "AI.3", "AI.6", "AI.7"],
      example: "machine{ ram = \"64M\" }:check() --> true"
    ) { call in
      let object = call.object(as: MachineObject.self)
      if let broken = object.machine.violations.first
        ?? object.machine.check(goesOn: { !call.shouldStop() })
        ?? object.machine.checkMemory(goesOn: { !call.shouldStop() })
      {
        call.refuse(errno: "EINVAL", message: broken)
      } else {
        call.returns(true)
      }
    }
  }
}

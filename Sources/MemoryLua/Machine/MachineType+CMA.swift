internal import LuaBridge
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

extension MemoryLibrary {
  static var areaMethods: [LuaFunction] { [cma, cmaAreas, cmaAlloc, cmaBuffers, dmesg] }

  private static var cma: LuaFunction {
    LuaFunction(
      "cma", .positional,
      [LuaParameter("name", .string, default: "the first one")],
      returns: [LuaResult(.object("cma_area"))], doc: "A CMA area by its name.",
      kernel: ["struct cma"], rules: ["P5.1"],
      example: "machine{ ram = \"64M\", cma = \"16M\" }:cma(\"reserved\").pages --> 4096"
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let name = call.isGiven(0) ? call.string(0) : nil
      call.returns(LuaHandle("cma_area", object, index: try area(name, object)))
    }
  }

  private static var cmaAreas: LuaFunction {
    LuaFunction(
      "cma_areas", returns: [LuaResult(.table, "The CMA areas, as they were declared at boot.")],
      doc: "All CMA areas.", kernel: ["cma_for_each_area"], rules: ["P5.1"],
      example: "#machine{ ram = \"64M\", cma = \"16M\" }:cma_areas() --> 1"
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(
          object.machine.cmaAreas.indices.map {
            .object(LuaHandle("cma_area", object, index: $0))
          }))
    }
  }

  static func area(_ name: String?, _ object: MachineObject) throws(LuaFailure) -> Int {
    guard !object.machine.cmaAreas.isEmpty else {
      throw LuaFailure(
        "this machine has no CMA area; boot it with one, such as machine{ cma = \"64M\" }")
    }
    guard let name else { return 0 }
    guard let index = object.machine.cmaArea(named: name) else {
      let names = object.machine.cmaAreas.map { "'\($0.name)'" }.joined(separator: ", ")
      throw LuaFailure("there is no CMA area '\(name)'; this machine has \(names)")
    }
    return index
  }

  private static var cmaAlloc: LuaFunction {
    LuaFunction(
      "cma_alloc", .positional,
      [
        LuaParameter("size", .any, "Pages, or a size such as \"1M\"."),
        LuaParameter(
          "options", .table, optional: true,
          "area: a name, the first one unless given. align: log2 of what the first pfn is a "
            + "multiple of, 0 unless given. no_warn: do not log a failure."),
      ],
      returns: [LuaResult(.object("cma_buffer"), "The pages.")],
      errors: [
        LuaErrno("ENOMEM", "the area has no such run of pages that nobody was given"),
        LuaErrno(
          "EBUSY",
          "each candidate has a page in use that does not move; err.blockers says who has those of "
            + "the last one"),
      ],
      doc: """
        Takes neighbouring pages out of a CMA area; pages that borrow them move away.

        A page in the way that does not move makes the call try the next candidate, `align` pages \
        on; what has moved stays where it is then, too.
        """,
      kernel: ["cma_alloc", "alloc_contig_range"], rules: ["A6.30", "P5.2", "P5.3"],
      example: """
        m = machine{ ram = "64M", cma = "16M" }
        buffer = m:cma_alloc("1M", { align = 8 })
        buffer.pages --> 256
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pages = try pages(call.value(0), object.machine.geometry.pageSize)
      let options = try Options(call.isGiven(1) ? call.value(1).table : nil)
      let index = try area(options.area, object)
      let (allocation, waited) = try OperationRunner.call(
        object, call, "cma_alloc"
      ) { () throws(LuaFailure) in
        do throws(MemoryError) {
          return try object.machine.cmaAllocation(
            area: index, pages: pages, alignment: options.align, noWarn: options.noWarn,
            isScripts: true)
        } catch {
          throw LuaFailure("cma_alloc: \(error.message)")
        }
      }
      guard let outcome = allocation.outcome else {
        throw LuaFailure("cma_alloc: \(waited ?? "it has no end")")
      }
      switch outcome.result {
      case .page(let pfn):
        let buffer = CMABufferObject(
          object, id: allocation.buffer ?? 0, area: index, pfn: pfn, pages: pages)
        call.returns(LuaHandle("cma_buffer", buffer))
      case .refused(let refusal):
        var blockers: [Blocker] = []
        if let last = outcome.last {
          blockers = object.machine.blockers(in: last)
        } else if pages <= object.machine.cmaAreas[index].pages {
          // No candidate: of whose pages only those matter that have bits set.
          let all = object.machine.blockers(in: object.machine.cmaAreas[index].range)
          blockers = all.filter { $0.holder == .cmaBuffer }
        }
        refuse(
          call, sizeRefusal(pages, object.machine.cmaAreas[index], object) ?? refusal, blockers,
          object)
      }
    }
  }

  private static var cmaBuffers: LuaFunction {
    LuaFunction(
      "cma_buffers", returns: [LuaResult(.table, "cma_buffer objects, oldest first.")],
      doc: "Every buffer of cma_alloc that was not released; a fork of the machine has its own.",
      kernel: ["cma_alloc"], rules: ["P5.6"],
      example: """
        m = machine{ ram = "64M", cma = "16M" }
        buffer = m:cma_alloc(16)
        f = m:fork()
        f:cma_buffers()[1]:release()
        #f:cma_buffers() --> 0
        buffer.released --> false
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(
          object.machine.cmaBuffers.map {
            .object(
              LuaHandle(
                "cma_buffer",
                CMABufferObject(object, id: $0.id, area: $0.area, pfn: $0.pfn, pages: $0.pages)))
          }))
    }
  }

  /// Why an area cannot hold what is asked for, in sizes as people say them; nil when it can.
  private static func sizeRefusal(
    _ pages: Int, _ area: Machine.CMAArea, _ object: MachineObject
  ) -> Refusal? {
    guard pages > area.pages else { return nil }
    let page = object.machine.geometry.pageSize
    func shown(_ pages: Int) -> String { "\(pages) pages (\(formatSize(pages * page)))" }
    return Refusal(
      .ENOMEM,
      "size is \(shown(pages)), and area '\(area.name)' has only \(shown(area.pages)); ask for less, "
        + "or boot with a larger area",
      rule: "P5.3")
  }

  private static func pages(_ value: LuaValue, _ pageSize: Int) throws(LuaFailure) -> Int {
    let pages: Int
    if let number = value.integer, value.string == nil {
      pages = Int(number)
    } else if case .string(let text) = value, let bytes = ByteSize.parse(text) {
      pages = bytes / pageSize + (bytes % pageSize == 0 ? 0 : 1)
    } else {
      throw LuaFailure(
        "bad argument #1 'size' to 'cma_alloc' (expected pages or a size such as \"1M\", got "
          + "\(ByteSize.describe(value)))")
    }
    guard (1...(1 << 32 - 1)).contains(pages) else {
      throw LuaFailure(
        "bad argument #1 'size' to 'cma_alloc' (\(pages) pages; ask for 1 to \(1 << 32 - 1))")
    }
    return pages
  }

  /// The second argument of `cma_alloc`.
  private struct Options {
    var area: String?
    var align = 0
    var noWarn = false

    init(_ table: LuaTable?) throws(LuaFailure) {
      for (name, value) in table?.fields ?? [] {
        switch name {
        case "area":
          guard case .string(let text) = value else { throw Self.bad(name, "a name", value) }
          area = text
        case "align":
          guard let order = value.integer, (0...32).contains(order) else {
            throw Self.bad(name, "an order from 0 to 32", value)
          }
          align = Int(order)
        case "no_warn":
          guard let flag = value.boolean else { throw Self.bad(name, "a boolean", value) }
          noWarn = flag
        default:
          throw LuaFailure("cma_alloc has no option '\(name)'; use area, align, no_warn")
        }
      }
      if let table, !table.elements.isEmpty {
        throw LuaFailure("bad argument #2 'options' to 'cma_alloc' (expected { align = 8, … })")
      }
    }

    private static func bad(_ name: String, _ wanted: String, _ value: LuaValue) -> LuaFailure {
      LuaFailure(
        "bad option '\(name)' of 'cma_alloc' (expected \(wanted), got \(ByteSize.describe(value)))")
    }
  }

  private static var dmesg: LuaFunction {
    LuaFunction(
      "dmesg", .named,
      [LuaParameter("clear", .boolean, default: "false", "Forget the lines afterwards.")],
      returns: [LuaResult(.string, "One line a message, without time stamps.")],
      doc: "What the kernel has printed, as far as the model says it; the last 1024 lines.",
      kernel: ["printk"], rules: ["P5.3"],
      example: """
        m = machine{ ram = "64M", cma = "16M" }
        m:cma_alloc("15M")
        m:cma_alloc("2M")
        print(m:dmesg())
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(object.machine.log.lines.map { $0 + "\n" }.joined())
      if call.boolean(0) { object.machine.clearLog() }
    }
  }
}

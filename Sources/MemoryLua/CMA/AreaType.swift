internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func areaType() -> LuaType {
    LuaType(
      "cma_area", MachineObject.self,
      doc:
        "A contiguous memory area: pageblocks that movable pages borrow until a device wants them.",
      properties: areaProperties, methods: [releasePages, readFile],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        let area = object.machine.cmaAreas[handle.index]
        let size = object.machine.geometry.pageSize
        return "CMA area '\(area.name)': pfn [0x\(String(area.base, radix: 16)), "
          + "0x\(String(area.range.end, radix: 16))), \(formatSize(area.pages * size)), "
          + "\(formatSize(object.machine.cmaUsed(area: handle.index) * size)) allocated"
      })
  }

  private static func number(
    _ name: String, _ doc: String, as type: LuaParameterType = .integer(),
    _ read: @escaping @Sendable (Machine.CMAArea) -> Int
  ) -> LuaProperty {
    LuaProperty(name, type, doc) { call in
      call.returns(read(call.object(as: MachineObject.self).machine.cmaAreas[call.index]))
    }
  }

  private static var areaProperties: [LuaProperty] {
    [
      LuaProperty("name", .string, "Its name; `cma=` makes one called reserved.") { call in
        call.returns(call.object(as: MachineObject.self).machine.cmaAreas[call.index].name)
      },
      number("base", "Its first frame.", as: .pfn) { $0.base },
      number("pages", "Its size in pages.") { $0.pages },
      number("order_per_bit", "log2 of the pages that one bit of its bitmap stands for.") {
        $0.orderPerBit
      },
      LuaProperty("zone", .object("zone"), "The zone it lies in.") { call in
        let object = call.object(as: MachineObject.self)
        let base = PFN(object.machine.cmaAreas[call.index].base)
        guard let zone = object.machine.frames.zone(of: base) else { return call.returnsNil() }
        call.returns(LuaHandle("zone", object, index: zone))
      },
      LuaProperty("used", .integer(), "Pages that cma_alloc has handed out, in whole bits.") {
        call in
        call.returns(call.object(as: MachineObject.self).machine.cmaUsed(area: call.index))
      },
      LuaProperty("maxchunk", .integer(), "The most neighbouring pages that nobody was given.") {
        call in
        call.returns(call.object(as: MachineObject.self).machine.cmaLargestRun(area: call.index))
      },
      LuaProperty(
        "bitmap", .table, "The runs of set bits, a list of { first = bit, count = bits }."
      ) { call in
        let runs = call.object(as: MachineObject.self).machine.cmaSetRuns(area: call.index)
        call.returns(
          LuaTable(
            runs.map {
              .table(
                LuaTable(fields: [
                  ("first", .integer(Int64($0.lowerBound))), ("count", .integer(Int64($0.count))),
                ]))
            }))
      },
      number("alloc_pages_success", "Pages handed out since boot.") { $0.allocatedPages },
      number("alloc_pages_fail", "Pages asked for in vain since boot.") { $0.failedPages },
      number("release_pages_success", "Pages given back since boot.") { $0.releasedPages },
    ]
  }

  private static var readFile: LuaFunction {
    LuaFunction(
      "read", .positional,
      [
        LuaParameter(
          "file", .choice(ProcText.CMAFile.allCases.map(\.rawValue)),
          "A file of its folder in debugfs, or in sysfs for the last three.")
      ],
      returns: [LuaResult(.string, "What the file shows.")],
      doc: "The text of one of the files in which the kernel shows the area.",
      kernel: ["cma_debugfs_add_one", "cma_sysfs_init"], rules: ["P5.4"],
      example: """
        m = machine{ ram = "64M", cma = { { name = "a", size = "16M", order_per_bit = 8 } } }
        m:cma_alloc("1M")
        m:cma():read("used") --> "256\\n"
        m:cma():read("bitmap") --> "1\\n"
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      let file = ProcText.CMAFile.allCases[call.integer(0)]
      call.returns(ProcText.cma(file, area: call.index, object.machine))
    }
  }

  private static var releasePages: LuaFunction {
    LuaFunction(
      "release", .positional,
      [
        LuaParameter("page", .any, "The first page of a buffer, or its pfn."),
        LuaParameter("pages", .integer(1...(1 << 32 - 1)), "Its size in pages."),
      ],
      doc: """
        Gives a buffer back that this script has no object for, such as one that was there when \
        the machine was forked.
        """,
      kernel: ["cma_release"], rules: ["P5.6"],
      example: """
        m = machine{ ram = "64M", cma = "16M" }
        buffer = m:cma_alloc(16)
        copy = m:fork()
        copy:cma():release(buffer.pfn, 16)
        copy:cma().used --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pfn = try Arguments.pfn(call.value(0), object, function: "release")
      let area = call.index
      let (released, _) = try OperationRunner.call(object, call, "cma_area:release") {
        () throws(LuaFailure) in
        do throws(MemoryError) {
          return try object.machine.beginCMARelease(area: area, pfn, pages: call.integer(1))
        } catch {
          throw LuaFailure("bad argument #1 'page' to 'release' (\(error.message))")
        }
      }
      if released.outcome == 0 {
        throw LuaFailure("bad argument #1 'page' to 'release' (the pages were released already)")
      }
    }
  }
}

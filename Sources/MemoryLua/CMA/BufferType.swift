internal import LuaBridge
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

/// Pages that `cma_alloc` has handed to a script.
public final class CMABufferObject {
  let owner: MachineObject
  let id: Int
  let area: Int
  let pfn: PFN
  let pages: Int

  /// Whether the machine has no such buffer any more; undo brings one back.
  var isReleased: Bool {
    !owner.machine.cmaBuffers.contains {
      $0.id == id && $0.area == area && $0.pfn == pfn && $0.pages == pages
    }
  }

  init(_ owner: MachineObject, id: Int, area: Int, pfn: PFN, pages: Int) {
    self.owner = owner
    self.id = id
    self.area = area
    self.pfn = pfn
    self.pages = pages
  }

  func release(_ call: borrowing LuaCall) throws(LuaFailure) {
    let (released, _) = try OperationRunner.call(owner, call, "cma_buffer:release") {
      () throws(LuaFailure) in
      guard !isReleased else {
        throw LuaFailure("this buffer was released already; a buffer is released once")
      }
      do throws(MemoryError) {
        return try owner.machine.beginCMARelease(area: area, pfn, pages: pages)
      } catch {
        throw LuaFailure("release: \(error.message)")
      }
    }
    if released.outcome == 0 {
      throw LuaFailure("this buffer was released already; a buffer is released once")
    }
  }
}

extension MemoryLibrary {
  static func bufferType() -> LuaType {
    LuaType(
      "cma_buffer", CMABufferObject.self,
      doc: "Neighbouring pages from a CMA area; a `<close>` variable gives them back.",
      properties: [
        LuaProperty("pfn", .pfn, "Its first frame.") { call in
          call.returns(call.object(as: CMABufferObject.self).pfn.index)
        },
        LuaProperty("pages", .integer(), "Its size in pages.") { call in
          call.returns(call.object(as: CMABufferObject.self).pages)
        },
        LuaProperty("page", .object("page"), "Its first page.") { call in
          let buffer = call.object(as: CMABufferObject.self)
          call.returns(LuaHandle("page", buffer.owner, index: buffer.pfn.index))
        },
        LuaProperty("area", .object("cma_area"), "The area it is from.") { call in
          let buffer = call.object(as: CMABufferObject.self)
          call.returns(LuaHandle("cma_area", buffer.owner, index: buffer.area))
        },
        LuaProperty("released", .boolean, "Whether it was given back, or parts of it were.") {
          call in
          call.returns(call.object(as: CMABufferObject.self).isReleased)
        },
      ],
      methods: [release],
      display: { handle in
        let buffer = handle.owner(as: CMABufferObject.self)
        let size = formatSize(buffer.pages * buffer.owner.machine.geometry.pageSize)
        return "CMA buffer of \(size) at \(buffer.pfn)" + (buffer.isReleased ? ", released" : "")
      },
      equals: { one, other in
        let (one, other) = (
          one.owner(as: CMABufferObject.self), other.owner(as: CMABufferObject.self)
        )
        return one.owner === other.owner && one.id == other.id && one.pfn == other.pfn
          && one.pages == other.pages
      },
      close: { call throws(LuaFailure) in
        let buffer = call.object(as: CMABufferObject.self)
        if !buffer.isReleased { try buffer.release(call) }
      })
  }

  private static var release: LuaFunction {
    LuaFunction(
      "release",
      doc: """
        Gives the pages back, one by one and ascending, to this CPU's lists, from which the next \
        movable requests take them.
        """,
      kernel: ["cma_release", "free_contig_range"], rules: ["P5.6", "A6.24", "AP.5"],
      example: """
        m = machine{ ram = "64M", cma = "16M" }
        buffer = m:cma_alloc(16)
        buffer:release()
        m:cma().release_pages_success --> 16
        """
    ) { call throws(LuaFailure) in try call.object(as: CMABufferObject.self).release(call) }
  }
}

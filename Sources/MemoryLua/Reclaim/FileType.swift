internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func fileType() -> LuaType {
    LuaType(
      "file", MachineObject.self, doc: "A file on a disk, as far as the page cache knows it.",
      properties: fileProperties(cached: "cached", "Pages in the page cache."),
      methods: [fileRead, fileWrite, fileSync, filePage, fileUnlink],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        let file = object.machine.files[handle.index]
        return "file \(file.name): \(formatSize(file.pages << object.machine.geometry.pageShift)), "
          + "\(file.cachedPages) pages cached"
      },
      isLive: { handle in
        let object = handle.owner(as: MachineObject.self)
        return object.machine.files.indices.contains(handle.index)
          && object.machine.files[handle.index].isOpen
      })
  }

  /// What a script reads off any file.
  ///
  /// - Parameter cached: The name of the count of its pages.
  static func fileProperties(cached: String, _ doc: String) -> [LuaProperty] {
    [
      LuaProperty("name", .string, "Its name.") { call in
        call.returns(call.object(as: MachineObject.self).machine.files[call.index].name)
      },
      LuaProperty("size", .integer(), "Bytes.") { call in
        let object = call.object(as: MachineObject.self)
        call.returns(object.machine.files[call.index].pages << object.machine.geometry.pageShift)
      },
      LuaProperty(cached, .integer(), doc) { call in
        call.returns(call.object(as: MachineObject.self).machine.files[call.index].cachedPages)
      },
    ]
  }

  static func fileRangeParameters() -> [LuaParameter] {
    [
      LuaParameter("from", .size(), default: "the start", "An offset into the file."),
      LuaParameter("length", .size(1...Int64.max), default: "up to the end", "How much."),
    ]
  }

  private static func pages(_ call: borrowing LuaCall, _ object: MachineObject) -> Range<Int> {
    let shift = object.machine.geometry.pageShift
    let size = object.machine.files[call.index].pages
    let from = min(call.integer(0, default: 0), size << shift)
    let length = call.isGiven(1) ? min(call.integer(1), size << shift - from) : size << shift - from
    let first = from >> shift
    return first..<max(first, (from + length + (1 << shift - 1)) >> shift)
  }

  /// Runs an access in pieces, so that a script can be stopped between them.
  static func accessFile(
    _ call: borrowing LuaCall, _ name: String, _ function: String,
    _ body: @escaping @Sendable (inout Machine, Range<Int>) -> FaultRun
  ) throws(LuaFailure) {
    let object = call.object(as: MachineObject.self)
    let all = pages(call, object)
    if OperationRunner.isInTask(object, call) {
      let step = Step("f1", function, "\(name) \(all.count) pages of the file")
      let outcome = try OperationRunner.atomic(object, call, "file:\(name)", step) { machine in
        let run = body(&machine, all)
        return run.refusal.map { .refused($0) } ?? .done(run.done)
      }
      switch outcome {
      case .done(let done): return call.returns(done)
      case .refused(let refusal): return call.refuse(refusal)
      }
    }
    var done = 0
    var refusal: Refusal?
    try OperationRunner.perform(object, call) {
      while done < all.count, refusal == nil {
        let first = all.lowerBound + done
        let run = body(&object.machine, first..<min(first + 1024, all.upperBound))
        done += run.done
        refusal = run.refusal
        object.machine.runBackground()
        if call.shouldStop() { return }
      }
    }
    if let refusal { return call.refuse(refusal) }
    call.returns(done)
  }

  private static var fileRead: LuaFunction {
    LuaFunction(
      "read", .positional, fileRangeParameters(),
      returns: [LuaResult(.integer(), "Pages read.")],
      errors: [LuaErrno("ENOMEM", "no memory for the page cache")],
      doc: "Reads a range: pages that are not cached are, the others were accessed.",
      kernel: ["filemap_read", "folio_mark_accessed"], rules: ["A7.32", "P1.27"],
      example: """
        f = machine{ ram = "64M" }:file{ size = "1M" }
        f:read() --> 256
        """
    ) { call throws(LuaFailure) in
      let file = call.index
      try accessFile(call, "read", "filemap_read") { machine, pages in machine.readFile(file, pages)
      }
    }
  }

  private static var fileWrite: LuaFunction {
    LuaFunction(
      "write", .positional, fileRangeParameters(),
      returns: [LuaResult(.integer(), "Pages written.")],
      errors: [LuaErrno("ENOMEM", "no memory for the page cache")],
      doc:
        "Writes a range: its pages are cached and dirty, so that reclaim passes them by until sync().",
      kernel: ["generic_perform_write"], rules: ["A7.37"],
      example: """
        m = machine{ ram = "64M" }
        f = m:file{ size = "1M" }
        f:write()
        m:drop_caches(1).kept --> 256
        """
    ) { call throws(LuaFailure) in
      let file = call.index
      try accessFile(call, "write", "generic_perform_write") { machine, pages in
        machine.fillFile(file, pages)
      }
    }
  }

  private static var fileSync: LuaFunction {
    LuaFunction(
      "sync", returns: [LuaResult(.integer(), "Pages written to the disk.")],
      doc: "Writes the file's dirty pages to its disk, which takes no time here.",
      kernel: ["filemap_write_and_wait"], rules: ["A7.37"],
      example: """
        f = machine{ ram = "64M" }:file{ size = "1M" }
        f:write("0", "64K")
        f:sync() --> 16
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let file = call.index
      let step = Step("f2", "filemap_write_and_wait", "write the file's dirty pages")
      call.returns(
        try OperationRunner.once(object, call, "file:sync", step) { machine in
          machine.writeBack(file)
        })
    }
  }

  private static var filePage: LuaFunction {
    LuaFunction(
      "page", .positional, [LuaParameter("from", .size(), "An offset into the file.")],
      returns: [LuaResult(.object("page"), "nil where nothing is cached.")],
      doc: "The cached page at an offset.", kernel: ["filemap_get_folio"], rules: ["A7.32"],
      example: """
        f = machine{ ram = "64M" }:file{ size = "1M" }
        f:page(0) --> nil
        """
    ) { call in cachedPage(call) }
  }

  /// The page at the offset that is the first argument.
  static func cachedPage(_ call: borrowing LuaCall) {
    let object = call.object(as: MachineObject.self)
    let page = call.integer(0) >> object.machine.geometry.pageShift
    guard let pfn = object.machine.cachedFrame(call.index, page: page) else {
      return call.returnsNil()
    }
    call.returns(LuaHandle("page", object, index: pfn.index))
  }

  private static var fileUnlink: LuaFunction {
    LuaFunction(
      "unlink",
      doc: "Deletes the file; its cached pages go. The object is stale afterwards.",
      kernel: ["truncate_inode_pages_final"], rules: ["A7.37"],
      example: """
        m = machine{ ram = "64M" }
        before = m.free
        f = m:file{ size = "1M" }
        f:read()
        f:unlink()
        m:drain()
        m.free == before --> true
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let file = call.index
      let step = Step("f3", "truncate_inode_pages_final", "let go the pages that are cached")
      try OperationRunner.once(object, call, "file:unlink", step) { machine in
        // Another task may have come first.
        if machine.files[file].isOpen { machine.dropUser(file) }
        return 0
      }
    }
  }

  private static func effect(
    _ name: String, _ doc: String, _ value: @escaping @Sendable (PressureEffect) -> Int
  ) -> LuaProperty {
    LuaProperty(name, .integer(), doc) { call in
      let record = call.object(as: MachineObject.self).machine.pressure(call.index)
      call.returns(record.map { value($0.effect) } ?? 0)
    }
  }

  static func pressureType() -> LuaType {
    LuaType(
      "pressure", MachineObject.self, doc: "Memory that m:pressure() took.",
      properties: [
        LuaProperty("pages", .integer(), "Pages that it holds.") { call in
          let object = call.object(as: MachineObject.self)
          call.returns(object.machine.pressure(call.index)?.pages.count ?? 0)
        },
        LuaProperty("bytes", .integer(), "The same in bytes.") { call in
          let object = call.object(as: MachineObject.self)
          call.returns(
            (object.machine.pressure(call.index)?.pages.count ?? 0)
              << object.machine.geometry.pageShift)
        },
        effect("reclaimed", "Pages of files that were reclaimed meanwhile.") { $0.files },
        effect("swapped", "Pages that were written to swap space meanwhile.") { $0.swappedOut },
        effect("scanned", "Pages that reclaim looked at.") { $0.scanned },
        effect("pinned", "Pages of pins when it ended, which cannot be reclaimed (P9.1).") {
          $0.pinned
        },
        LuaProperty("killed", .table, "Names of the processes that the OOM killer chose.") { call in
          let object = call.object(as: MachineObject.self)
          let killed = object.machine.pressure(call.index)?.effect.killed ?? []
          call.returns(LuaTable(killed.map { .string($0.name) }))
        },
        LuaProperty("short", .string, "Why it holds less than was asked for; nil when it does not.")
        {
          call in
          let record = call.object(as: MachineObject.self).machine.pressure(call.index)
          guard let record, record.pages.count < record.requested else { return call.returnsNil() }
          call.returns(record.refusal?.message ?? "the script was stopped")
        },
      ],
      methods: [
        LuaFunction(
          "release", doc: "Gives the memory back. The object is stale afterwards.",
          kernel: ["__free_pages"], rules: ["A3.14"],
          example: """
            m = machine{ ram = "64M" }
            p = m:pressure("16M")
            p.pages --> 4096
            p:release()
            """
        ) { call throws(LuaFailure) in
          let object = call.object(as: MachineObject.self)
          let id = call.index
          let step = Step("a2", "__free_pages", "free the memory of pressure #\(id)")
          try OperationRunner.once(object, call, "pressure:release", step) { machine in
            machine.releasePressure(id)
            return 0
          }
        }
      ],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        guard let record = object.machine.pressure(handle.index) else {
          return "pressure #\(handle.index), released"
        }
        let size = formatSize(record.pages.count << object.machine.geometry.pageShift)
        return PressureText.text(record, size: size, object.machine.swapPages)
      },
      isLive: { handle in
        handle.owner(as: MachineObject.self).machine.pressure(handle.index) != nil
      },
      close: { call in call.object(as: MachineObject.self).machine.releasePressure(call.index) })
  }
}

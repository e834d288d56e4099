internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  /// `vm:guest_memfd{ … }`.
  static var guestMemory: LuaFunction {
    LuaFunction(
      "guest_memfd", .named,
      [
        LuaParameter("size", .size(1...Int64.max), "Its size, whole pages."),
        LuaParameter("name", .string, default: "the guest's and a number", "How messages name it."),
      ],
      returns: [LuaResult(.object("guest_memfd"))],
      errors: [
        LuaErrno("EINVAL", "no whole pages, or more than the model can map"),
        LuaErrno("ENOTTY", "the kernel is older than guest_memfd (6.8)"),
      ],
      doc: """
        Memory that the guest reaches through KVM and no process can map, as for confidential guests.

        Its pages come from blocks for memory that does not move, so never from CMA or ZONE_MOVABLE; \
        they cannot be pinned, reclaimed or migrated. It is closed when the guest exits.
        """,
      kernel: ["kvm_gmem_create"], rules: ["P2.2"],
      example: """
        m = machine{ ram = "1G", cma = "640M" }
        vm = m:guest{ ram = "1M" }
        g = vm:guest_memfd{ size = "1M" }
        g:allocate() --> 256
        g:page(0).pageblock.type --> "Unmovable"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      guard call.isGiven(0) else {
        throw LuaFailure("bad field 'size' in 'guest_memfd' (it is needed, such as size = \"1M\")")
      }
      object.machine.beginOperation()
      let size = call.integer(0)
      let shift = object.machine.geometry.pageShift
      if size & (1 << shift - 1) != 0 {
        return call.refuse(
          Refusal(.EINVAL, "\(size) bytes are not whole pages of \(1 << shift)", rule: "P2.2"))
      }
      let guest = object.machine.spaces[call.index].name
      let name = call.string(1, default: "\(guest)-gmem\(object.machine.files.count)")
      switch object.machine.createGuestMemory(call.index, name: name, pages: size >> shift) {
      case .success(let file): call.returns(LuaHandle("guest_memfd", object, index: file))
      case .failure(let refusal): call.refuse(refusal)
      }
    }
  }

  /// `vm:guest_memfds()`.
  static var guestMemories: LuaFunction {
    LuaFunction(
      "guest_memfds", returns: [LuaResult(.table, "guest_memfd objects, oldest first.")],
      doc: "The guest's open guest_memfds; that of a fork of the machine has its own.",
      kernel: ["kvm_gmem_create"], rules: ["P2.2"],
      example: """
        m = machine{ ram = "64M" }
        m:guest{ name = "vm", ram = "1M" }:guest_memfd{ size = "1M" }:allocate()
        m:fork():guest("vm"):guest_memfds()[1].allocated --> 256
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      let guest = call.index
      let files = object.machine.files
      call.returns(
        LuaTable(
          files.indices.filter { files[$0].guest == guest && files[$0].isOpen }
            .map { .object(LuaHandle("guest_memfd", object, index: $0)) }))
    }
  }

  static func guestMemoryType() -> LuaType {
    LuaType(
      "guest_memfd", MachineObject.self,
      doc: "Memory that a guest reaches and its process does not.",
      properties: fileProperties(cached: "allocated", "Pages that it has."),
      methods: [
        guestMemoryAllocate, guestMemoryAccess, guestMemoryPunchHole, guestMemoryMap,
        guestMemoryPage, guestMemoryClose,
      ],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        let file = object.machine.files[handle.index]
        return "guest_memfd \(file.name): "
          + "\(formatSize(file.pages << object.machine.geometry.pageShift)), "
          + "\(file.cachedPages) pages allocated"
      },
      isLive: { handle in
        let object = handle.owner(as: MachineObject.self)
        return object.machine.files.indices.contains(handle.index)
          && object.machine.files[handle.index].isOpen
      })
  }

  /// Why fallocate() refuses a range of bytes.
  private static func partialPages(
    _ call: borrowing LuaCall, _ object: MachineObject
  ) -> Refusal? {
    let mask = object.machine.geometry.pageSize - 1
    let from = call.integer(0, default: 0)
    let length = call.integer(1, default: 0)
    if (from | length) & mask == 0 { return nil }
    return Refusal(
      .EINVAL, "\(length) bytes from \(from) are not whole pages of \(mask + 1)", rule: "P2.2")
  }

  private static let guestMemoryExample = """
    vm = machine{ ram = "64M" }:guest{ ram = "1M" }
    g = vm:guest_memfd{ size = "1M" }
    """

  private static var guestMemoryAllocate: LuaFunction {
    LuaFunction(
      "allocate", .positional, fileRangeParameters(),
      returns: [LuaResult(.integer(), "Pages that are there now.")],
      errors: [
        LuaErrno("ENOMEM", "no memory outside CMA and ZONE_MOVABLE"),
        LuaErrno("EINVAL", "the range is not whole pages"),
      ],
      doc: "Allocates a range ahead (fallocate).", kernel: ["kvm_gmem_allocate"], rules: ["P2.2"],
      example: guestMemoryExample + "\ng:allocate(0, \"64K\") --> 16"
    ) { call throws(LuaFailure) in
      let file = call.index
      if let refusal = partialPages(call, call.object(as: MachineObject.self)) {
        return call.refuse(refusal)
      }
      try accessFile(call, "allocate", "kvm_gmem_allocate") { machine, pages in
        machine.fillFile(file, pages, writes: false)
      }
    }
  }

  private static var guestMemoryAccess: LuaFunction {
    LuaFunction(
      "access", .positional, fileRangeParameters(),
      returns: [LuaResult(.integer(), "Pages that the guest reached.")],
      errors: [LuaErrno("ENOMEM", "no memory outside CMA and ZONE_MOVABLE")],
      doc: """
        The guest reaches for a range: KVM looks its pages up, and allocates those that are missing.

        Its tables hold no reference afterwards; a hole takes them away first.
        """,
      kernel: ["kvm_gmem_get_pfn"], rules: ["P2.2"],
      example: guestMemoryExample + "\ng:access(0, \"4K\") --> 1\ng.allocated --> 1"
    ) { call throws(LuaFailure) in
      let file = call.index
      try accessFile(call, "access", "kvm_gmem_get_pfn") { machine, pages in
        machine.fillFile(file, pages, writes: false)
      }
    }
  }

  private static var guestMemoryPunchHole: LuaFunction {
    LuaFunction(
      "punch_hole", .positional, fileRangeParameters(),
      returns: [LuaResult(.integer(), "Pages that were freed.")],
      errors: [LuaErrno("EINVAL", "the range is not whole pages, or empty")],
      doc: "Frees a range, after the guest's tables have lost it (FALLOC_FL_PUNCH_HOLE).",
      kernel: ["kvm_gmem_punch_hole"], rules: ["P2.2"],
      example: guestMemoryExample + "\ng:allocate()\ng:punch_hole(\"64K\", \"64K\") --> 16"
    ) { call in
      let object = call.object(as: MachineObject.self)
      object.machine.countOperation()
      if let refusal = partialPages(call, object) { return call.refuse(refusal) }
      let shift = object.machine.geometry.pageShift
      let from = call.integer(0, default: 0)
      let size = object.machine.files[call.index].pages << shift
      let length = call.integer(1, default: max(0, size - from))
      let before = object.machine.files[call.index].cachedPages
      let end = from > Int.max - length ? Int.max : from + length
      if let refusal = object.machine.punchHole(call.index, from >> shift..<end >> shift) {
        return call.refuse(refusal)
      }
      call.returns(before - object.machine.files[call.index].cachedPages)
    }
  }

  private static var guestMemoryMap: LuaFunction {
    LuaFunction(
      "mmap", .positional, [LuaParameter("guest", .object("guest"), "Whose process asks.")],
      returns: [LuaResult(.address, "Never: it is refused.")],
      errors: [LuaErrno("ENODEV", "always")],
      doc: "What a process gets that tries to map it: nothing, so no pin can name its pages.",
      kernel: ["do_mmap"], rules: ["P2.2"],
      example: guestMemoryExample + """

        nothing, err = g:mmap(vm)
        err.errno --> "ENODEV"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let guest = call.handle(0)
      guard guest.object === object else {
        throw LuaFailure("bad argument 'guest' to 'mmap' (the guest runs on another machine)")
      }
      object.machine.beginOperation()
      switch object.machine.mapArea(
        guest.index, pages: object.machine.files[call.index].pages, [.read, .write, .shared],
        .file(call.index, offset: 0))
      {
      case .success(let page): call.returns(page << object.machine.geometry.pageShift)
      case .failure(let refusal): call.refuse(refusal)
      }
    }
  }

  private static var guestMemoryPage: LuaFunction {
    LuaFunction(
      "page", .positional, [LuaParameter("from", .size(), "An offset.")],
      returns: [LuaResult(.object("page"), "nil where nothing is allocated.")],
      doc: "The page at an offset.", kernel: ["filemap_get_folio"], rules: ["P2.2"],
      example: guestMemoryExample + "\ng:page(0) --> nil"
    ) { call in cachedPage(call) }
  }

  private static var guestMemoryClose: LuaFunction {
    LuaFunction(
      "close", doc: "Closes it; its pages are freed. The object is stale afterwards.",
      kernel: ["kvm_gmem_release"], rules: ["P2.2"],
      example: """
        m = machine{ ram = "64M" }
        g = m:guest{ ram = "1M" }:guest_memfd{ size = "1M" }
        g:allocate()
        g:close()
        m:check() --> true
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      object.machine.countOperation()
      object.machine.closeGuestMemory(call.index)
    }
  }
}

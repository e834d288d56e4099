internal import LuaBridge
internal import MemoryExploration
internal import MemoryGuests
internal import MemoryModel
internal import MemoryOperations

extension MemoryLibrary {
  static var guestAreaMethods: [LuaFunction] {
    [mmap, munmap, madvise, mprotect, mlock, munlock, migrate, movePages]
  }

  private static let rights = ["none", "r", "w", "rw"]

  private static func flags(_ rights: Int) -> MemoryArea.Flags {
    [[], .read, .write, [.read, .write]][rights]
  }

  private static var mmap: LuaFunction {
    LuaFunction(
      "mmap", .named,
      [
        LuaParameter("length", .size(1...Int64.max), "How much, rounded up to whole pages."),
        LuaParameter(
          "address", .address, default: "the first gap behind the RAM",
          "Where (MAP_FIXED_NOREPLACE)."),
        LuaParameter(
          "backing", .choice(GuestBacking.allCases.map(\.rawValue)), default: "anon",
          "As for a guest's RAM; hugetlb takes the architecture's huge page."),
        LuaParameter("prot", .choice(rights), default: "rw", "Rights."),
        LuaParameter(
          "shared", .boolean, default: "true",
          "Map a file shared; false gives private copies on writes."),
        LuaParameter(
          "of", .any, optional: true,
          "An address or offset in this guest, or in `guest`, whose file is mapped again."),
        LuaParameter("guest", .object("guest"), default: "this one", "The guest that `of` means."),
        LuaParameter(
          "populate", .boolean, default: "false", "MAP_POPULATE: fault it in at once."),
      ],
      returns: [LuaResult(.address, "The address.")],
      errors: [
        LuaErrno("EEXIST", "something is mapped there"),
        LuaErrno("ENOMEM", "no gap, or too many areas"),
        LuaErrno("EINVAL", "not whole huge pages, or a wrong alignment"),
      ],
      doc: """
        Maps more memory into the guest.

        With `of` and `guest` two guests share memory: `vm2:mmap{ length = "1M", of = 0, guest = vm }` \
        maps the start of vm's RAM, when that is a memfd, shmem or a file.
        """,
      kernel: ["do_mmap", "mmap_region"], rules: ["P2.2"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M" }
        address = vm:mmap{ length = "64K" }
        vm:touch(address, "64K").pages --> 16
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let shift = object.machine.geometry.pageShift
      guard call.isGiven(0) else {
        throw LuaFailure("bad field 'length' in 'mmap' (it is needed, such as length = \"64K\")")
      }
      let pages = (call.integer(0) - 1) >> shift + 1
      var start: Int?
      if call.isGiven(1) {
        let address = call.integer(1)
        guard address >= 0, address & (1 << shift - 1) == 0 else {
          throw LuaFailure(
            "bad field 'address' in 'mmap' (0x\(String(UInt(bitPattern: address), radix: 16)) is no "
              + "multiple of the page size)")
        }
        start = address >> shift
      }
      var areaFlags = flags(call.integer(3, default: 3))
      // Mapped again or anew, a file is shared unless the call says otherwise.
      let isShared = call.boolean(4, default: true)
      let name = object.machine.spaces[space].name + ":mmap"
      let (operation, waited) = try OperationRunner.call(object, call, name, space: space) {
        () throws(LuaFailure) in
        let source: AreaRequest.Source
        if call.isGiven(5) {
          source = .existing(try sharedBacking(call, object, space))
          if isShared { areaFlags.insert(.shared) }
        } else {
          let kind = GuestBacking.allCases[call.integer(2, default: 0)]
          try checkHugetlb(kind, object, "mmap")
          source = newSource(kind, object)
          if kind == .secret { areaFlags.insert(.locked) }
          if kind == .device {
            areaFlags.formUnion([.pfnMap, .io, .shared])
          } else if kind != .anonymous, isShared {
            areaFlags.insert(.shared)
          }
        }
        return AreaCall(
          space: space,
          .map(
            AreaRequest(
              start: start, pages: pages, flags: areaFlags, source: source,
              populates: call.boolean(7))))
      }
      switch result(operation, waited) {
      case .success(let page): call.returns(page << shift)
      case .failure(let refusal): call.refuse(refusal)
      }
    }
  }

  /// What a call came to, or who killed it.
  private static func result(_ operation: AreaCall, _ waited: String?) -> Result<Int, Refusal> {
    let killed = Refusal(.EINTR, "killed: \(waited ?? "a fatal signal came")", rule: "P2.13")
    if waited != nil, case .failure? = operation.outcome { return .failure(killed) }
    return operation.outcome ?? .failure(killed)
  }

  private static func newSource(_ kind: GuestBacking, _ object: MachineObject) -> AreaRequest.Source
  {
    let file: MemoryFile.Kind
    switch kind {
    case .anonymous: return .existing(.anonymous)
    case .device:
      let behind = ((object.machine.memory.last?.end ?? 0) >> 18 + 1) << 18
      return .existing(.device(firstFrame: behind))
    case .shared, .memfd: file = .shmem
    case .hugetlb: file = .hugetlb(order: object.machine.geometry.hugeOrder)
    case .file: file = .regular
    case .dax: file = .fsdax
    case .secret: file = .secret
    }
    return .file(file, name: kind.rawValue)
  }

  private static func sharedBacking(
    _ call: borrowing LuaCall, _ object: MachineObject, _ space: Int
  ) throws(LuaFailure) -> MemoryArea.Backing {
    var other = space
    if call.isGiven(6) {
      guard call.handle(6).object === object else {
        throw LuaFailure("bad field 'guest' in 'mmap' (it runs on another machine)")
      }
      other = call.handle(6).index
    }
    let value = try ByteSize.bytes(call.value(5), "of")
    let ram = object.machine.spaces[other].ram
    let offset = value >> object.machine.geometry.pageShift
    let page = offset < ram.count ? ram.lowerBound + offset : offset
    guard let area = object.machine.spaces[other].area(page), let file = area.file else {
      throw LuaFailure(
        "bad field 'of' in 'mmap' (no file is mapped at 0x\(String(value, radix: 16)) of "
          + "\(object.machine.spaces[other].name); private anonymous memory cannot be shared)")
    }
    return .file(file, offset: area.filePage(page))
  }

  /// A function that works on a range of a guest.
  private static func onRange(
    _ name: String, as callee: GuestRange.Callee, first: [LuaParameter] = [], errors: [LuaErrno],
    _ doc: String, kernel: [String], rules: [String], example: String,
    _ body:
      @escaping @Sendable (borrowing LuaCall, MachineObject, Int, Range<Int>) throws(LuaFailure) ->
      Result<Void, Refusal>
  ) -> LuaFunction {
    LuaFunction(
      name, .positional, first + GuestRange.parameters(), returns: [LuaResult(.boolean, "true.")],
      errors: errors, doc: doc, kernel: kernel, rules: rules, example: example
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      switch try GuestRange.pages(call, first.count, object, space, function: name, for: callee) {
      case .failure(let refusal): call.refuse(refusal)
      case .success(let pages) where pages.isEmpty: call.returns(true)
      case .success(let pages): call.returns(try body(call, object, space, pages))
      }
    }
  }

  private static var movePages: LuaFunction {
    LuaFunction(
      "move_pages", .named,
      GuestRange.parameters() + [
        LuaParameter("node", .integer(0...31), "The node to move to."),
        LuaParameter(
          "all", .boolean, default: "false",
          "MPOL_MF_MOVE_ALL: also pages that several processes map, as only root may."),
      ],
      returns: [
        LuaResult(
          .table,
          "One entry a page: the node it is on, the name of an errno, or false where the kernel says "
            + "nothing."),
        LuaResult(.integer(), "Pages that did not move or that nobody looked at."),
      ],
      doc: """
        Moves pages to a node, and says of each where it is then.

        EBUSY: somebody else had the page isolated. EACCES: other processes map it, too. The first \
        folios that do not move end the call.
        """,
      kernel: ["do_pages_move", "add_folio_for_migration", "store_status"],
      rules: ["P1.30", "P10.3"],
      example: """
        m = machine{ nodes = { "64M", "64M" }, cpus = 2 }
        vm = m:guest{ ram = "16K", thp = "never", node = 0 }
        vm:populate()
        status, left = vm:move_pages{ length = "4K", node = 1 }
        status[1] --> 1
        left --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let pages = try GuestRange.pages(call, 0, object, space, function: "move_pages")
      guard call.integer(2) < object.machine.nodeCount else {
        throw LuaFailure(
          "there is no node \(call.integer(2)); this machine has 0 to "
            + "\(object.machine.nodeCount - 1)")
      }
      // One entry a page comes back.
      guard pages.count <= Self.movedPagesLimit else {
        throw LuaFailure(
          "bad argument 'length' to 'move_pages' (\(pages.count) pages; a call moves up to "
            + "\(Self.movedPagesLimit), so use several)")
      }
      let name = object.machine.spaces[space].name + ":move_pages"
      let (operation, _) = try OperationRunner.call(object, call, name, space: space) {
        () throws(LuaFailure) in
        MovePages(
          space: space, pages: pages, node: call.integer(2), movesShared: call.boolean(3))
      }
      let status = operation.outcome?.status ?? []
      call.returns(
        LuaTable(
          status.map { status in
            switch status {
            case .node(let node): .integer(Int64(node))
            case .refused(let errno): .string(errno.name)
            case .none: .boolean(false)
            }
          }))
      call.returns(operation.outcome?.left ?? 0)
    }
  }

  private static let movedPagesLimit = 1 << 20

  private static var migrate: LuaFunction {
    LuaFunction(
      "migrate", .positional, GuestRange.parameters(),
      returns: [
        LuaResult(.table, "moved and failed: pages that moved, and that did not.")
      ],
      doc: """
        Moves pages to other frames, as move_pages(2) does: it stands for whatever moves pages between \
        their faults and a pin.

        The new frames are movable memory, so they may lie in CMA or ZONE_MOVABLE; pages in LRU \
        batches and hugetlb pages are passed over.
        """,
      kernel: ["do_pages_move", "migrate_pages"], rules: ["P2.37", "P9.21", "P9.23"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", thp = "never" }
        vm:populate()
        before = vm:page(0).pfn
        vm:migrate(0, "4K").moved --> 1
        vm:page(0).pfn ~= before --> true
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let pages = try GuestRange.pages(call, 0, object, space, function: "migrate")
      let name = object.machine.spaces[space].name + ":migrate"
      let (operation, _) = try OperationRunner.call(object, call, name, space: space) {
        () throws(LuaFailure) in RangeMigration(space: space, pages: pages)
      }
      let counts = operation.outcome ?? MigrationCounts()
      call.returns(
        LuaTable(fields: [
          ("moved", .integer(Int64(counts.succeeded))),
          ("failed", .integer(Int64(counts.failedPages))),
        ]))
    }
  }

  private static let notMapped = LuaErrno("ENOMEM", "part of the range is not mapped")

  private static var munmap: LuaFunction {
    onRange(
      "munmap", as: .munmap,
      errors: [LuaErrno("EINVAL", "no length, no whole pages, or an end inside a hugetlb page")],
      "Unmaps a range; pinned pages live on until they are unpinned.",
      kernel: ["do_vmi_align_munmap"], rules: ["P2.23", "P9.32"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", thp = "never" }
        vm:touch()
        vm:munmap("512K") --> true
        vm:resident().pages --> 128
        """
    ) { call, object, space, pages throws(LuaFailure) in
      let name = object.machine.spaces[space].name + ":munmap"
      let (operation, _) = try OperationRunner.call(object, call, name, space: space) {
        UnmapOperation(space: space, pages: pages)
      }
      return operation.outcome ?? .success(())
    }
  }

  private static var madvise: LuaFunction {
    onRange(
      "madvise", as: .change,
      first: [LuaParameter("advice", .choice(MemoryAdvice.allCases.map(\.rawValue)), "MADV_….")],
      errors: [
        notMapped,
        LuaErrno("EINVAL", "the advice does not suit the memory, or this kernel does not know it"),
      ],
      """
      Gives advice about a range.

      dontneed takes the pages away; hugepage and nohugepage say where huge pages may be used; \
      dontfork and dofork, what a child inherits; nomovable, pinnable and might_pin are proposals \
      that were never merged (rules P9.20, P9.22) and need a kernel{ madv_nomovable = true }.
      """,
      kernel: ["do_madvise"], rules: ["P2.13", "P2.23", "P9.20"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", thp = "never" }
        vm:touch()
        vm:madvise("dontneed", "4K", "4K")
        vm:resident().pages --> 255
        """
    ) { call, object, space, pages throws(LuaFailure) in
      let advice = MemoryAdvice.allCases[call.integer(0)]
      return try change(call, object, space, "madvise", .advise(pages, advice))
    }
  }

  private static var mprotect: LuaFunction {
    onRange(
      "mprotect", as: .change,
      first: [LuaParameter("prot", .choice(rights), "Rights from now on.")],
      errors: [notMapped], "Changes what a range may be used for.",
      kernel: ["do_mprotect_pkey", "change_protection"], rules: ["P2.24"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M" }
        vm:mprotect("r")
        vm:write()
        """
    ) { call, object, space, pages throws(LuaFailure) in
      let rights = flags(call.integer(0))
      return try change(call, object, space, "mprotect", .protect(pages, rights))
    }
  }

  private static var mlock: LuaFunction {
    onRange(
      "mlock", as: .mlock, errors: [notMapped], "Locks a range into memory, and faults it in.",
      kernel: ["do_mlock", "mlock_fixup"], rules: ["P1.23", "P1.27"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", thp = "never" }
        vm:mlock()
        vm.locked_pages --> 256
        """
    ) { call, object, space, pages throws(LuaFailure) in
      try change(call, object, space, "mlock", .lock(pages))
    }
  }

  private static func change(
    _ call: borrowing LuaCall, _ object: MachineObject, _ space: Int, _ name: String,
    _ change: AreaCall.Change
  ) throws(LuaFailure) -> Result<Void, Refusal> {
    let written = object.machine.spaces[space].name + ":" + name
    let (operation, waited) = try OperationRunner.call(object, call, written, space: space) {
      AreaCall(space: space, change)
    }
    return result(operation, waited).map { _ in }
  }

  private static var munlock: LuaFunction {
    onRange(
      "munlock", as: .mlock, errors: [notMapped], "Unlocks a range.",
      kernel: ["apply_vma_lock_flags", "mlock_fixup"], rules: ["P1.27"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", thp = "never" }
        vm:mlock()
        vm:munlock("512K")
        vm.locked_pages --> 128
        """
    ) { call, object, space, pages throws(LuaFailure) in
      try change(call, object, space, "munlock", .unlock(pages))
    }
  }
}

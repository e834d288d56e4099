internal import LuaBridge
internal import MemoryDevices
internal import MemoryModel

extension MemoryLibrary {
  /// How the functions that open devices differ.
  struct DeviceConstructor: Sendable {
    let name: String
    let doc: String
    let kernel: [String]
    let rules: [String]
    let parameters: [LuaParameter]
    let call: String
    /// What messages call it.
    let words: String
  }

  static let deviceConstructors: [DeviceConstructor] = [
    DeviceConstructor(
      name: "vfio",
      doc: """
        A VFIO type 1 container: it pins what it maps for as long as it is mapped.

        It pins vfio_batch pages a call, cuts them into runs of neighbouring frames, maps each run \
        into the IOMMU, and counts them against RLIMIT_MEMLOCK (locked_vm). All or nothing.
        """, kernel: ["vfio_dma_do_map", "vfio_pin_pages_remote"], rules: ["P7.1", "P7.3", "P7.5"],
      parameters: [
        LuaParameter(
          "version", .choice(["v1", "v2"]), default: "v2",
          "What unmap answers when it would cut a mapping."),
        LuaParameter(
          "disable_hugepages", .boolean, default: "false", "One page a call and a run."),
        LuaParameter(
          "fine_superpages", .boolean, default: "false",
          "The IOMMU has pages of every power of two: one look and one call unmap a whole one."),
        LuaParameter(
          "entry_limit", .integer(1...1 << 32), default: "65535", "The most mappings."),
      ], call: "vfio()", words: "VFIO container"),
    DeviceConstructor(
      name: "iommufd",
      doc: """
        An iommufd address space: fast pins of 8192 pages a call, kept as runs of 12 bytes.

        Everything is pinned before it is counted: to the user, or to locked_vm as VFIO counts, and to \
        pinned_vm besides.
        """,
      kernel: ["iopt_map_user_pages", "pfn_reader_user_pin"], rules: ["P7.10"],
      parameters: [
        LuaParameter(
          "account", .choice(["user", "locked_vm"]), default: "user",
          "What is compared with RLIMIT_MEMLOCK (IOMMU_OPTION_RLIMIT_MODE).")
      ],
      call: "iommufd()", words: "iommufd"),
    DeviceConstructor(
      name: "rdma",
      doc: """
        An RDMA device: fast pins of 512 pages a call, kept as a scatter list.

        Counted up front (pinned_vm). With odp = true nothing is pinned: the device faults, and what \
        the kernel moves is invalidated first.
        """, kernel: ["ib_umem_get"], rules: ["P7.20", "P7.22"],
      parameters: [
        LuaParameter("odp", .boolean, default: "false", "On demand: no pins at all."),
        LuaParameter(
          "max_segment", .size(4096...Int64.max), default: "64K",
          "The most bytes of a segment of the scatter list."),
      ], call: "rdma()", words: "RDMA device"),
    DeviceConstructor(
      name: "io_uring",
      doc: """
        An io_uring ring for fixed buffers: one fast pin a buffer, of 1 GiB at most.

        Buffers of whole folios that follow each other keep one pin a folio. Counted to the user, \
        compound pages once over all buffers.
        """, kernel: ["io_sqe_buffer_register", "io_check_coalesce_buffer"], rules: ["P7.30"],
      parameters: [], call: "io_uring()", words: "io_uring"),
    DeviceConstructor(
      name: "spapr",
      doc: """
        powerpc's registered regions (SPAPR TCE v2): what spapr_pin of the kernel says.

        A region that is registered again gets one more user; the last one gives it back. Its slots \
        hold page pointers first and physical addresses afterwards; real-mode code looks them up.
        """, kernel: ["mm_iommu_new", "mm_iommu_do_alloc"], rules: ["P7.40", "P7.42", "P3.56"],
      parameters: [], call: "spapr()", words: "SPAPR container"),
  ]

  static var guestDeviceMethods: [LuaFunction] {
    deviceConstructors.map { item in
      LuaFunction(
        item.name, .named,
        [LuaParameter("name", .string, optional: true, "Who holds the pages, for why.")]
          + item.parameters, returns: [LuaResult(.object("device"))], doc: item.doc,
        kernel: item.kernel, rules: item.rules,
        example: """
          vm = machine{ ram = "128M" }:guest{ ram = "4M" }
          d = vm:\(item.call):map{ length = "64K" }
          d.pages --> 16
          """
      ) { call throws(LuaFailure) in
        let object = call.object(as: MachineObject.self)
        try open(item.name, object, call.index, call, first: 0)
      }
    }
  }

  private static var devices: LuaFunction {
    LuaFunction(
      "devices", returns: [LuaResult(.table, "device objects, oldest first.")],
      doc: "All who hold memory of guests for a device; a fork of the machine has its own.",
      rules: ["P7.1"],
      example: """
        m = machine{ ram = "128M" }
        m:guest{ ram = "4M" }:vfio():map{ length = "64K" }
        m:fork():devices()[1].pages --> 16
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(
          object.machine.devices.attachments.filter(\.isOpen).map {
            .object(LuaHandle("device", object, index: $0.id))
          }))
    }
  }

  static var machineDeviceMethods: [LuaFunction] {
    [devices]
      + deviceConstructors.map { item in
        LuaFunction(
          item.name, .named,
          [
            LuaParameter("guest", .object("guest"), "Whose memory it reaches."),
            LuaParameter("name", .string, optional: true, "Who holds the pages, for why."),
          ] + item.parameters, returns: [LuaResult(.object("device"))],
          doc: item.doc.split(separator: "\n").first.map(String.init) ?? item.doc,
          kernel: item.kernel, rules: item.rules,
          example: """
            m = machine{ ram = "128M" }
            vm = m:guest{ ram = "4M" }
            m:\(item.name){ guest = vm }:map{ length = "64K" }.pages --> 16
            """
        ) { call throws(LuaFailure) in
          let object = call.object(as: MachineObject.self)
          let guest = call.handle(0)
          guard guest.object === object else {
            throw LuaFailure(
              "bad field 'guest' in '\(item.name)' (the guest runs on another machine)")
          }
          try open(item.name, object, guest.index, call, first: 1)
        }
      }
  }

  private static func open(
    _ name: String, _ object: MachineObject, _ space: Int, _ call: borrowing LuaCall, first: Int
  ) throws(LuaFailure) {
    let guest = object.machine.spaces[space].name
    let words = deviceConstructors.first { $0.name == name }?.words ?? name
    let holder = call.string(first, default: "\(guest)'s \(words)")
    let make: @Sendable (inout Machine) -> Int
    switch name {
    case "vfio":
      let kind: DeviceAttachment.Kind = call.integer(first + 1, default: 1) == 0 ? .vfioV1 : .vfioV2
      let (isSmall, isFine) = (call.boolean(first + 2), call.boolean(first + 3))
      let limit = call.integer(first + 4, default: 65535)
      make = {
        $0.openDevice(
          kind, name: holder, space: space, disablesHugePages: isSmall, hasFineSuperpages: isFine,
          entryLimit: limit)
      }
    case "rdma":
      let kind: DeviceAttachment.Kind = call.boolean(first + 1) ? .odp : .rdma
      let segment = call.integer(first + 2, default: 64 << 10)
      make = { $0.openDevice(kind, name: holder, space: space, maximumSegment: segment) }
    case "iommufd":
      let isUser = call.integer(first + 1, default: 0) == 0
      make = {
        $0.openDevice(.iommufd, name: holder, space: space, account: isUser ? .user : .locked)
      }
    case "io_uring": make = { $0.openDevice(.ioUring, name: holder, space: space) }
    default: make = { $0.openDevice(.spapr, name: holder, space: space) }
    }
    let step = Step("d0", "open", "open \(holder)")
    let id = try OperationRunner.once(object, call, "\(guest):\(name)", step, counts: false, make)
    call.returns(LuaHandle("device", object, index: id))
  }

  static var guestMemlock: LuaFunction {
    LuaFunction(
      "memlock", .positional,
      [
        LuaParameter(
          "limit", .any, optional: true,
          "RLIMIT_MEMLOCK: a size, or false for none, as with CAP_IPC_LOCK.")
      ],
      returns: [LuaResult(.any, "The limit in bytes; nil when there is none.")],
      doc: """
        Reads or sets how much the process may lock.

        mlock, VFIO and SPAPR count against locked_vm, RDMA against pinned_vm, io_uring and iommufd \
        against the user: each alone, so that one process may pin the limit three times.
        """,
      kernel: ["rlimit"], rules: ["P9.4", "I14"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "4M" }
        vm:memlock("1M") --> 1048576
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      if call.isGiven(0) {
        let value = call.value(0)
        let space = call.index
        let limit = value.boolean == false ? nil : try ByteSize.bytes(value, "limit")
        let step = Step("x1", "do_prlimit", "set RLIMIT_MEMLOCK")
        try OperationRunner.once(
          object, call, "\(object.machine.spaces[space].name):memlock", step, counts: false
        ) { machine in
          machine.setMemlockLimit(space, limit)
          return 0
        }
      }
      guard let limit = object.machine.spaces[call.index].memlockLimit else {
        return call.returnsNil()
      }
      call.returns(limit)
    }
  }
}

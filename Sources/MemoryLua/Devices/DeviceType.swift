internal import LuaBridge
internal import MemoryDevices
internal import MemoryGuests
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

extension MemoryLibrary {
  static func deviceType() -> LuaType {
    LuaType(
      "device", MachineObject.self,
      doc: "Somebody who holds memory of a guest for a device: a container, a ring, a region.",
      properties: [
        LuaProperty("kind", .string, "v1, v2, iommufd, rdma, odp, io_uring or spapr.") { call in
          call.returns(device(call).kind.rawValue)
        },
        LuaProperty("name", .string, "Who it is, for why.") { call in
          call.returns(device(call).name)
        },
        LuaProperty("guest", .object("guest"), "Whose memory it reaches.") { call in
          call.returns(
            LuaHandle("guest", call.object(as: MachineObject.self), index: device(call).space))
        },
        LuaProperty("mappings", .table, "Its mappings, oldest first.") { call in
          let object = call.object(as: MachineObject.self)
          call.returns(
            LuaTable(
              device(call).mappings.map { .object(LuaHandle("mapping", object, index: $0.id)) }))
        },
        LuaProperty("pages", .integer(), "Pages that it maps.") { call in
          call.returns(device(call).mappings.reduce(0) { $0 + $1.pages })
        },
        LuaProperty(
          "account", .string, "Where its pages count: locked_vm, pinned_vm, user or none."
        ) {
          call in call.returns(device(call).account.rawValue)
        },
        LuaProperty("charged", .integer(), "Pages that it counts there.") { call in
          call.returns(device(call).mappings.reduce(0) { $0 + $1.charged })
        },
        LuaProperty(
          "revoked", .table,
          "complied, refused: pages that the kernel asked back (switch revoke, rule P9.11)."
        ) { call in
          let answer = device(call).revocation
          call.returns(
            LuaTable(fields: [
              ("complied", .integer(Int64(answer.complied))),
              ("refused", .integer(Int64(answer.refused))),
            ]))
        },
      ],
      methods: [deviceMap, deviceUnmap, deviceIOMMU, deviceClose],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        let device = object.machine.devices.attachments[handle.index]
        return device.isOpen ? describe(device, object) : "\(device.name), closed"
      },
      isLive: { handle in
        handle.owner(as: MachineObject.self).machine.devices.attachment(handle.index)?.isOpen
          ?? false
      })
  }

  private static func describe(_ device: DeviceAttachment, _ object: MachineObject) -> String {
    let shift = object.machine.geometry.pageShift
    let pages = device.mappings.reduce(0) { $0 + $1.pages }
    var text = "\(device.name) (\(device.kind.rawValue)): \(device.mappings.count) mapping"
    text += (device.mappings.count == 1 ? "" : "s") + ", \(formatSize(pages << shift))"
    if device.account != .none {
      let charged = device.mappings.reduce(0) { $0 + $1.charged }
      let counter = device.account == .user ? "the user" : device.account.rawValue
      text += ", \(charged) pages counted to \(counter)"
    }
    return text
  }

  private static func device(_ call: borrowing LuaCall) -> DeviceAttachment {
    call.object(as: MachineObject.self).machine.devices.attachments[call.index]
  }

  private static var deviceMap: LuaFunction {
    LuaFunction(
      "map", .named,
      GuestRange.parameters() + [
        LuaParameter(
          "iova", .size(), default: "the offset into the RAM", "Where the device sees it."),
        LuaParameter("write", .boolean, default: "true", "The device may write."),
        LuaParameter(
          "max_rounds", .integer(1...1_000_000), default: "1000",
          "After so many rounds of pin and migrate in one call it is killed and called a livelock."),
      ],
      returns: [LuaResult(.object("mapping"))],
      errors: [
        LuaErrno("ENOMEM", "over RLIMIT_MEMLOCK, or a page that may not stay could not move"),
        LuaErrno("EFAULT", "a page is missing or may not be pinned"),
        LuaErrno("EEXIST", "a part of the iova range is mapped already"),
        LuaErrno("EINVAL", "no bytes, or an address that is no multiple of a page"),
        LuaErrno("ENOSPC", "no more mappings"),
        LuaErrno("EINTR", "it spun, or moved pages for max_rounds rounds: err.livelock"),
      ],
      doc: """
        Gives the device a range of the guest's memory; all or nothing.

        Also VFIO_IOMMU_MAP_DMA, ib_reg_mr, IORING_REGISTER_BUFFERS, VFIO_IOMMU_SPAPR_REGISTER_MEMORY.
        """,
      kernel: ["vfio_dma_do_map", "ib_umem_get", "io_sqe_buffer_register"],
      rules: ["P7.4", "P7.20", "P7.30", "P7.40"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "4M" }
        vm:vfio():map{ length = "2M" }.iommu_maps
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let device = device(call)
      let shift = object.machine.geometry.pageShift
      let inside = 1 << shift - 1
      let given = [0, 1, 2].map { call.isGiven($0) ? call.integer($0) : 0 }
      if device.kind.hasIOVA, let odd = given.first(where: { $0 & inside != 0 }) {
        return call.refuse(
          Refusal(
            .EINVAL, "0x\(String(odd, radix: 16)) is no multiple of the IOMMU's page size",
            rule: "P7.4"))
      }
      if call.isGiven(1), given[1] == 0 {
        let isRing = device.kind == .ioUring
        return call.refuse(
          Refusal(
            isRing ? .EFAULT : .EINVAL, "the length is 0",
            rule: isRing ? "P7.30" : device.kind == .rdma ? "P7.20" : "P7.4"))
      }
      let pages = try GuestRange.pages(call, 0, object, device.space, function: "map")
      let iova =
        call.isGiven(2)
        ? given[2] >> shift
        : max(0, pages.lowerBound - object.machine.spaces[device.space].ram.lowerBound)
      if device.kind == .spapr, call.continuation(as: PendingCall.self) == nil,
        let shared = object.machine.shareRegistration(
          attachment: device.id, startPage: pages.lowerBound, pages: pages.count)
      {
        return call.returns(LuaHandle("mapping", object, index: shared))
      }
      let limit = call.integer(4, default: 1000)
      let (map, waited) = try OperationRunner.call(
        object, call, "\(device.name):map", space: device.space,
        spin: { livelock($0, limit) }
      ) {
        DeviceMap(
          attachment: device.id, startPage: pages.lowerBound, pages: pages.count, iova: iova,
          isWrite: call.boolean(3, default: true))
      }
      guard let outcome = map.outcome else {
        return call.refuse(Refusal(.EINTR, waited ?? "killed", rule: "P3.20"))
      }
      if let id = outcome.mapping {
        return call.returns(LuaHandle("mapping", object, index: id))
      }
      let refusal = outcome.refusal ?? Refusal(.EINVAL, "nothing was mapped", rule: "P7.4")
      var fields: [(name: String, value: LuaValue)] = [
        ("stuck", .table(LuaTable(outcome.stuck.map { .integer(Int64($0.rawValue)) }))),
        ("costs", .table(table(outcome.costs))),
        ("livelock", .boolean(waited?.hasPrefix("LIVELOCK") == true)),
      ]
      if let leaked = outcome.leakedCount { fields.append(("returned", .integer(Int64(leaked)))) }
      call.refuse(
        waited.map { Refusal(.EINTR, "killed: \($0)", rule: "P3.43") } ?? refusal, fields: fields)
    }
  }

  /// Why a map that goes round and round is killed.
  private static func livelock(_ map: DeviceMap, _ limit: Int) -> String? {
    let rounds = map.roundsOfCall
    if rounds.count >= limit {
      return
        "LIVELOCK: in \(limit) rounds of one call it moved \(rounds.moved) pages, and each time "
        + "found pages that may not stay (rule P4.41)"
    }
    return map.idleRounds > OperationRunner.idleRoundLimit
      ? "it pinned, found pages that may not stay, and could isolate none of them, "
        + "\(map.idleRounds) times (rule P3.43)" : nil
  }

  private static var deviceUnmap: LuaFunction {
    LuaFunction(
      "unmap", .named,
      [
        LuaParameter("iova", .size(), default: "0", "Where the range begins."),
        LuaParameter(
          "length", .size(), default: "all", "How much of the device's addresses."),
      ],
      returns: [
        LuaResult(
          .table,
          "size, lookups, iommu_unmaps, syncs, unpin_atomics: what was unmapped and how.")
      ],
      errors: [
        LuaErrno("EINVAL", "v2: the range would cut a mapping in two; VFIO: it is no whole pages"),
        LuaErrno("ENOENT", "iommufd: the same; SPAPR: no such region"),
        LuaErrno("EBUSY", "SPAPR: TCE tables still name pages of the region"),
      ],
      doc: """
        Takes a range of iova away from the device and gives its pages back.

        Version 1 of VFIO answers with what it found, also 0 bytes, or more than was asked for.
        """,
      kernel: ["vfio_dma_do_unmap", "vfio_unmap_unpin"], rules: ["P7.6", "P7.7", "P7.42"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "4M" }
        c = vm:vfio()
        c:map{}
        c:unmap().size --> 4194304
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      if try endRelease(call, object) { return }
      let device = device(call)
      let shift = object.machine.geometry.pageShift
      let start = call.integer(0, default: 0)
      let length = call.isGiven(1) ? call.integer(1) : Int.max >> 1 & ~(1 << shift - 1)
      if device.kind.isVFIO, (start | length) & (1 << shift - 1) != 0 || length == 0 {
        return call.refuse(
          Refusal(
            .EINVAL, "VFIO unmaps whole pages of \(1 << shift) bytes, one at least",
            rule: "P7.4"))
      }
      let first = start >> shift
      let pages = (length + 1 << shift - 1) >> shift
      let concerned: [DeviceMapping]
      switch object.machine.mappingsToUnmap(
        attachment: device.id, iova: first..<first + min(pages, Int.max >> 1 - first))
      {
      case .failure(let refusal): return call.refuse(refusal)
      case .success(let found): concerned = found
      }
      try release(call, object, device, concerned.map(\.id))
    }
  }

  /// Inside a task: the body of an unmap is entered again when all is given back, and what it named is
  /// gone.
  static func endRelease(
    _ call: borrowing LuaCall, _ object: MachineObject
  ) throws(LuaFailure) -> Bool {
    guard call.continuation(as: PendingCall.self) != nil else { return false }
    let (unmap, _) = try OperationRunner.call(object, call, "unmap") {
      DeviceUnmap(attachment: 0, mappings: [])
    }
    call.returns(
      unmapped(unmap.outcome ?? DeviceUnmapOutcome(), object.machine.geometry.pageShift))
    return true
  }

  /// Gives mappings back; of a registered region one user, unless the device goes.
  static func release(
    _ call: borrowing LuaCall, _ object: MachineObject, _ device: DeviceAttachment,
    _ mappings: [Int], closing: Bool = false
  ) throws(LuaFailure) {
    let shift = object.machine.geometry.pageShift
    if device.kind == .spapr, !closing {
      for mapping in mappings {
        switch object.machine.releaseRegistration(attachment: device.id, mapping: mapping) {
        case .failure(let refusal): return call.refuse(refusal)
        case .success(false): return call.returns(unmapped(DeviceUnmapOutcome(), shift))
        case .success(true): break
        }
      }
    }
    let (unmap, _) = try OperationRunner.call(
      object, call, "\(device.name):unmap", space: device.space
    ) {
      closing
        ? DeviceUnmap(closing: device.id)
        : DeviceUnmap(attachment: device.id, mappings: mappings)
    }
    call.returns(unmapped(unmap.outcome ?? DeviceUnmapOutcome(), shift))
  }

  private static func unmapped(_ outcome: DeviceUnmapOutcome, _ shift: Int) -> LuaTable {
    LuaTable(fields: [
      ("size", .integer(Int64(outcome.pages << shift))),
      ("lookups", .integer(Int64(outcome.lookups))),
      ("iommu_unmaps", .integer(Int64(outcome.iommuUnmaps))),
      ("syncs", .integer(Int64(outcome.syncs))),
      ("unpin_atomics", .integer(Int64(outcome.costs.unpinAtomics))),
    ])
  }

  private static var deviceIOMMU: LuaFunction {
    LuaFunction(
      "iommu",
      returns: [
        LuaResult(
          .table,
          "small, large, gigantic: entries of 4 KiB, 2 MiB and 1 GiB; tables and bytes of the table."
        )
      ],
      errors: [LuaErrno("EINVAL", "the device has no IOMMU of its own")],
      doc: "Counts the IOMMU's page table: each run is mapped in pages as large as fit.",
      kernel: ["iommu_pgsize"], rules: ["P7.2", "P7.50"],
      example: """
        m = machine{ ram = "1G" }
        c = m:guest{ ram = "8M", thp = "always" }:vfio()
        c:map{}
        c:iommu().large --> 4
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      let device = device(call)
      guard device.kind.hasIOVA else {
        return call.refuse(
          Refusal(.EINVAL, "\(device.name) does not translate addresses", rule: "P7.2"))
      }
      let table = object.machine.iommuTable(device)
      call.returns(
        LuaTable(fields: [
          ("small", .integer(Int64(table.small))), ("large", .integer(Int64(table.large))),
          ("gigantic", .integer(Int64(table.gigantic))),
          ("tables", .integer(Int64(table.tables))), ("bytes", .integer(Int64(table.bytes))),
        ]))
    }
  }

  private static var deviceClose: LuaFunction {
    LuaFunction(
      "close",
      returns: [LuaResult(.table, "As of unmap.")],
      doc: """
        Unplugs the device: everything is unmapped and given back. The object is stale afterwards.

        Nothing moves back: pages that left CMA for a pin stay where they are.
        """,
      kernel: ["vfio_iommu_type1_release", "iommufd_fops_release"], rules: ["P7.7", "P3.62"],
      example: """
        m = machine{ ram = "128M" }
        c = m:guest{ ram = "4M" }:vfio()
        c:map{}
        c:close().size --> 4194304
        #m:pins() --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let device = device(call)
      try release(call, object, device, device.mappings.map(\.id), closing: true)
    }
  }
}

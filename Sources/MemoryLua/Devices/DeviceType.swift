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
      ],
      methods: [deviceMap, deviceUnmap],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        let device = object.machine.devices.attachments[handle.index]
        let pages = device.mappings.reduce(0) { $0 + $1.pages }
        return "\(device.name) (\(device.kind.rawValue)): \(device.mappings.count) mapping"
          + (device.mappings.count == 1 ? "" : "s")
          + ", \(formatSize(pages << object.machine.geometry.pageShift))"
      })
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
          "After so many rounds of pin and migrate it is killed and called a livelock."),
      ],
      returns: [LuaResult(.object("mapping"))],
      errors: [
        LuaErrno("ENOMEM", "over RLIMIT_MEMLOCK, or a page that may not stay could not move"),
        LuaErrno("EFAULT", "a page is missing or may not be pinned"),
        LuaErrno("EEXIST", "a part of the iova range is mapped already"),
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
      let pages = try GuestRange.pages(call, 0, object, device.space, function: "map")
      let shift = object.machine.geometry.pageShift
      var iova = pages.lowerBound - object.machine.spaces[device.space].ram.lowerBound
      if call.isGiven(2) {
        guard call.integer(2) & (1 << shift - 1) == 0 else {
          throw LuaFailure(
            "bad field 'iova' in 'map' (0x\(String(call.integer(2), radix: 16)) is inside a page)")
        }
        iova = call.integer(2) >> shift
      }
      let limit = call.integer(4, default: 1000)
      let calls = max(1, pages.count / max(1, object.machine.kernel.pinning.vfioBatch))
      func spin(_ map: DeviceMap) -> String? {
        if map.rounds > limit + calls {
          return "LIVELOCK: after \(map.rounds) rounds there were still pages that may not stay "
            + "(rule P4.41)"
        }
        return map.idleRounds > OperationRunner.idleRoundLimit
          ? "it pinned, found pages that may not stay, and could isolate none of them, "
            + "\(map.idleRounds) times (rule P3.43)" : nil
      }
      let (map, waited) = try OperationRunner.call(
        object, call, "\(device.name):map", space: device.space, spin: spin
      ) { () throws(LuaFailure) in
        DeviceMap(
          attachment: device.id, startPage: pages.lowerBound, pages: pages.count,
          iova: max(0, iova), isWrite: call.boolean(3, default: true))
      }
      guard let outcome = map.outcome else {
        return call.refuse(Refusal(.EINTR, waited ?? "killed", rule: "P3.20"))
      }
      if let id = outcome.mapping {
        return call.returns(LuaHandle("mapping", object, index: id))
      }
      let refusal = outcome.refusal ?? Refusal(.EINVAL, "nothing was mapped", rule: "P7.4")
      call.refuse(
        waited.map { Refusal(.EINTR, "killed: \($0)", rule: "P3.43") } ?? refusal,
        fields: [
          ("stuck", .table(LuaTable(outcome.stuck.map { .integer(Int64($0.rawValue)) }))),
          ("costs", .table(table(outcome.costs))),
          ("livelock", .boolean(waited?.hasPrefix("LIVELOCK") == true)),
        ])
    }
  }

  private static var deviceUnmap: LuaFunction {
    LuaFunction(
      "unmap", .named,
      [
        LuaParameter("iova", .size(), default: "0", "Where the range begins."),
        LuaParameter(
          "length", .size(1...Int64.max), default: "all", "How much of the device's addresses."),
      ],
      returns: [
        LuaResult(
          .table, "size, lookups, iommu_unmaps, unpin_atomics: what was unmapped and how.")
      ],
      errors: [
        LuaErrno("EINVAL", "v2: the range would cut a mapping in two"),
        LuaErrno("ENOENT", "iommufd: the same"),
      ],
      doc: """
        Takes a range of iova away from the device and gives its pages back.

        Version 1 of VFIO answers with what it found, also 0 bytes, or more than was asked for.
        """,
      kernel: ["vfio_dma_do_unmap", "vfio_unmap_unpin"], rules: ["P7.6", "P7.7"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "4M" }
        c = vm:vfio()
        c:map{}
        c:unmap().size --> 4194304
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let device = device(call)
      let shift = object.machine.geometry.pageShift
      let first = call.integer(0, default: 0) >> shift
      let pages = call.isGiven(1) ? (call.integer(1) - 1) >> shift + 1 : Int.max >> 1
      let iova = first..<first + min(pages, Int.max >> 1 - first)
      let (release, _) = try OperationRunner.call(object, call, "\(device.name):unmap") {
        () throws(LuaFailure) in DeviceRelease(attachment: device.id, .range(iova))
      }
      switch release.outcome {
      case .refused(let refusal): call.refuse(refusal)
      case .done(let done): call.returns(unmapped(done, shift))
      case nil: call.refuse(Refusal(.EINTR, "killed", rule: "P3.20"))
      }
    }
  }

  static func unmapped(_ outcome: DeviceUnmapOutcome, _ shift: Int) -> LuaTable {
    LuaTable(fields: [
      ("size", .integer(Int64(outcome.pages << shift))),
      ("lookups", .integer(Int64(outcome.lookups))),
      ("iommu_unmaps", .integer(Int64(outcome.iommuUnmaps))),
      ("unpin_atomics", .integer(Int64(outcome.costs.unpinAtomics))),
    ])
  }
}

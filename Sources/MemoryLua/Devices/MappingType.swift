internal import LuaBridge
internal import MemoryDevices
internal import MemoryGuests
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func mappingType() -> LuaType {
    LuaType(
      "mapping", MachineObject.self,
      doc: "A range that a device may reach, and what mapping it cost.",
      properties: mappingProperties, methods: [mappingUnmap, mappingAccess] + mappingFrameMethods,
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        guard let (device, mapping) = object.machine.deviceMapping(handle.index) else {
          return "mapping #\(handle.index), given back"
        }
        let shift = object.machine.geometry.pageShift
        var text =
          "mapping #\(mapping.id) of \(device.name): iova 0x\(String(mapping.iova << shift, radix: 16))"
          + ", \(formatSize(mapping.pages << shift))"
        if mapping.runs > 0 { text += ", \(mapping.runs) run\(mapping.runs == 1 ? "" : "s")" }
        if mapping.costs.calls > 0 {
          text += ", \(mapping.costs.calls) call\(mapping.costs.calls == 1 ? "" : "s")"
        }
        if mapping.costs.migratedPages > 0 { text += ", \(mapping.costs.migratedPages) moved" }
        if mapping.charged > 0 { text += ", \(mapping.charged) charged" }
        if mapping.isCoalesced { text += ", one pin a folio" }
        if mapping.corrupted > 0 { text += ", list corrupt at \(mapping.corrupted) pages (I4)" }
        return text
      },
      isLive: { $0.owner(as: MachineObject.self).machine.deviceMapping($0.index) != nil })
  }

  static func mapping(
    _ call: borrowing LuaCall
  ) throws(LuaFailure) -> (device: DeviceAttachment, mapping: DeviceMapping) {
    guard let found = call.object(as: MachineObject.self).machine.deviceMapping(call.index) else {
      throw LuaFailure("mapping #\(call.index) was given back")
    }
    return found
  }

  private static func integer(
    _ name: String, _ doc: String, _ read: @escaping @Sendable (DeviceMapping) -> Int
  ) -> LuaProperty {
    LuaProperty(name, .integer(), doc) { call throws(LuaFailure) in
      call.returns(read(try mapping(call).mapping))
    }
  }

  private static var mappingProperties: [LuaProperty] {
    [
      integer("id", "Its number.") { $0.id },
      integer("pages", "Its pages.") { $0.pages },
      integer("runs", "Runs of neighbouring frames.") { $0.runs },
      integer("iommu_maps", "Calls that map into the IOMMU.") { $0.iommuMaps },
      integer("records", "Records of the driver's list: segments, vectors, runs or slots.") {
        $0.records
      },
      integer("bytes", "Bytes of these records.") { $0.bytes },
      integer("charged", "Pages counted against a limit.") { $0.charged },
      integer("corrupted", "Pages that RFC2015 took off a list without their flag (I4).") {
        $0.corrupted
      },
      integer(
        "foreign",
        "Pages for which the device got another frame than the guest shows (vfio_skip_tails, I7)."
      ) { $0.foreign },
      integer("users", "Users of a registered region.") { $0.users },
      integer("repins", "Pages that were unpinned, and pinned again at once.") { $0.repins },
      integer("frame_lookups", "Looks for frames of device memory, which no pin holds.") {
        $0.frameLookups
      },
      integer("page_size", "Of a registered region: the largest IOMMU page that all of it allows.")
      {
        $0.pageShift == 0 ? 0 : 1 << $0.pageShift
      },
      LuaProperty(
        "tce_entries", .integer(), "Entries of TCE tables that name pages of a registered region.",
        get: { call throws(LuaFailure) in call.returns(try mapping(call).mapping.tableEntries) },
        set: { call throws(LuaFailure) in
          let found = try mapping(call)
          let entries = call.integer(0)
          guard found.device.kind == .spapr, entries >= 0 else {
            throw LuaFailure(
              "tce_entries counts entries of a registered region (spapr), and is 0 or more, not "
                + "\(entries)")
          }
          call.object(as: MachineObject.self).machine.setTableEntries(
            found.device.id, found.mapping.id, entries)
        }),
      integer("calls", "Calls that pinned it.") { $0.costs.calls },
      integer("migrated", "Pages of 4 KiB that were moved before.") { $0.costs.migratedPages },
      integer("rounds", "Rounds of pin, check and migrate.") { $0.costs.rounds },
      LuaProperty("iova", .address, "Where the device sees it.") { call throws(LuaFailure) in
        let object = call.object(as: MachineObject.self)
        call.returns(try mapping(call).mapping.iova << object.machine.geometry.pageShift)
      },
      LuaProperty("coalesced", .boolean, "One pin a folio (io_uring).") {
        call throws(LuaFailure) in call.returns(try mapping(call).mapping.isCoalesced)
      },
      LuaProperty("pin", .object("pin"), "The pin of its pages; nil when none is pinned.") {
        call throws(LuaFailure) in
        guard let pin = try mapping(call).mapping.pin else { return call.returnsNil() }
        call.returns(LuaHandle("pin", call.object(as: MachineObject.self), index: pin))
      },
      LuaProperty("invalidated", .integer(), "On demand: entries that the kernel took back.") {
        call throws(LuaFailure) in
        let found = try mapping(call)
        call.returns(
          call.object(as: MachineObject.self).machine.invalidatedOnDemand(
            attachment: found.device.id, mapping: found.mapping.id))
      },
      LuaProperty("costs", .table, "What mapping it did, as pin.costs.") {
        call throws(LuaFailure) in call.returns(table(try mapping(call).mapping.costs))
      },
      LuaProperty("ns", .integer(), "An estimate of how long it took, in nanoseconds.") {
        call throws(LuaFailure) in
        let found = try mapping(call)
        let isFast = ![.vfioV1, .vfioV2].contains(found.device.kind)
        call.returns(
          Calibration.linux6_12.estimate(
            found.mapping.costs, pages: found.mapping.pages, isFast: isFast))
      },
    ]
  }

  private static var mappingUnmap: LuaFunction {
    LuaFunction(
      "unmap",
      returns: [LuaResult(.table, "size, lookups, iommu_unmaps, syncs, unpin_atomics.")],
      errors: [LuaErrno("EBUSY", "SPAPR: TCE tables still name pages of the region")],
      doc: """
        Gives the mapping back; of a registered region, one user. The object is stale afterwards.

        VFIO keeps no list of pages: it reads the frames back from the IOMMU's table, a page at a time, \
        and unpins them a page at a time.
        """,
      kernel: ["vfio_unmap_unpin", "ib_umem_release", "mm_iommu_put"],
      rules: ["P7.7", "P7.21", "P7.42"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "4M" }
        d = vm:rdma():map{}
        d:unmap().size --> 4194304
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      if try endRelease(call, object) { return }
      let found = try mapping(call)
      try release(call, object, found.device, [found.mapping.id])
    }
  }

  private static var mappingAccess: LuaFunction {
    LuaFunction(
      "access", .named, GuestRange.parameters("all of the mapping"),
      returns: [LuaResult(.table, "hits, faults, refaults.")],
      errors: [LuaErrno("EFAULT", "a page cannot be had")],
      doc: "The device reaches for pages on demand; only of rdma{ odp = true }.",
      kernel: ["ib_umem_odp_map_dma_and_lock"], rules: ["P7.22", "P9.10"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "1M" }
        r = vm:rdma{ odp = true }:map{}
        r:access{ length = "64K" }.faults --> 16
        r:access{ length = "64K" }.hits --> 16
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let found = try mapping(call)
      guard found.device.kind == .odp else {
        throw LuaFailure("access: \(found.device.name) pins its pages; use rdma{ odp = true }")
      }
      let pages =
        call.isGiven(0) || call.isGiven(1)
        ? try GuestRange.pages(call, 0, object, found.device.space, function: "access")
        : found.mapping.startPage..<found.mapping.startPage + found.mapping.pages
      guard pages.lowerBound >= found.mapping.startPage,
        pages.upperBound <= found.mapping.startPage + found.mapping.pages
      else { throw LuaFailure("access: the range leaves the mapping") }
      let (operation, _) = try OperationRunner.call(
        object, call, "\(found.device.name):access", space: found.device.space
      ) {
        OnDemandAccess(attachment: found.device.id, mapping: found.mapping.id, pages: pages)
      }
      let access = operation.outcome ?? DeviceAccess()
      if let refusal = access.refusal { return call.refuse(refusal) }
      call.returns(
        LuaTable(fields: [
          ("hits", .integer(Int64(access.hits))), ("faults", .integer(Int64(access.faults))),
          ("refaults", .integer(Int64(access.refaults))),
        ]))
    }
  }
}

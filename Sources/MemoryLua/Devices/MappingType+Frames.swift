internal import LuaBridge
internal import MemoryDevices
internal import MemoryGuests
internal import MemoryModel

extension MemoryLibrary {
  /// What a device reaches through a mapping.
  static var mappingFrameMethods: [LuaFunction] {
    [mappingFrames, mappingLookup, mappingMarkDirty]
  }

  private static var mappingFrames: LuaFunction {
    LuaFunction(
      "frames", .positional,
      [LuaParameter("count", .integer(1...(1 << 20)), default: "4096", "How many at the most.")],
      returns: [LuaResult(.object("listing"), "A row for each run: offset, pfn, pages.")],
      doc: "The frames as runs of neighbours, in the order of the device's addresses.",
      kernel: ["iommu_iova_to_phys"], rules: ["P7.7", "I7"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "1M", thp = "never" }
        vm:vfio():map{ length = "64K" }:frames()[1].offset --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let mapping = try mapping(call).mapping
      let shift = object.machine.geometry.pageShift
      let limit = call.integer(0, default: 4096)
      let listing = ListingObject(header: "")
      var number = 0
      object.machine.forEachFrameRun(mapping) { offset, frame, pages in
        number += 1
        if number > limit { return }
        listing.add(
          "0x\(String((mapping.iova + offset) << shift, radix: 16)) → pfn "
            + "0x\(String(frame, radix: 16)), \(pages) page\(pages == 1 ? "" : "s")",
          [
            ("offset", .integer(Int64(offset << shift))), ("pfn", .integer(Int64(frame))),
            ("pages", .integer(Int64(pages))),
          ])
      }
      listing.total = number
      call.returns(LuaHandle("listing", listing))
    }
  }

  private static var mappingLookup: LuaFunction {
    LuaFunction(
      "lookup", .positional,
      [
        LuaParameter("offset", .size(), "An offset into the mapping."),
        LuaParameter(
          "page_size", .size(1...1 << 34), optional: true,
          "The IOMMU page that is to be entered; a registered region may allow less."),
      ],
      returns: [LuaResult(.address, "The physical address behind it.")],
      errors: [
        LuaErrno("EFAULT", "the offset is behind the mapping, or the region allows no such page")
      ],
      doc: "What the device reaches at an offset: the physical address of the page, plus the rest.",
      kernel: ["mm_iommu_ua_to_hpa"], rules: ["P7.40", "P7.41", "I7"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "1M", thp = "never" }
        r = vm:spapr():map{ length = "12K" }
        r:lookup(0x1123) - r.pin.pfns[2] * 4096 --> 291
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let found = try mapping(call)
      var shift = 0
      if call.isGiven(1) {
        let size = call.integer(1)
        guard size.nonzeroBitCount == 1 else {
          throw LuaFailure(
            "bad argument 'page_size' to 'lookup' (\(size) is no power of two)")
        }
        shift = size.trailingZeroBitCount
      }
      switch object.machine.physicalAddress(
        found.mapping, offset: call.integer(0), pageShift: shift)
      {
      case .success(let address): call.returns(address)
      case .failure(let refusal): call.refuse(refusal)
      }
    }
  }

  private static var mappingMarkDirty: LuaFunction {
    LuaFunction(
      "mark_dirty", .positional, [LuaParameter("offset", .size(), "An offset into the mapping.")],
      returns: [LuaResult(.boolean)],
      errors: [LuaErrno("EFAULT", "the offset is behind the mapping")],
      doc: """
        Of a registered region: sets the dirty bit of a slot, as the real-mode code does when a guest \
        maps it for writing; the page becomes dirty when the region is given back.
        """,
      kernel: ["mm_iommu_ua_mark_dirty_rm"], rules: ["P7.40"],
      example: """
        vm = machine{ ram = "128M" }:guest{ ram = "1M" }
        vm:spapr():map{ length = "12K" }:mark_dirty("4K") --> true
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let found = try mapping(call)
      guard found.device.kind == .spapr else {
        throw LuaFailure("mark_dirty: \(found.device.name) has no slots; use spapr()")
      }
      let slot = call.integer(0) >> object.machine.geometry.pageShift
      guard slot < found.mapping.pages else {
        return call.refuse(
          Refusal(
            .EFAULT, "0x\(String(call.integer(0), radix: 16)) is behind the mapping's end",
            rule: "P7.40"))
      }
      object.machine.markDirty(found.device.id, found.mapping.id, slot: slot)
      call.returns(true)
    }
  }
}

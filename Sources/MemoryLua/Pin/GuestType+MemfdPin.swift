internal import LuaBridge
internal import MemoryModel
internal import MemoryOperations

extension MemoryLibrary {
  static var memfdPin: LuaFunction {
    LuaFunction(
      "memfd_pin", .named,
      GuestRange.parameters() + [
        LuaParameter(
          "max_folios", .integer(1...(1 << 31)), default: "as many as there are",
          "Room of the caller for folios."),
        LuaParameter("holder", .string, default: "its number", "Who holds it, for why."),
        LuaParameter(
          "watch", .function, optional: true,
          "Called before each atomic step, as that of `pin`."),
      ],
      returns: [LuaResult(.object("pin"), "The folios, each pinned once.")],
      errors: [
        LuaErrno("EINVAL", "the range ends behind the end of the file, or the file is on a disk"),
        LuaErrno(
          "ENOMEM",
          "a hole could not be filled, or a folio that may not stay could not be moved: err.stuck has "
            + "the folios"),
        LuaErrno("EINTR", "it spun, because somebody keeps a folio isolated (rule P3.43)"),
      ],
      doc: """
        Pins folios of the memfd, shmem or hugetlb file that is mapped there, as udmabuf does.

        No page table is looked at: the range says which part of the file is meant. Each folio is \
        pinned once, however large it is; holes of the file are filled. It is always a long-term pin.
        """,
      kernel: ["memfd_pin_folios", "memfd_alloc_folio"], rules: ["P3.70"],
      example: """
        m = machine{ ram = "1G" }
        m:hugepages{ count = 8 }
        vm = m:guest{ ram = "16M", backing = "hugetlb" }
        p = vm:memfd_pin{ from = "1M", length = "4M" }
        p.pages --> 3
        p.offset --> 1048576
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let pages = try GuestRange.pages(call, 0, object, space, function: "memfd_pin")
      let (file, first) = try file(pages.lowerBound, object, space)
      let shift = object.machine.geometry.pageShift
      let length = call.isGiven(1) ? call.integer(1) : pages.count << shift
      let request = MemfdPinRequest(
        file: file, start: first << shift, end: first << shift + length - 1,
        maximumFolios: call.integer(2, default: 1 << 31), space: space,
        holder: call.string(3, default: ""))
      let spin: (MemfdPin) -> String? = { pin in
        pin.idleRounds > OperationRunner.idleRoundLimit
          ? "it found folios that may not stay and could isolate none of them, "
            + "\(pin.idleRounds) times: somebody else has them isolated (see why)"
          : nil
      }
      let (pin, waited) = try OperationRunner.call(
        object, call, "memfd_pin", space: space, watch: 4, spin: spin
      ) { MemfdPin(request) }
      if let id = pin.outcome?.pin { return call.returns(LuaHandle("pin", object, index: id)) }
      if let waited { return call.refuse(Refusal(.EINTR, waited, rule: "P3.43")) }
      let stuck = pin.outcome?.stuck.map { LuaValue.integer(Int64($0.rawValue)) } ?? []
      call.refuse(
        pin.outcome?.refusal ?? Refusal(.EINVAL, "nothing was pinned", rule: "P3.70"),
        fields: [("stuck", .table(LuaTable(stuck)))])
    }
  }

  /// The file that is mapped at a page, and the page's place in it.
  private static func file(
    _ page: Int, _ object: MachineObject, _ space: Int
  ) throws(LuaFailure) -> (file: Int, page: Int) {
    guard let area = object.machine.spaces[space].area(page), let file = area.file else {
      throw LuaFailure(
        "bad field 'from' in 'memfd_pin' (no file is mapped at 0x"
          + String(page << object.machine.geometry.pageShift, radix: 16)
          + "; start the guest with backing = \"memfd\" or \"hugetlb\")")
    }
    return (file, area.filePage(page))
  }
}

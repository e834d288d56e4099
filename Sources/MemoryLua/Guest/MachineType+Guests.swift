internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static var guestMethods: [LuaFunction] { [guest, guests] }

  private static var guest: LuaFunction {
    LuaFunction(
      "guest", .named,
      [
        LuaParameter(
          "name", .string, default: "\"vm0\", \"vm1\", …", "How messages and why name it."),
        LuaParameter(
          "ram", .size(1...Int64.max), default: "256M", "Its RAM, mapped from 0x7f0000000000 on."),
        LuaParameter(
          "backing", .choice(GuestBacking.allCases.map(\.rawValue)), default: "anon",
          "What the RAM is: private anonymous memory, shared anonymous memory, a memfd, hugetlb "
            + "pages, a file of a disk, memory of a device, a file of a DAX filesystem, or secret memory."
        ),
        LuaParameter(
          "thp", .choice(GuestHugePages.allCases.map(\.rawValue)), default: "always",
          "Where huge pages may be used: wherever the machine's setting allows, with MADV_HUGEPAGE, "
            + "or with MADV_NOHUGEPAGE."),
        LuaParameter(
          "shmem_thp", .choice(MemoryFile.HugePolicy.allCases.map(\.rawValue)), default: "never",
          "huge= of the shmem behind `shared` and `memfd`."),
        LuaParameter(
          "hugepages", .size(1...Int64.max), default: "the architecture's huge page",
          "The size of the hugetlb pages: 2M or 1G."),
        LuaParameter(
          "node", .integer(0...31), default: "any", "The node on whose CPUs it runs."),
        LuaParameter(
          "placement", .choice(["normal", "shuffled"]), default: "normal",
          "shuffled fills the RAM at once with single frames in random order."),
        LuaParameter(
          "seed", .integer(0...Int64.max), default: "0", "Where the order of `shuffled` starts."),
        LuaParameter(
          "hpt", .any, optional: true,
          "A powerpc guest's hash page table: true for QEMU's choice, or its order; see m:hpt. "
            + "Without memory for it the guest does not start."),
      ],
      returns: [LuaResult(.object("guest"))],
      errors: [
        LuaErrno(
          "ENOMEM", "no memory for its page tables, for shuffled RAM, or for its hash page table"),
        LuaErrno("EEXIST", "a guest of that name runs"),
        LuaErrno("EINVAL", "the RAM is not a whole number of huge pages"),
      ],
      doc: """
        Starts a guest: a process with RAM, mapped but not populated.

        m:guest("vm0") finds a guest by its name, also on a fork of the machine.
        """,
      kernel: ["do_mmap", "shmem_file_setup", "hugetlb_file_setup"], rules: ["P2.1", "P2.2"],
      example: """
        m = machine{ ram = "1G" }
        vm = m:guest{ ram = "64M", thp = "never" }
        vm:populate().pages --> 16384
        m:guest("vm0") == vm --> true
        """
    ) { call throws(LuaFailure) in try startGuest(&call) }
  }

  private static func startGuest(_ call: inout LuaCall) throws(LuaFailure) {
    let object = call.object(as: MachineObject.self)
    if call.isNameAlone {
      return call.returns(
        LuaHandle("guest", object, index: try runningGuest(call.string(0), object)))
    }
    let size = object.machine.geometry.pageSize
    let ram = call.integer(1, default: 256 << 20)
    guard ram % size == 0 else {
      throw LuaFailure(
        "bad field 'ram' in 'guest' (\(ram) bytes are not whole pages of \(formatSize(size)))")
    }
    var configuration = GuestConfiguration(
      name: call.string(0, default: freeName(object)), ram: ram)
    guard !configuration.name.isEmpty else {
      throw LuaFailure("bad field 'name' in 'guest' (the name is empty)")
    }
    configuration.backing = GuestBacking.allCases[call.integer(2, default: 0)]
    configuration.hugePages = GuestHugePages.allCases[call.integer(3, default: 0)]
    configuration.shmemHugePages = MemoryFile.HugePolicy.allCases[call.integer(4, default: 0)]
    try checkBacking(&call, &configuration, object)
    if call.isGiven(6) { configuration.node = try guestNode(call.integer(6), object) }
    if call.integer(7, default: 0) == 1 {
      configuration.placement = .shuffled(seed: UInt64(call.integer(8, default: 0)))
    } else if call.isGiven(8) {
      throw LuaFailure("bad field 'seed' in 'guest' (only placement = \"shuffled\" draws numbers)")
    }
    let hashOrder = try hashTableOrder(&call, object, ram: ram)
    object.machine.beginOperation()
    switch object.machine.createGuest(configuration) {
    case .failure(let refusal): call.refuse(refusal)
    case .success(let space):
      if case .shuffled(let seed) = configuration.placement,
        let refusal = try shuffle(object, space, seed, call)
      {
        object.machine.exit(space)
        return call.refuse(refusal)
      }
      guard let hashOrder else {
        return call.returns(LuaHandle("guest", object, index: space))
      }
      let starts = try makeHashTable(
        object, space: space, order: hashOrder, &call, isStartOfGuest: true
      ) { call in
        call.returns(LuaHandle("guest", object, index: space))
      }
      if !starts { object.machine.exit(space) }
    }
  }

  private static func hashTableOrder(
    _ call: inout LuaCall, _ object: MachineObject, ram: Int
  ) throws(LuaFailure) -> Int? {
    guard call.isGiven(9), call.value(9).boolean != false else { return nil }
    try checkHashTables(object, "bad field 'hpt' in 'guest'")
    if call.value(9).boolean == true { return HashPageTable.order(forRAM: ram) }
    guard let order = call.value(9).integer else {
      throw LuaFailure(
        "bad field 'hpt' in 'guest' (expected true or an order from 18 to 46, got "
          + "\(ByteSize.describe(call.value(9))))")
    }
    return Int(order)
  }

  private static func checkBacking(
    _ call: inout LuaCall, _ configuration: inout GuestConfiguration, _ object: MachineObject
  ) throws(LuaFailure) {
    let backing = configuration.backing
    try checkHugetlb(backing, object, "guest")
    if call.isGiven(4), backing != .shared, backing != .memfd {
      throw LuaFailure(
        "bad field 'shmem_thp' in 'guest' (backing \"\(backing.rawValue)\" is no shmem; use "
          + "\"memfd\" or \"shared\")")
    }
    if call.isGiven(5) {
      guard backing == .hugetlb else {
        throw LuaFailure(
          "bad field 'hugepages' in 'guest' (backing \"\(backing.rawValue)\" has no hugetlb pages; "
            + "add backing = \"hugetlb\")")
      }
      let geometry = object.machine.geometry
      let orders = [geometry.hugeOrder, geometry.giganticOrder]
      guard let order = orders.first(where: { geometry.pageSize << $0 == call.integer(5) }) else {
        throw LuaFailure(
          "bad field 'hugepages' in 'guest' (\(geometry.name) has pages of "
            + orders.map { formatSize(geometry.pageSize << $0) }.joined(separator: " and ") + ")")
      }
      configuration.hugetlbOrder = order
    }
    if call.integer(7, default: 0) == 1, backing != .anonymous {
      throw LuaFailure(
        "bad field 'placement' in 'guest' (only anonymous RAM can be shuffled, not "
          + "\"\(backing.rawValue)\")")
    }
  }

  static func checkHugetlb(
    _ backing: GuestBacking, _ object: MachineObject, _ function: String
  ) throws(LuaFailure) {
    guard backing == .hugetlb, object.machine.geometry != .x86_64 else { return }
    throw LuaFailure(
      "bad field 'backing' in '\(function)' (hugetlb pages are mapped on x86_64 only in this version)"
    )
  }

  private static func guestNode(_ node: Int, _ object: MachineObject) throws(LuaFailure) -> Int {
    guard node < object.machine.nodeCount else {
      throw LuaFailure(
        "there is no node \(node); this machine has 0 to \(object.machine.nodeCount - 1)")
    }
    guard object.machine.cpuNodes.contains(node) else {
      throw LuaFailure("node \(node) has no CPU to run a guest on; give the machine more cpus")
    }
    return node
  }

  private static func shuffle(
    _ object: MachineObject, _ space: Int, _ seed: UInt64, _ call: borrowing LuaCall
  ) throws(LuaFailure) -> Refusal? {
    let ram = object.machine.spaces[space].ram
    var placement = ShuffledPlacement(space: space, pages: ram, seed: seed)
    try OperationRunner.perform(object, call, space: space) { () throws(LuaFailure) in
      _ = OperationRunner.run(&placement, object, call)
    }
    if case .failure(let refusal) = placement.outcome { return refusal }
    return nil
  }

  private static func runningGuest(
    _ name: String, _ object: MachineObject
  ) throws(LuaFailure) -> Int {
    if let space = object.machine.guests.last(where: { $0.name == name }) { return space.id }
    let names = object.machine.guests.map { "\"\($0.name)\"" }
    throw LuaFailure(
      "no guest named \"\(name)\" runs on this machine; "
        + (names.isEmpty
          ? "start one with guest{ name = \"\(name)\", ram = \"1G\" }"
          : "there are " + names.prefix(8).joined(separator: ", ")))
  }

  private static func freeName(_ object: MachineObject) -> String {
    var number = 0
    while object.machine.guest(named: "vm\(number)") != nil { number += 1 }
    return "vm\(number)"
  }

  private static var guests: LuaFunction {
    LuaFunction(
      "guests", returns: [LuaResult(.table, "The guests that run, oldest first.")],
      doc: "The guests, forked ones included.", rules: ["P2.1"],
      example: """
        m = machine{ ram = "64M" }
        m:guest{ ram = "1M" }
        #m:guests() --> 1
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(
          object.machine.guests.map { .object(LuaHandle("guest", object, index: $0.id)) }))
    }
  }
}

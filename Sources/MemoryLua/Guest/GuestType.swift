internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func guestType(_ context: MemoryContext) -> LuaType {
    LuaType(
      "guest", MachineObject.self,
      doc: "A guest: a process whose memory is its RAM. Offsets into the RAM count from 0.",
      properties: guestProperties,
      methods: guestAccessMethods + guestAreaMethods + guestProcessMethods
        + [guestPin, memfdPin, guestMemory, guestMemories, guestMemlock] + guestDeviceMethods
        + guestViewMethods(context),
      display: { handle in describe(handle.owner(as: MachineObject.self), handle.index) },
      isLive: { handle in
        let object = handle.owner(as: MachineObject.self)
        return object.machine.spaces.indices.contains(handle.index)
          && object.machine.spaces[handle.index].isAlive
      })
  }

  private static func describe(_ object: MachineObject, _ space: Int) -> String {
    let guest = object.machine.spaces[space]
    let size = object.machine.geometry.pageSize
    let backing = backing(object, guest)
    var parts = ["\(formatSize(guest.ram.count * size)) RAM, \(backing)"]
    let resident = guest.anonymousPages + guest.filePages + guest.shmemPages
    parts.append("\(resident) pages resident")
    if guest.swapEntries > 0 { parts.append("\(guest.swapEntries) swapped out") }
    let pins = object.machine.heldPins.filter { $0.space == space }
    if !pins.isEmpty {
      parts.append(
        "\(pins.reduce(0) { $0 + $1.pages }) pinned by \(pins.count) "
          + (pins.count == 1 ? "pin" : "pins"))
    }
    return "guest \(guest.name) of machine #\(object.number): " + parts.joined(separator: " · ")
  }

  static func backing(_ object: MachineObject, _ guest: AddressSpace) -> String {
    guard let area = guest.area(guest.ram.lowerBound) else { return "not mapped" }
    switch area.backing {
    case .anonymous: return "anonymous"
    case .device: return "device memory"
    case .file(let file, _):
      switch object.machine.files[file].kind {
      case .shmem: return "shmem"
      case .hugetlb(let order):
        return "hugetlb of \(formatSize(object.machine.geometry.pageSize << order))"
      case .regular: return "file"
      case .fsdax: return "DAX file"
      case .secret: return "secret memory"
      case .guestMemory: return "guest_memfd"
      }
    }
  }

  private static func number(
    _ name: String, _ doc: String, _ read: @escaping @Sendable (AddressSpace) -> Int
  ) -> LuaProperty {
    LuaProperty(name, .integer(), doc) { call in
      call.returns(read(call.object(as: MachineObject.self).machine.spaces[call.index]))
    }
  }

  private static var guestProperties: [LuaProperty] {
    [
      LuaProperty("name", .string, "Its name.") { call in
        call.returns(call.object(as: MachineObject.self).machine.spaces[call.index].name)
      },
      LuaProperty("machine", .object("machine"), "The machine it runs on.") { call in
        call.returns(LuaHandle("machine", call.object(as: MachineObject.self)))
      },
      number("id", "The number of its process.") { $0.id },
      LuaProperty("base", .address, "The address at which its RAM begins.") { call in
        let object = call.object(as: MachineObject.self)
        call.returns(
          object.machine.spaces[call.index].ram.lowerBound << object.machine.geometry.pageShift)
      },
      LuaProperty("ram", .integer(), "Bytes of RAM.") { call in
        let object = call.object(as: MachineObject.self)
        call.returns(
          object.machine.spaces[call.index].ram.count << object.machine.geometry.pageShift)
      },
      LuaProperty("backing", .string, "What its RAM is made of, in words.") { call in
        let object = call.object(as: MachineObject.self)
        call.returns(backing(object, object.machine.spaces[call.index]))
      },
      number("anon_pages", "Resident anonymous pages.") { $0.anonymousPages },
      number("file_pages", "Resident pages of files.") { $0.filePages },
      number("shmem_pages", "Resident pages of shmem.") { $0.shmemPages },
      number("locked_pages", "Pages in locked areas and of devices (VmLck, locked_vm).") {
        $0.lockedPages
      },
      number("pinned_pages", "Pages of RDMA devices and iommufd (VmPin, pinned_vm).") {
        $0.pinnedPages
      },
      LuaProperty(
        "user_locked_pages", .integer(),
        "Pages of io_uring and iommufd, over all processes of the user (user->locked_vm)."
      ) { call in
        call.returns(call.object(as: MachineObject.self).machine.devices.userLockedPages)
      },
      LuaProperty("devices", .table, "What it has opened for devices, oldest first.") { call in
        let object = call.object(as: MachineObject.self)
        call.returns(
          LuaTable(
            object.machine.devices.attachments.filter { $0.space == call.index && $0.isOpen }
              .map { .object(LuaHandle("device", object, index: $0.id)) }))
      },
      number("swapped_pages", "Entries of its page tables that name a page in swap space (VmSwap).")
      {
        $0.swapEntries
      },
      LuaProperty(
        "oom_score_adj", .integer(),
        "What the OOM killer adds to its points, in thousandths of memory; -1000 exempts it (A7.40).",
        get: { call in
          call.returns(
            call.object(as: MachineObject.self).machine.spaces[call.index].oomScoreAdjustment)
        },
        set: { call throws(LuaFailure) in
          let value = call.integer(0)
          guard (-1000...1000).contains(value) else {
            throw LuaFailure("oom_score_adj is from -1000 to 1000, not \(value)")
          }
          call.object(as: MachineObject.self).machine.setOOMScoreAdjustment(call.index, value)
        }),
      LuaProperty(
        "has_pinned", .boolean, "A pin was ever taken of it, so a fork looks for them (P2.20)."
      ) { call in
        call.returns(call.object(as: MachineObject.self).machine.spaces[call.index].hasPinned)
      },
      LuaProperty("hpt", .object("hpt"), "The hash page table of a powerpc guest, or nil.") {
        call in
        let object = call.object(as: MachineObject.self)
        guard object.machine.spaces[call.index].hashTable != nil else { return call.returnsNil() }
        call.returns(LuaHandle("hpt", object, index: call.index))
      },
      LuaProperty("pins", .table, "The pins of its memory, oldest first.") { call in
        let object = call.object(as: MachineObject.self)
        let space = call.index
        call.returns(
          LuaTable(
            object.machine.heldPins.filter { $0.space == space }
              .map { .object(LuaHandle("pin", object, index: $0.id)) }))
      },
    ]
  }
}

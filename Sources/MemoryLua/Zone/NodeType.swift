internal import LuaBridge
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func nodeType() -> LuaType {
    LuaType(
      "node", MachineObject.self, doc: "One NUMA node.",
      properties: [
        LuaProperty("id", .integer(), "Its number.") { call in call.returns(call.index) },
        LuaProperty("zones", .table, "Its zones with memory, lowest first.") { call in
          let object = call.object(as: MachineObject.self)
          let node = call.index
          call.returns(
            LuaTable(
              object.machine.populatedZones.filter { $0 / ZoneIndex.count == node }
                .map { .object(LuaHandle("zone", object, index: $0)) }))
        },
        LuaProperty("cpus", .table, "The numbers of its CPUs.") { call in
          let node = call.index
          let cpus = call.object(as: MachineObject.self).machine.cpuNodes
          call.returns(
            LuaTable(cpus.indices.filter { cpus[$0] == node }.map { .integer(Int64($0)) }))
        },
        LuaProperty(
          "isolated", .integer(),
          "NR_ISOLATED_ANON and NR_ISOLATED_FILE. Linux 4.9 of powerpc lowers them below 0, which "
            + "/proc/vmstat prints as 0 (rule P3.56)."
        ) { call in
          call.returns(call.object(as: MachineObject.self).machine.isolatedPages(node: call.index))
        },
        LuaProperty(
          "zonelist", .table, "The zones that a request from here tries, in order (rule A1.13)."
        ) { call in
          let object = call.object(as: MachineObject.self)
          call.returns(
            LuaTable(
              object.machine.zonelist(node: call.index)
                .map { .object(LuaHandle("zone", object, index: $0)) }))
        },
      ],
      methods: [],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        var managed = 0
        var free = 0
        for zone in object.machine.populatedZones where zone / ZoneIndex.count == handle.index {
          managed += object.machine.zone(zone).managed
          free += object.machine.freePagesSnapshot(zone)
        }
        let cpus = object.machine.cpuNodes
        let own = cpus.indices.filter { cpus[$0] == handle.index }
        let words =
          switch own.count {
          case 0: "no CPU"
          case 1: "CPU \(own[0])"
          default: "CPUs \(own[0])-\(own[own.count - 1])"
          }
        return "node \(handle.index): \(words), "
          + "\(formatSize(managed * object.machine.geometry.pageSize)) managed, \(free) pages free"
      })
  }
}

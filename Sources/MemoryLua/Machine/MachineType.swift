internal import LuaBridge
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func machineType(_ context: MemoryContext) -> LuaType {
    LuaType(
      "machine", MachineObject.self,
      doc: "A modelled machine: nodes, zones, per-CPU lists, and the pages in them.",
      properties: machineProperties,
      methods: allocationMethods + hugePageMethods + areaMethods + hotplugMethods
        + compactionMethods
        + reclaimMethods + guestMethods + folioMethods + machineDeviceMethods + [hashTable]
        + readingMethods(context) + stateMethods(context),
      display: { handle in
        describe(handle.owner(as: MachineObject.self))
      })
  }

  private static func describe(_ object: MachineObject) -> String {
    let pages = object.machine.memory.reduce(0) { $0 + $1.count }
    var free = 0
    for zone in object.machine.populatedZones { free += object.machine.freePagesSnapshot(zone) }
    let nodes = object.machine.nodeCount
    let cpus = object.machine.cpuCount
    return "machine #\(object.number) Linux \(object.machine.kernel.name) "
      + "\(object.machine.geometry.name): \(formatSize(pages * object.machine.geometry.pageSize))"
      + " on \(nodes) node\(nodes == 1 ? "" : "s"), \(cpus) CPU\(cpus == 1 ? "" : "s"), "
      + "\(free) pages free"
  }

  private static var machineProperties: [LuaProperty] {
    [
      LuaProperty("arch", .string, "x86_64 or ppc64.") { call in
        call.returns(call.object(as: MachineObject.self).machine.geometry.name)
      },
      LuaProperty("page_size", .integer(), "Bytes in a page.") { call in
        call.returns(call.object(as: MachineObject.self).machine.geometry.pageSize)
      },
      LuaProperty("pageblock_order", .integer(), "Pages of a pageblock, as an order.") { call in
        call.returns(call.object(as: MachineObject.self).machine.geometry.pageblockOrder)
      },
      LuaProperty("max_order", .integer(), "The order of the largest free block.") { call in
        call.returns(call.object(as: MachineObject.self).machine.geometry.maxOrder)
      },
      LuaProperty("present_pages", .integer(), "Pages of memory, reserved ones included.") {
        call in
        call.returns(
          call.object(as: MachineObject.self).machine.memory.reduce(0) { $0 + $1.count })
      },
      LuaProperty("free", .integer(), "Pages on the buddy lists, exactly.") { call in
        let object = call.object(as: MachineObject.self)
        var free = 0
        for zone in object.machine.populatedZones {
          free += object.machine.freePagesSnapshot(zone)
        }
        call.returns(free)
      },
      LuaProperty("cpus", .integer(), "The number of CPUs.") { call in
        call.returns(call.object(as: MachineObject.self).machine.cpuCount)
      },
      LuaProperty(
        "cpu", .integer(), "The CPU that runs the next operation.",
        get: { call in
          call.returns(call.object(as: MachineObject.self).machine.currentCPU)
        },
        set: { call throws(LuaFailure) in
          let object = call.object(as: MachineObject.self)
          let cpu = call.integer(0)
          guard (0..<object.machine.cpuCount).contains(cpu) else {
            throw LuaFailure(
              "there is no CPU \(cpu); this machine has 0 to \(object.machine.cpuCount - 1)")
          }
          object.machine.run(onCPU: cpu)
        }),
      LuaProperty(
        "operation", .integer(),
        "How many operations were done: calls that change memory; holders say since which one."
      ) { call in call.returns(call.object(as: MachineObject.self).machine.operation) },
      LuaProperty(
        "kswapd_wakeups", .integer(),
        "How often kswapd was woken."
      ) { call in
        call.returns(call.object(as: MachineObject.self).machine.kswapdWakeups)
      },
      LuaProperty(
        "fail_allocation", .integer(),
        "The n-th allocation from now on fails, once; 0 is off. For trying error paths.",
        get: { call in
          call.returns(call.object(as: MachineObject.self).machine.failAllocation)
        },
        set: { call throws(LuaFailure) in
          let count = call.integer(0)
          guard count >= 0 else { throw LuaFailure("fail_allocation is 0 or a count") }
          call.object(as: MachineObject.self).machine.failAllocation = count
        }),
    ]
  }
}

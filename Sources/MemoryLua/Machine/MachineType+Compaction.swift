internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel
internal import MemoryOperations

extension MemoryLibrary {
  static var compactionMethods: [LuaFunction] { [compact] }

  private static var compact: LuaFunction {
    LuaFunction(
      "compact", .named,
      [LuaParameter("node", .integer(0...31), default: "all nodes", "Only this one.")],
      returns: [LuaResult(.integer(), "Pages that moved.")],
      doc: """
        Moves what can move to the ends of the zones, so that free memory comes in larger blocks.

        The same as writing 1 to /proc/sys/vm/compact_memory, or to a node's compact file. Pinned pages \
        stay, and so does everything that the kernel itself has.
        """,
      kernel: ["compact_nodes", "compact_zone"], rules: ["A7.5", "A7.13"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ ram = "8M", thp = "never" }
        vm:touch()
        vm:munmap("4M")
        m:compact() > 0 --> true
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let node = call.isGiven(0) ? call.integer(0) : nil
      if let node, node >= object.machine.nodeCount {
        throw LuaFailure(
          "there is no node \(node); this machine has 0 to \(object.machine.nodeCount - 1)")
      }
      if !OperationRunner.isInTask(object, call) {
        // Of hundreds of GiB it takes seconds.
        let before = object.machine.event(.migrateSuccess)
        var work = CompactMemory(node: node)
        try OperationRunner.perform(object, call) { () throws(LuaFailure) in
          _ = OperationRunner.run(&work, object, call)
          object.machine.runBackground()
        }
        return call.returns(object.machine.event(.migrateSuccess) - before)
      }
      let step = CompactMemory().nextStep(object.machine)
      let outcome = try OperationRunner.atomic(object, call, "compact", step) { machine in
        let before = machine.event(.migrateSuccess)
        machine.compactMemory(node: node)
        machine.runBackground()
        return .done(machine.event(.migrateSuccess) - before)
      }
      if case .done(let moved) = outcome { call.returns(moved) }
    }
  }
}

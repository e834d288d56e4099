internal import LuaBridge
internal import MemoryDevices
internal import MemoryGuests
internal import MemoryModel
internal import MemoryOperations

extension MemoryLibrary {
  static var guestProcessMethods: [LuaFunction] { [guestFork, guestExit] }

  private static var guestFork: LuaFunction {
    LuaFunction(
      "fork", .positional,
      [LuaParameter("name", .string, default: "the parent's with -child", "The child's name.")],
      returns: [LuaResult(.object("guest"), "The child.")],
      errors: [LuaErrno("ENOMEM", "no memory for tables, or for copies of pinned pages")],
      doc: """
        Copies the process: private memory is shared until somebody writes.

        Pages that may be pinned are copied at once, so the parent keeps the frames that the device \
        knows (rule P2.20).
        """,
      kernel: ["dup_mmap", "copy_page_range"], rules: ["P2.20"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", thp = "never" }
        vm:touch()
        child = vm:fork()
        child:resident().pages --> 256
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let name = call.string(0, default: object.machine.spaces[space].name + "-child")
      let written = object.machine.spaces[space].name + ":fork"
      let (operation, waited) = try OperationRunner.call(object, call, written, space: space) {
        () throws(LuaFailure) in
        if object.machine.guest(named: name) != nil {
          throw LuaFailure(
            "bad argument #1 'name' to 'fork' (a guest named \"\(name)\" runs already)")
        }
        return ForkOperation(parent: space, name: name)
      }
      switch operation.outcome {
      case .success(let child): call.returns(LuaHandle("guest", object, index: child))
      case .failure(let refusal):
        call.refuse(waited.map { Refusal(.EINTR, "fork: \($0)", rule: "P2.20") } ?? refusal)
      case nil:
        call.refuse(Refusal(.EINTR, "fork: \(waited ?? "killed")", rule: "P2.20"))
      }
    }
  }

  private static var guestExit: LuaFunction {
    LuaFunction(
      "exit",
      doc: """
        Ends the process; its memory is freed, except what pins and others still hold. Its devices are \
        closed.

        The handle is stale afterwards.
        """,
      kernel: ["exit_mmap"], rules: ["P2.23"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ ram = "1M" }
        vm:populate()
        vm:exit()
        #m:guests() --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let name = object.machine.spaces[space].name + ":exit"
      _ = try OperationRunner.call(object, call, name, space: space) { ProcessExit(space: space) }
    }
  }
}

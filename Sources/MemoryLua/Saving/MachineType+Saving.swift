internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel
internal import Recordings

extension MemoryLibrary {
  static func saveMachine(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "save", .positional,
      [
        LuaParameter("file", .file, "Where to write."),
        LuaParameter(
          "force", .boolean, default: "false", "Replace a file that is no saved machine."),
      ],
      returns: [LuaResult(.integer(), "Bytes written.")],
      doc: """
        Saves the machine, guests, pins and all, for machine{ from = file } to go on from.

        The file takes the place of an older one when it is whole: a crash on the way leaves the old one. \
        It costs the memory that the machine has touched, holds checksums, and is read by versions of \
        pinlab with the same format. Reach what the machine holds through guests(), pins(), \
        files(), cma_buffers(), devices(), pressures() and temp_refs(), as on a fork. A script in the \
        sandbox writes beneath the current folder alone.
        """,
      example: """
        m = machine{ ram = "64M", cma = "32M" }
        vm = m:guest{ name = "vm", ram = "64K", thp = "never" }
        vm:pin{ length = "8K", longterm = true }
        bytes = m:save("/tmp/example.pinlab")
        n = machine{ from = "/tmp/example.pinlab" }
        n:guest("vm"):resident().pages --> 2
        #n:pins() --> 1
        n:diff(m).same --> true
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let path = call.string(0)
      guard !path.isEmpty else { throw LuaFailure("save: the name of the file is empty") }
      if let refusal = context.writing.refusal(path) {
        throw LuaFailure("save: \(path): \(refusal)")
      }
      if object.tasks.current != nil {
        throw LuaFailure("save: a task cannot save the machine, which is in the middle of a call")
      }
      if let task = object.tasks.steppers.first(where: { $0.object === object && $0.isUnderWay }) {
        throw LuaFailure(
          "save: task \(task.number) is in the middle of \(task.state.call?.name ?? "a call"); "
            + "run() it to its end, or kill() it, first")
      }
      do throws(RecordingError) {
        call.returns(
          try SavedMachine.save(
            object.machine, to: path, isReplacing: call.boolean(1), goesOn: { !call.shouldStop() }))
      } catch {
        throw LuaFailure("save: \(error.message)")
      }
    }
  }
}

internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

/// The fields that `explore` and `replay_schedule` share: a machine, and tasks on it.
struct ExploreOptions {
  let object: MachineObject
  let functions: [LuaReference]
  /// What `setup` returned: the arguments of each task.
  let arguments: [LuaValue]

  init(
    machine: LuaValue, setup: LuaValue, tasks: LuaValue, _ scope: LuaScope, function: String
  ) throws(LuaFailure) {
    var found = machine.object(as: MachineObject.self)
    var arguments: [LuaValue] = []
    if case .function(let setup) = setup {
      switch scope.invoke(setup) {
      case .failure(let error): throw LuaCall.rethrow(error)
      case .values(let values):
        arguments = values
        if found == nil { found = values.first?.object(as: MachineObject.self) }
      }
    }
    guard let object = found else {
      throw LuaFailure(
        "\(function): which machine? Give 'machine', or a 'setup' that returns it first")
    }
    var functions: [LuaReference] = []
    for element in tasks.table?.elements ?? [] {
      guard case .function(let function) = element else {
        throw LuaFailure("bad field 'tasks[\(functions.count + 1)]' (expected a function)")
      }
      functions.append(function)
    }
    guard (1...16).contains(functions.count) else {
      throw LuaFailure(
        "bad field 'tasks' (expected a list of 1 to 16 functions, got \(functions.count))")
    }
    self.object = object
    self.functions = functions
    self.arguments = arguments
  }
}

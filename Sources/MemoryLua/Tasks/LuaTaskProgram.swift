internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

// Invariant: a node is a call that a task makes after one sequence of results; the same results lead
// to the same node, so Lua runs once for each, however many orders of steps come by.

/// Lua functions as the tasks of a search.
///
/// A search goes back and forth between states, which a coroutine cannot. So the calls are kept as a
/// tree, and where it ends, a fresh coroutine makes the same calls again on a copy of the machine that
/// takes the same steps: it may look only at what it could see then.
final class LuaTaskProgram: TaskProgram {
  private struct Node {
    let call: TaskCall
    var children: [Int: Child] = [:]
    /// A coroutine that waits in this call.
    var parked: LuaTask?
  }

  private enum Child {
    case call(Int)
    case end
    case failure(String)
  }

  private let functions: [LuaReference]
  private let arguments: [LuaValue]
  private let object: MachineObject
  private let session: TaskSession
  private let scope: LuaScope
  /// The machine as it was when the search began.
  private let base: MachineCell
  /// The steps of the search from there to its current state.
  var path: () -> [UInt8] = { [] }
  private var nodes: [Node] = []
  private var roots: [Child?]

  init(
    _ functions: [LuaReference], _ arguments: [LuaValue], _ object: MachineObject,
    _ session: TaskSession, _ scope: LuaScope
  ) throws {
    self.functions = functions
    self.arguments = arguments
    self.object = object
    self.session = session
    self.scope = scope
    base = MachineCell(try object.machine.fork(goesOn: { !scope.shouldStop }))
    roots = Array(repeating: nil, count: functions.count)
  }

  var taskCount: Int { functions.count }

  func firstCall(of task: Int) throws -> TaskCall? {
    if roots[task] == nil {
      let live = try start(task)
      roots[task] = try child(live, task: task)
    }
    return try call(roots[task])
  }

  func call(of task: Int, after call: TaskCall) throws -> TaskCall? {
    let key = CallResult(of: call.operation).key
    let place = call.place
    if nodes[place].children[key] == nil {
      let found: Child
      do {
        let live = try nodes[place].parked ?? replay(task, to: place)
        nodes[place].parked = nil
        live.pending?.operation = call.operation
        try resume(live)
        found = try child(live, task: task)
      } catch let failure as TaskFailure {
        found = .failure(failure.text)
      }
      nodes[place].children[key] = found
    }
    return try self.call(nodes[place].children[key])
  }

  private func call(_ child: Child?) throws(TaskFailure) -> TaskCall? {
    switch child {
    case .call(let node): return nodes[node].call
    case .failure(let text): throw TaskFailure(text)
    case .end, nil: return nil
    }
  }

  private func start(_ task: Int) throws -> LuaTask {
    let live = try LuaTask(functions[task], scope)
    try resume(live, arguments)
    return live
  }

  /// Runs Lua up to the next call; what changes the machine outside of a step would be done again with
  /// every coroutine that takes its place.
  private func resume(_ live: LuaTask, _ arguments: [LuaValue] = []) throws(TaskFailure) {
    let outer = object.beforeChange
    var hasChanged = false
    object.beforeChange = { _ in hasChanged = true }
    defer { object.beforeChange = outer }
    try live.resume(scope, session, arguments)
    if hasChanged {
      throw TaskFailure(
        "it changes the machine by a call that has no steps; make that call before explore")
    }
  }

  private func child(_ live: LuaTask, task: Int) throws(TaskFailure) -> Child {
    guard let pending = live.pending else { return .end }
    guard pending.object === object else {
      throw TaskFailure("\(pending.name) works on another machine than the one explored")
    }
    let place = nodes.count
    nodes.append(
      Node(
        call: TaskCall(pending.operation, name: pending.name, place: place), parked: live))
    return .call(place)
  }

  /// A coroutine that waits in a call, after the steps that lead to the call's end.
  private func replay(_ task: Int, to place: Int) throws -> LuaTask {
    let copy = MachineCell(try base.machine.fork(goesOn: { [scope] in !scope.shouldStop }))
    let hook = object.beforeChange
    object.beforeChange = nil
    object.exchange(with: copy)
    defer {
      object.exchange(with: copy)
      object.beforeChange = hook
    }
    let again = Again(self, task)
    var tasks = try TaskSet(again)
    // The last step ends the call, and Lua goes on where the search is.
    for step in path().dropLast() { try tasks.step(Int(step), object) }
    // In this order Lua itself fails, on an object that another task has ended.
    if let failure = tasks.tasks[task].failure { throw TaskFailure(failure) }
    guard let live = again.live else { throw TaskFailure("a task could not be run again") }
    return live
  }

  /// The same tasks once more, of which one runs in Lua and the others do what they did.
  private final class Again: TaskProgram {
    private let program: LuaTaskProgram
    private let task: Int
    private(set) var live: LuaTask?

    init(_ program: LuaTaskProgram, _ task: Int) {
      self.program = program
      self.task = task
    }

    var taskCount: Int { program.taskCount }

    func firstCall(of task: Int) throws -> TaskCall? {
      guard task == self.task else { return try program.firstCall(of: task) }
      let started = try LuaTask(program.functions[task], program.scope)
      try started.resume(program.scope, program.session, program.arguments)
      live = started
      return try program.firstCall(of: task)
    }

    func call(of task: Int, after call: TaskCall) throws -> TaskCall? {
      if task == self.task, let live {
        live.pending?.operation = call.operation
        try live.resume(program.scope, program.session)
      }
      return try program.call(of: task, after: call)
    }
  }
}

/// Lua functions as tasks that run once, on the machine itself.
///
/// A call may be taken back and taken again, Lua that has run on cannot: behind such a call the task ends.
final class LuaLiveProgram: TaskProgram {
  private let functions: [LuaReference]
  private let arguments: [LuaValue]
  private let session: TaskSession
  private let object: MachineObject?
  /// Only while a call from Lua lets them go on.
  var scope: LuaScope?
  private var live: [LuaTask?]
  /// The machines of the calls that each task has made so far; the last is the one that Lua waits in.
  private var calls: [[MachineObject]]

  init(
    _ functions: [LuaReference], _ arguments: [LuaValue], _ object: MachineObject?,
    _ session: TaskSession
  ) {
    self.functions = functions
    self.arguments = arguments
    self.session = session
    self.object = object
    live = Array(repeating: nil, count: functions.count)
    calls = Array(repeating: [], count: functions.count)
  }

  var taskCount: Int { functions.count }

  /// The machine that a call works on.
  func machine(of task: Int, _ call: TaskCall) -> MachineObject { calls[task][call.place] }

  /// Whether Lua waits in this very call.
  func isWaiting(_ task: Int, in call: TaskCall) -> Bool {
    live[task]?.isFinished == false && call.place == calls[task].count - 1
  }

  func firstCall(of task: Int) throws -> TaskCall? {
    guard let scope else { return nil }
    let started = try LuaTask(functions[task], scope)
    live[task] = started
    try started.resume(scope, session, arguments)
    return try pending(task)
  }

  func call(of task: Int, after call: TaskCall) throws -> TaskCall? {
    guard let scope, let running = live[task], isWaiting(task, in: call) else { return nil }
    running.pending?.operation = call.operation
    try running.resume(scope, session)
    return try pending(task)
  }

  private func pending(_ task: Int) throws(TaskFailure) -> TaskCall? {
    guard let pending = live[task]?.pending else { return nil }
    if let object, pending.object !== object {
      throw TaskFailure("\(pending.name) works on another machine than the one explored")
    }
    calls[task].append(pending.object)
    return TaskCall(pending.operation, name: pending.name, place: calls[task].count - 1)
  }
}

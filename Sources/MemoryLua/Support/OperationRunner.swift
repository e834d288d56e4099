internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel
internal import MemoryOperations

/// Runs operations of the model from a Lua call.
enum OperationRunner {
  /// Rounds in which a pin isolated nothing before it is said to spin (rule P3.43).
  static let idleRoundLimit = 1000

  /// How a run of slices ended.
  private enum Ending {
    /// The operation came to its end.
    case finished
    /// Only a fatal signal ends it: what it waits for in vain, in words.
    case stuck(String)
    /// The script is to stop.
    case stopped
  }

  /// Runs an operation to its end, slice by slice.
  ///
  /// Between slices the session may stop it, which ends it as a fatal signal does. Nobody else runs
  /// meanwhile but the kernel's threads, when it waits: an operation that waits in vain, or for which
  /// `spin` has words, is killed, too.
  ///
  /// - Returns: What it waited for when it was killed, in words; nil when it came to its end.
  static func run<O: Operation>(
    _ operation: inout O, _ object: MachineObject, _ call: borrowing LuaCall
  ) -> String? {
    let ending = runSlices(of: &operation, object, call) { _ in nil }
    if case .finished = ending { return nil }
    operation.interrupt(&object.machine)
    if case .stuck(let reason) = ending { return reason }
    return stoppedText
  }

  private static let stoppedText = "the script was stopped"

  private static func runSlices<O: Operation>(
    of operation: inout O, _ object: MachineObject, _ call: borrowing LuaCall,
    spin: (O) -> String?
  ) -> Ending {
    while true {
      switch operation.advance(&object.machine, .slice) {
      case .finished: return .finished
      case .running:
        if let reason = spin(operation) { return .stuck(reason) }
      case .waiting(let wait):
        // The kernel's threads run while a task waits, and may be who it waits for.
        let hasRun = object.machine.runBackground()
        if call.shouldStop() { return .stopped }
        if hasRun { continue }
        return .stuck("it waits for \(wait.description), which nobody else will give back")
      }
      if call.shouldStop() { return .stopped }
    }
  }

  /// Runs an operation step by step, and calls a Lua function before each step with its name, its
  /// kernel function and its text.
  ///
  /// An error of the function ends the operation as a fatal signal does.
  static func watch<O: Operation>(
    _ operation: inout O, _ object: MachineObject, _ call: borrowing LuaCall,
    _ watcher: LuaCallback, spin: (O) -> String? = { _ in nil }
  ) throws(LuaFailure) -> String? {
    while true {
      let step = operation.nextStep(object.machine)
      object.watched = operation.holdings(object.machine)
      defer { object.watched = Holdings() }
      let result = call.invoke(
        watcher, [.string(step.id), .string(step.function), .string(step.text)])
      if case .failure(let error) = result {
        operation.interrupt(&object.machine)
        throw LuaCall.rethrow(error)
      }
      switch operation.advance(&object.machine, .step) {
      case .finished: return nil
      case .running: break
      case .waiting(let wait):
        if object.machine.runBackground(), !call.shouldStop() { continue }
        operation.interrupt(&object.machine)
        if call.shouldStop() { return stoppedText }
        return "it waits for \(wait.description), which nobody else will give back"
      }
      if let reason = spin(operation) {
        operation.interrupt(&object.machine)
        return reason
      }
      if call.shouldStop() {
        operation.interrupt(&object.machine)
        return stoppedText
      }
    }
  }

  /// Makes a call of the machine: at once, or, inside a task, step by step as others choose.
  ///
  /// Inside a task the body is left in the middle and entered again when the call has come to its end:
  /// what stands before this is done twice, `make` once.
  ///
  /// - Parameter name: How the call is written, "vm0:pin".
  /// - Parameter make: The operation, not begun.
  /// - Returns: The finished operation, and what it waited for when it was killed.
  static func call<O: ExplorableOperation>(
    _ object: MachineObject, _ call: borrowing LuaCall, _ name: String, space: Int? = nil,
    spin: (O) -> String? = { _ in nil },
    _ make: () throws(LuaFailure) -> O
  ) throws(LuaFailure) -> (operation: O, waited: String?) {
    if let pending = call.continuation(as: PendingCall.self) {
      guard let finished = pending.operation as? O else {
        preconditionFailure("another call's operation")
      }
      return (finished, pending.waited)
    }
    if let task = object.tasks.current, call.canYield, call.isInside(task.coroutine) {
      let pending = PendingCall(try make(), object, name)
      task.pending = pending
      call.yieldAgain(pending)
      throw .yielding
    }
    var operation = try make()
    let place = begin(object, space: space)
    let ending = stoppable(object, { call.shouldStop() }) {
      let ending = runSlices(of: &operation, object, call, spin: spin)
      switch ending {
      case .finished: end(&object.machine, place)
      case .stuck:
        operation.interrupt(&object.machine)
        end(&object.machine, place)
      case .stopped: break
      }
      return ending
    }
    switch ending {
    case .finished: return (operation, nil)
    case .stuck(let reason): return (operation, reason)
    case .stopped:
      // What it holds is given back before anybody looks; whoever stopped it need not wait for that.
      // Taken, not copied: its lists are hundreds of megabytes.
      var stopped: O? = operation
      object.owe { machine in
        guard var operation = stopped.take() else { return }
        let asked = machine.shouldStop
        machine.shouldStop = { true }
        operation.interrupt(&machine)
        end(&machine, place)
        machine.shouldStop = asked
      }
      throw LuaFailure(stoppedText)
    }
  }

  /// ``call(_:_:_:space:spin:_:)`` of a process, with the script looking on before each step where the argument
  /// at `watch` is a function.
  static func call<O: ExplorableOperation>(
    _ object: MachineObject, _ call: borrowing LuaCall, _ name: String, space: Int, watch: Int,
    spin: (O) -> String? = { _ in nil },
    _ make: () throws(LuaFailure) -> O
  ) throws(LuaFailure) -> (operation: O, waited: String?) {
    guard call.isGiven(watch) else {
      return try self.call(
        object, call, "\(object.machine.spaces[space].name):\(name)", space: space, spin: spin, make
      )
    }
    var operation = try make()
    let waited = try perform(object, call, space: space) { () throws(LuaFailure) in
      try self.watch(&operation, object, call, call.callback(watch), spin: spin)
    }
    return (operation, waited)
  }

  /// ``call(_:_:_:space:spin:_:)`` for what the kernel does in one atomic step.
  static func atomic(
    _ object: MachineObject, _ call: borrowing LuaCall, _ name: String, _ step: Step,
    space: Int? = nil, _ work: @escaping AtomicCall.Work
  ) throws(LuaFailure) -> AtomicCall.Outcome {
    try self.call(object, call, name, space: space) { AtomicCall(step, work) }.operation.outcome
      ?? .refused(Refusal(.EINTR, "killed", rule: "P2.13"))
  }

  /// Whether a call that has no steps of its own is made inside a task, where it must be one step.
  static func isInTask(_ object: MachineObject, _ call: borrowing LuaCall) -> Bool {
    if call.continuation(as: PendingCall.self) != nil { return true }
    guard let task = object.tasks.current else { return false }
    return call.canYield && call.isInside(task.coroutine)
  }

  /// Does at once what has no steps of its own; inside a task it is the task's next step.
  ///
  /// - Parameter counts: Whether it is an operation outside of tasks, too.
  /// - Returns: What `work` does.
  @discardableResult
  static func once(
    _ object: MachineObject, _ call: borrowing LuaCall, _ name: String, _ step: Step,
    counts: Bool = true, _ work: @escaping @Sendable (inout Machine) -> Int
  ) throws(LuaFailure) -> Int {
    guard isInTask(object, call) else {
      if counts { object.machine.beginOperation() }
      return stoppable(object, { call.shouldStop() }) { work(&object.machine) }
    }
    guard case .done(let value) = try atomic(object, call, name, step, { .done(work(&$0)) }) else {
      return 0
    }
    return value
  }

  /// Counts one operation, and runs `body` on a CPU of the process's home node; then the threads run
  /// that it woke.
  static func perform<Result>(
    _ object: MachineObject, _ call: borrowing LuaCall, space: Int? = nil,
    _ body: () throws(LuaFailure) -> Result
  ) throws(LuaFailure) -> Result {
    try stoppable(object, { call.shouldStop() }) { () throws(LuaFailure) in
      try perform(object, space: space, body)
    }
  }

  /// Lets the machine ask in the middle of a long step whether the script is to stop.
  ///
  /// Not for the steps of tasks: one that is cut short would be another step.
  static func stoppable<Result, Failure>(
    _ object: MachineObject, _ shouldStop: () -> Bool, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // A function that looks on may call the machine in the middle of a call.
    if object.machine.shouldStop != nil { return try body() }
    return try withoutActuallyEscaping(shouldStop) { (asked) throws(Failure) in
      object.machine.shouldStop = asked
      defer { object.machine.shouldStop = nil }
      return try body()
    }
  }

  private static func perform<Result>(
    _ object: MachineObject, space: Int?, _ body: () throws(LuaFailure) -> Result
  ) throws(LuaFailure) -> Result {
    let cpu = begin(object, space: space)
    defer { end(&object.machine, cpu) }
    return try body()
  }

  /// Counts one operation, and goes to a CPU of the process's home node.
  ///
  /// - Returns: The CPU to come back to.
  private static func begin(_ object: MachineObject, space: Int?) -> Int {
    object.machine.beginOperation()
    let cpu = object.machine.currentCPU
    if let space, let node = object.machine.spaces[space].homeNode,
      object.machine.cpuNodes[cpu] != node,
      let other = object.machine.cpuNodes.firstIndex(of: node)
    {
      object.machine.run(onCPU: other)
    }
    return cpu
  }

  private static func end(_ machine: inout Machine, _ cpu: Int) {
    machine.run(onCPU: cpu)
    machine.runBackground()
    // What the OOM killer chose leaves when its own operation is over.
    machine.finishKilled()
  }
}

extension LuaCall {
  func refuse(_ refusal: Refusal, fields: [(name: String, value: LuaValue)] = []) {
    refuse(
      errno: refusal.errno.name, message: refusal.message, rule: refusal.rule, fields: fields)
  }

  /// Returns true, or `nil, err`.
  func returns(_ result: Result<Void, Refusal>) {
    switch result {
    case .success: returns(true)
    case .failure(let refusal): refuse(refusal)
    }
  }
}

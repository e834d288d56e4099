internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

// Invariant: `pending` is set exactly while the coroutine waits inside a call of the machine.

/// What the tasks of one session share: which of them runs just now.
///
/// A session runs on one thread at a time, and so does what it shares.
public final class TaskSession: @unchecked Sendable {
  /// The task whose Lua code runs.
  var current: LuaTask?
  /// Handles of `step` so far: each is a task on the next CPU.
  var handles = 0
  private var made: [WeakStepper] = []

  private struct WeakStepper { weak var stepper: StepObject? }

  init() {}

  /// The handles that are still there.
  var steppers: [StepObject] { made.compactMap(\.stepper) }

  func add(_ stepper: StepObject) {
    made.removeAll { $0.stepper == nil }
    made.append(WeakStepper(stepper: stepper))
  }
}

/// A call of a machine that a task waits in until somebody has taken its steps.
final class PendingCall {
  var operation: any ExplorableOperation
  let object: MachineObject
  let name: String
  /// Why it was killed.
  var waited: String?

  init(_ operation: any ExplorableOperation, _ object: MachineObject, _ name: String) {
    self.operation = operation
    self.object = object
    self.name = name
  }
}

/// A Lua function that runs from one call of a machine to the next.
final class LuaTask {
  let coroutine: LuaCoroutine
  var pending: PendingCall?
  private(set) var values: [LuaValue] = []
  private(set) var isFinished = false

  init(_ function: LuaReference, _ scope: LuaScope) throws(LuaFailure) {
    guard let made = scope.coroutine(function) else {
      throw LuaFailure("not enough memory for another task")
    }
    coroutine = made
  }

  /// Runs its Lua code up to the next call of a machine, or to its end.
  func resume(
    _ scope: LuaScope, _ session: TaskSession, _ arguments: [LuaValue] = []
  ) throws(TaskFailure) {
    let outer = session.current
    session.current = self
    pending = nil
    let progress = scope.resume(coroutine, arguments)
    session.current = outer
    switch progress {
    case .finished(let values):
      self.values = values
      isFinished = true
    case .failed(let error):
      isFinished = true
      throw TaskFailure(error.message)
    case .yielded:
      guard pending == nil else { return }
      isFinished = true
      throw TaskFailure("it yields; a task gives way only inside calls of a machine")
    }
  }
}

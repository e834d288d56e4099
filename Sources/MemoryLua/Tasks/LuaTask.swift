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
  /// Handles of `step` so far.
  var handles = 0
  private var made: [WeakStepper] = []
  /// Those in the middle of a call: a machine must not lose them, or what they hold stays held.
  private var underWay: [StepObject] = []

  private struct WeakStepper { weak var stepper: StepObject? }

  init() {}

  /// The handles that are still there.
  var steppers: [StepObject] { made.compactMap(\.stepper) }

  func add(_ stepper: StepObject) {
    made.removeAll { $0.stepper == nil }
    made.append(WeakStepper(stepper: stepper))
    keep(stepper)
  }

  /// Notes whether a handle is in the middle of a call.
  func keep(_ stepper: StepObject) {
    let isKept = underWay.contains { $0 === stepper }
    if stepper.isUnderWay, !isKept {
      underWay.append(stepper)
      underWay.sort { $0.number < $1.number }
    } else if !stepper.isUnderWay, isKept {
      underWay.removeAll { $0 === stepper }
    }
  }

  /// The handles in the middle of a call of a machine, by their numbers.
  func underWay(on object: MachineObject) -> [StepObject] {
    underWay.filter { $0.object === object }
  }

  /// The CPU for a new handle: the next one in turn, unless a task in the middle of a call has it.
  func freeCPU(on object: MachineObject, from first: Int) -> Int {
    let count = object.machine.cpuCount
    let taken = Set(underWay(on: object).compactMap(\.cpu))
    return (0..<count).lazy.map { (first + $0) % count }.first { !taken.contains($0) } ?? first
  }

  /// Lets all handles go: they hold the Lua state, which holds this.
  func forgetAll() { underWay.removeAll() }
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

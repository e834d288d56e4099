public import MemoryModel

/// A call that a task is about to make or is in the middle of.
public struct TaskCall {
  public var operation: any ExplorableOperation
  /// How it is written: "vm0:pin".
  public let name: String
  /// What the program that made it knows it by.
  public let place: Int

  public init(_ operation: any ExplorableOperation, name: String, place: Int = 0) {
    self.operation = operation
    self.name = name
    self.place = place
  }
}

/// A task's program came to an error of its own.
public struct TaskFailure: Error, CustomStringConvertible {
  public let text: String
  public init(_ text: String) { self.text = text }

  public var description: String { text }
}

/// What several tasks do: which call comes next after what the last one returned.
///
/// A task is a function of the results of its own calls alone: between them it may not look at the
/// machine, for then its next call could be different in another order of steps.
public protocol TaskProgram: AnyObject {
  var taskCount: Int { get }
  /// The first call of a task, nil when it makes none.
  func firstCall(of task: Int) throws -> TaskCall?
  /// The call after one that has come to its end, nil when the task ends there.
  func call(of task: Int, after call: TaskCall) throws -> TaskCall?
}

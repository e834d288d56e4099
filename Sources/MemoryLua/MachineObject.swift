internal import MemoryExploration
public import MemoryModel

/// The machine behind a Lua object.
///
/// Zones, pageblocks and pages are handles to it with an index.
public final class MachineObject: MachineCell {
  /// Machines are numbered as they are made, so that a session shows the same names on every run.
  public let number: Int
  /// The kernel that a script chose; nil for the one of boot.
  var kernel: KernelObject?
  let tasks: TaskSession
  /// What the calls hold that a Lua function watches between their steps.
  var watched = Holdings()

  public convenience init(_ machine: consuming Machine, number: Int) {
    self.init(machine, number: number, TaskSession())
  }

  init(_ machine: consuming Machine, number: Int, _ tasks: TaskSession) {
    self.number = number
    self.tasks = tasks
    super.init(machine)
  }
}

extension MachineObject {
  /// What calls hold that stand between two steps.
  var holdings: Holdings {
    var held = watched
    for task in tasks.steppers where task.object === self && task.isUnderWay {
      if let call = task.state.call { held.add(call.operation.holdings(machine)) }
    }
    return held
  }
}

/// What the memory library of one session shares: the terminal it draws for, and a counter.
///
/// A session runs on one thread at a time, and so does what it shares.
public final class MemoryContext: @unchecked Sendable {
  /// How wide maps may be, and whether they are coloured.
  public var columns: () -> Int
  public var color: Bool
  public var unicode: Bool
  /// The kernel of machines that name none.
  public var kernel: Kernel
  /// Whether `expect` only tells what is different, because the script runs on another kernel than the
  /// one it was written for.
  public var isTrial = false
  private var machines = 0
  let tasks = TaskSession()
  /// Where scripts may write files.
  public var writing = FileWriting.nowhere
  /// What undo goes back to; only a prompt has it.
  public var history: UndoHistory?

  public init(
    columns: @escaping () -> Int = { 80 }, color: Bool = false, unicode: Bool = true,
    kernel: Kernel = .v6_12
  ) {
    self.columns = columns
    self.color = color
    self.unicode = unicode
    self.kernel = kernel
  }

  /// Lets the tasks of `step` go that are in the middle of a call; they hold the session that holds this.
  public func forgetTasks() { tasks.forgetAll() }

  func object(_ machine: consuming Machine) -> MachineObject {
    machines += 1
    let object = MachineObject(machine, number: machines, tasks)
    history?.add(object)
    return object
  }
}

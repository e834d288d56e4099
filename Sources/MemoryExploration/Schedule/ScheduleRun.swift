public import MemoryModel

/// A schedule does not fit the tasks that it is run with.
public struct ScheduleMismatch: Error, CustomStringConvertible {
  public let description: String
}

/// Tasks that take their steps in the order of a schedule, on the machine itself.
public struct ScheduleRun {
  public private(set) var tasks: TaskSet
  private let cell: MachineCell
  private let schedule: Schedule
  private var run = 0
  private var taken = 0
  private var last: Int?

  public init(_ schedule: Schedule, _ cell: MachineCell, _ program: any TaskProgram) throws {
    self.schedule = schedule
    self.cell = cell
    tasks = try TaskSet(program)
  }

  /// The task that steps next: the schedule's, and behind its end the last one or the lowest that can.
  ///
  /// - Returns: Nil when nobody can go on.
  public func next() throws -> Int? {
    if run < schedule.runs.count {
      let wanted = schedule.runs[run]
      guard tasks.tasks.indices.contains(wanted.task), tasks.canStep(wanted.task, cell.machine)
      else {
        let why =
          tasks.tasks[wanted.task].isDone
          ? "has ended by then" : "waits then"
        throw ScheduleMismatch(
          description: "the schedule does not fit: step \(taken + 1) of its part "
            + "\"\(wanted.task + 1)*\(wanted.steps)\" cannot be taken, task \(wanted.task + 1) \(why)"
        )
      }
      return wanted.task
    }
    if let last, tasks.canStep(last, cell.machine), !tasks.tasks[last].hasYielded { return last }
    let able = tasks.tasks.indices.filter { tasks.canStep($0, cell.machine) }
    return able.first { !tasks.tasks[$0].hasYielded } ?? able.first
  }

  /// Lets a task take a step.
  public mutating func step(_ task: Int) throws {
    try tasks.step(task, cell)
    last = task
    guard run < schedule.runs.count else { return }
    taken += 1
    if taken == schedule.runs[run].steps {
      run += 1
      taken = 0
    }
  }

  /// Gives up: calls under way end as by a fatal signal.
  public mutating func interrupt() { tasks.interrupt(cell) }
}

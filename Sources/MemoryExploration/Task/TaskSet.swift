// Invariant: with the machine it is the whole state of the tasks: copying both continues twice from the
// same moment.

public import MemoryModel

/// One task between two of its steps.
public struct TaskState {
  public private(set) var call: TaskCall?
  /// Whether there is a call: asking `call` itself copies it.
  private(set) var hasCall = false
  /// The call's first step is done.
  public internal(set) var hasBegun = false
  public internal(set) var wait: Wait?
  /// It went round in vain and lets others go first (rule P3.43).
  public internal(set) var hasYielded = false
  public internal(set) var results: [(name: String, result: CallResult)] = []
  public internal(set) var steps = 0
  /// Why its program could not go on.
  public internal(set) var failure: String?
  /// Rounds in vain of the current call, and how many of them while nobody else did anything.
  var idleRounds = 0
  var loneRounds = 0
  var stamp = 0

  public var isDone: Bool { !hasCall }

  mutating func begin(_ next: TaskCall?) {
    call = next
    hasCall = next != nil
  }

  /// Takes a step of the call; it is taken out meanwhile, so that its storage has one owner and is
  /// changed in place.
  mutating func advanceCall(_ machine: inout Machine) -> (progress: Progress, idleRounds: Int)? {
    guard var running = call else { return nil }
    call = nil
    let progress = running.operation.advance(&machine, .step)
    let idleRounds = progress == .running ? running.operation.idleRounds : 0
    call = running
    return (progress, idleRounds)
  }

  mutating func interruptCall(_ machine: inout Machine) {
    call?.operation.interrupt(&machine)
    begin(nil)
    hasBegun = false
  }
}

/// Tasks on one machine, each on a CPU of its own as far as there are CPUs.
public struct TaskSet {
  public internal(set) var tasks: [TaskState]
  private let program: any TaskProgram
  /// The CPU of the first task; each other one has the next.
  public var firstCPU: Int

  public init(_ program: any TaskProgram, firstCPU: Int = 0) throws {
    self.program = program
    self.firstCPU = firstCPU
    tasks = []
    for task in 0..<program.taskCount {
      var state = TaskState()
      do {
        state.begin(try program.firstCall(of: task))
      } catch let failure as TaskFailure {
        state.failure = failure.text
      }
      tasks.append(state)
    }
  }

  public var isDone: Bool { tasks.allSatisfy(\.isDone) }

  /// The CPU that a task runs on: machines with fewer CPUs let tasks share them.
  public func cpu(_ task: Int, _ machine: borrowing Machine) -> Int {
    (firstCPU + task) % machine.cpuCount
  }

  /// Rounds in vain after which a task that nobody can help is said to spin for ever.
  static let loneRoundLimit = 2

  /// Whether a task can take a step: it has one, and what it waits for has come.
  public func canStep(_ task: Int, _ machine: borrowing Machine) -> Bool {
    guard tasks[task].hasCall, tasks[task].loneRounds <= Self.loneRoundLimit else {
      return false
    }
    guard let wait = tasks[task].wait else { return true }
    return Self.stamp(wait, machine) != tasks[task].stamp
  }

  /// What changes when it is worth looking again.
  private static func stamp(_ wait: Wait, _ machine: borrowing Machine) -> Int {
    switch wait {
    case .folio(let head): machine.frames.head(head).flags.contains(.locked) ? 1 : 0
    case .mmapLock(let space): machine.spaces[space].mmapLock
    case .cmaMutex: machine.isHoldingCMAMutex ? 1 : 0
    case .isolation: machine.isolatedPages
    case .device(let id): machine.isBusy(device: id) ? 1 : 0
    }
  }

  /// Lets a task take its next step.
  public mutating func step(_ task: Int, _ cell: MachineCell) throws {
    guard tasks[task].hasCall else { return }
    cell.machine.run(onCPU: cpu(task, cell.machine))
    if !tasks[task].hasBegun {
      cell.machine.countOperation()
      tasks[task].hasBegun = true
    }
    tasks[task].steps += 1
    for other in tasks.indices where other != task { tasks[other].hasYielded = false }
    let isAlone = tasks.indices.allSatisfy { $0 == task || !canStep($0, cell.machine) }
    guard let (progress, rounds) = tasks[task].advanceCall(&cell.machine) else { return }
    switch progress {
    case .waiting(let wait):
      tasks[task].wait = wait
      tasks[task].stamp = Self.stamp(wait, cell.machine)
      if case .folio = wait, tasks[task].stamp == 0 { tasks[task].wait = nil }
    case .running:
      tasks[task].wait = nil
      if rounds > tasks[task].idleRounds {
        tasks[task].hasYielded = true
        tasks[task].loneRounds = isAlone ? tasks[task].loneRounds + 1 : 0
      }
      tasks[task].idleRounds = rounds
    case .finished:
      // Threads that the call woke run on CPUs of their own, all of it in one step.
      cell.machine.runBackground()
      // What the OOM killer chose leaves when its own operation is over.
      cell.machine.finishKilled()
      try finish(task)
    }
  }

  private mutating func finish(_ task: Int) throws {
    guard let call = tasks[task].call else { return }
    tasks[task].results.append((call.name, CallResult(of: call.operation)))
    tasks[task].wait = nil
    tasks[task].idleRounds = 0
    tasks[task].loneRounds = 0
    tasks[task].hasBegun = false
    tasks[task].begin(nil)
    do {
      tasks[task].begin(try program.call(of: task, after: call))
    } catch let failure as TaskFailure {
      tasks[task].failure = failure.text
    }
  }

  /// Lets a task that went round in vain try again: somebody outside of the set may have done something.
  public mutating func lookAgain(_ task: Int) {
    tasks[task].hasYielded = false
    tasks[task].loneRounds = 0
  }

  /// Ends every call that is under way, as fatal signals do.
  public mutating func interrupt(_ cell: MachineCell) {
    for task in tasks.indices where tasks[task].hasBegun {
      cell.machine.run(onCPU: cpu(task, cell.machine))
      tasks[task].interruptCall(&cell.machine)
    }
  }

  func hash(into hasher: inout Hasher) {
    for task in tasks {
      hasher.combine(task.call?.place)
      hasher.combine(task.hasBegun)
      hasher.combine(task.wait)
      // What a waiting task has seen says whether it may look again.
      if task.wait != nil { hasher.combine(task.stamp) }
      hasher.combine(task.hasYielded)
      hasher.combine(task.loneRounds)
      for (_, result) in task.results { hasher.combine(result.key) }
      if task.hasBegun, let operation = task.call?.operation { operation.hash(into: &hasher) }
    }
  }
}

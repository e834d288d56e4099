// Invariant: between two schedules the machine is as it was when the search began, to the byte; during
// one, `path` is the steps that led from there to its state.

public import MemoryModel

/// How the orders of steps are chosen.
public enum SearchMode: Sendable {
  /// Every order with at most so many preemptions; a task that waits or spins may be left for free.
  case exhaustive(preemptions: Int)
  /// Any task that can, at every step.
  case random(seed: UInt64)
  /// Random priorities that change at `changes` random steps: finds a bug of that depth with a known
  /// probability (Burckhardt and others, 2010).
  case priorities(seed: UInt64, changes: Int)
}

/// How far a search goes.
public struct SearchLimits: Sendable {
  /// Schedules that are run to their end.
  public var schedules = 1_000_000
  /// Steps of one schedule.
  public var steps = 20_000

  public init() {}
}

/// What a search found.
public struct SearchReport: Sendable {
  /// Orders that were run to their end.
  public internal(set) var schedules = 0
  /// All orders that these stand for: one that comes to a state that was met before goes on as that
  /// one did.
  public internal(set) var covered = 0
  public internal(set) var steps = 0
  public internal(set) var endStates: [EndState] = []
  public internal(set) var violations: [Violation] = []
  /// Different states of the machine's memory at the ends.
  public internal(set) var memoryStates: Set<UInt64> = []
  /// Whether all of the orders that were asked for were looked at.
  public internal(set) var isComplete = true

  public init() {}
}

/// Runs tasks in many orders of their atomic steps on one machine, which it leaves as it was.
public final class Explorer {
  public let cell: MachineCell
  private let program: any TaskProgram
  private let limits: SearchLimits
  private let invariants: [Invariant]
  /// Whether states that were met before are not searched again.
  private let reduces: Bool
  /// Asked now and then with the report so far; true ends the search.
  private let shouldStop: (SearchReport) -> Bool
  /// What the user wants of an end state, asked once for each: what is wrong, or nil.
  private let judge: (TaskSet) throws -> String?

  public private(set) var report = SearchReport()
  private var path: [UInt8] = []
  private var endStateIndex: [Int: Int] = [:]
  private var verdicts: [UInt64: [String]] = [:]
  private var bestCost: [String: (preemptions: Int, steps: Int)] = [:]
  private var seen: [Int: Int] = [:]
  private var digest = Machine.Digest()
  private var base: Machine.Mark?
  private var bound = 0
  private var isStopped = false

  public init(
    _ cell: MachineCell, _ program: any TaskProgram, limits: SearchLimits = SearchLimits(),
    invariants: [Invariant] = Invariant.allCases, reduces: Bool = true,
    judge: @escaping (TaskSet) throws -> String? = { _ in nil },
    shouldStop: @escaping (SearchReport) -> Bool = { _ in false }
  ) {
    self.cell = cell
    self.program = program
    self.limits = limits
    self.invariants = invariants
    self.reduces = reduces
    self.judge = judge
    self.shouldStop = shouldStop
  }

  /// Searches, and leaves the machine as it was.
  public func run(_ mode: SearchMode) throws -> SearchReport {
    precondition(program.taskCount <= 255)
    let start = try TaskSet(program)
    cell.machine.beginNoting()
    let base = cell.machine.mark()
    self.base = base
    defer {
      cell.machine.rollBack(to: base)
      cell.machine.endNoting()
    }
    switch mode {
    case .exhaustive(let preemptions):
      // Bound by bound, so that what breaks is found with the fewest preemptions.
      for bound in 0...max(0, preemptions) {
        self.bound = bound
        seen.removeAll(keepingCapacity: true)
        report.schedules = 0
        for index in report.endStates.indices { report.endStates[index].count = 0 }
        for index in report.violations.indices { report.violations[index].count = 0 }
        var tasks = start
        report.covered = try search(&tasks, last: nil, left: bound, digest: 0, since: base)
        cell.machine.rollBack(to: base)
        path.removeAll(keepingCapacity: true)
        if isStopped { break }
      }
    case .random(let seed): try runRandom(start, seed, changes: nil)
    case .priorities(let seed, let changes): try runRandom(start, seed, changes: changes)
    }
    return report
  }

  // MARK: Exhaustive

  /// Searches everything behind the current state.
  ///
  /// - Parameter left: Preemptions that may still happen.
  /// - Parameter digest: Of the tables at `mark`.
  /// - Returns: How many orders that is.
  private func search(
    _ tasks: inout TaskSet, last: Int?, left: Int, digest: UInt64, since mark: Machine.Mark
  ) throws -> Int {
    var last = last
    var choices = choices(tasks, last: last, left: left)
    // Where there is one way only, nothing has to be kept.
    while choices.count == 1 {
      try take(choices[0].task, &tasks)
      last = choices[0].task
      if try endsHere(tasks) { return 1 }
      choices = self.choices(tasks, last: last, left: left)
    }
    if choices.isEmpty {
      try end(tasks)
      return 1
    }
    let here = cell.machine.mark()
    let digest = digest &+ cell.machine.digestChange(since: mark, &self.digest)
    var key = 0
    if reduces {
      var hasher = Hasher()
      hasher.combine(digest)
      hasher.combine(cell.machine.fieldsDigest())
      tasks.hash(into: &hasher)
      hasher.combine(last)
      hasher.combine(left)
      key = hasher.finalize()
      if let known = seen[key] { return known }
    }
    var total = 0
    let depth = path.count
    let before = tasks
    for choice in choices {
      try take(choice.task, &tasks)
      if try endsHere(tasks) {
        total += 1
      } else {
        let sum = try search(
          &tasks, last: choice.task, left: left - choice.cost, digest: digest, since: here)
        total = total > .max - sum ? .max : total + sum
      }
      cell.machine.rollBack(to: here)
      tasks = before
      path.removeSubrange(depth...)
      if isStopped { return total }
    }
    if reduces { seen[key] = total }
    return total
  }

  private struct Choice {
    let task: Int
    let cost: Int
  }

  /// Who may go next: whoever went last for free, others for a preemption unless it cannot go on.
  private func choices(_ tasks: TaskSet, last: Int?, left: Int) -> [Choice] {
    var found: [Choice] = []
    var yielded: [Choice] = []
    var costs = 0
    if let last, tasks.canStep(last, cell.machine) {
      if tasks.tasks[last].hasYielded {
        yielded.append(Choice(task: last, cost: 0))
      } else {
        found.append(Choice(task: last, cost: 0))
        costs = 1
      }
    }
    if costs <= left {
      for task in tasks.tasks.indices where task != last && tasks.canStep(task, cell.machine) {
        if tasks.tasks[task].hasYielded {
          yielded.append(Choice(task: task, cost: 0))
        } else {
          found.append(Choice(task: task, cost: costs))
        }
      }
    }
    return found.isEmpty ? yielded : found
  }

  private func take(_ task: Int, _ tasks: inout TaskSet) throws {
    path.append(UInt8(task))
    report.steps += 1
    try tasks.step(task, cell)
  }

  /// Whether the schedule ends here: broken, too long, or stopped from outside.
  private func endsHere(_ tasks: TaskSet) throws -> Bool {
    if let broken = cell.machine.violations.first {
      note(violation: broken)
      try end(tasks, isBroken: true)
      return true
    }
    for (index, task) in tasks.tasks.enumerated() {
      guard let failure = task.failure else { continue }
      note(violation: "task \(index + 1) failed: \(failure)")
      try end(tasks, isBroken: true)
      return true
    }
    if path.count >= limits.steps {
      note(violation: "no end after \(limits.steps) steps")
      try end(tasks, isBroken: true)
      return true
    }
    return false
  }

  // MARK: Random

  private func runRandom(_ start: TaskSet, _ seed: UInt64, changes: Int?) throws {
    guard let base else { return }
    var random = SplitMix64(seed: seed)
    var length = 64
    while !isStopped {
      var tasks = start
      var priorities = tasks.tasks.indices.map { _ in Int(random.next() >> 2) }
      var points = Set((0..<(changes ?? 0)).map { _ in Int(random.next() % UInt64(length)) })
      var last: Int?
      while true {
        let able = choices(tasks, last: last, left: .max).map(\.task)
        if able.isEmpty {
          try end(tasks)
          break
        }
        let task: Int
        if changes == nil {
          task = able[Int(random.next() % UInt64(able.count))]
        } else {
          task = able.max { priorities[$0] < priorities[$1] } ?? able[0]
          if points.remove(path.count) != nil { priorities[task] = -path.count }
        }
        try take(task, &tasks)
        last = task
        if try endsHere(tasks) { break }
      }
      length = max(length, path.count)
      report.covered += 1
      cell.machine.rollBack(to: base)
      path.removeAll(keepingCapacity: true)
      if report.schedules >= limits.schedules { break }
    }
  }

  // MARK: Ends

  private func end(_ tasks: TaskSet, isBroken: Bool = false) throws {
    report.schedules += 1
    if !isBroken { try judgeEnd(tasks) }
    if report.schedules >= limits.schedules {
      isStopped = true
      report.isComplete = false
    } else if report.schedules & 63 == 0, shouldStop(report) {
      isStopped = true
      report.isComplete = false
    }
  }

  private func judgeEnd(_ tasks: TaskSet) throws {
    guard let base else { return }
    let memory = cell.machine.digestChange(since: base, &digest)
    var hasher = Hasher()
    for task in tasks.tasks {
      for (_, result) in task.results { hasher.combine(result.text) }
      hasher.combine(task.isDone)
    }
    let misplaced = cell.machine.misplacedPins()
    hasher.combine(misplaced)
    let key = hasher.finalize()
    let isNew = endStateIndex[key] == nil
    if let index = endStateIndex[key] {
      report.endStates[index].count += 1
    } else {
      endStateIndex[key] = report.endStates.count
      var state = EndState(text: text(tasks, misplaced), schedule: Schedule(path))
      state.count = 1
      report.endStates.append(state)
    }
    hasher.combine(memory)
    let exact = UInt64(bitPattern: Int64(hasher.finalize()))
    if verdicts[exact] == nil {
      report.memoryStates.insert(memory)
      verdicts[exact] = try verdict(tasks, isNew: isNew)
    }
    for broken in verdicts[exact] ?? [] { note(violation: broken) }
  }

  private func verdict(_ tasks: TaskSet, isNew: Bool) throws -> [String] {
    var found: [String] = []
    for (index, task) in tasks.tasks.enumerated() where !task.isDone {
      if let wait = task.wait {
        found.append("task \(index + 1) waits for ever for \(wait.description)")
      } else {
        found.append("task \(index + 1) spins for ever")
      }
    }
    for invariant in invariants {
      // Looking at every frame takes long; states that come to the same differ in frame numbers.
      if invariant == .counts, !isNew || !found.isEmpty { continue }
      if let broken = invariant.broken(cell.machine) { found.append(broken) }
    }
    if let broken = try judge(tasks) { found.append(broken) }
    return found
  }

  private func text(_ tasks: TaskSet, _ misplaced: Int) -> String {
    var text = tasks.tasks.map { task in
      let results = task.results.map(\.result.text) + (task.isDone ? [] : ["no end"])
      return results.isEmpty ? "nothing" : results.joined(separator: ", ")
    }.joined(separator: " | ")
    if misplaced > 0 { text += " · \(misplaced) pinned in CMA or ZONE_MOVABLE" }
    return text
  }

  private func note(violation text: String) {
    // Frame numbers differ between orders that break the same thing.
    let name = String(text.prefix { $0 != ":" })
    let cost = (preemptions: bound, steps: path.count)
    if let index = report.violations.firstIndex(where: { $0.text.hasPrefix(name) }) {
      report.violations[index].count += 1
      if let best = bestCost[name], best > cost {
        bestCost[name] = cost
        report.violations[index].schedule = Schedule(path)
      }
    } else {
      bestCost[name] = cost
      report.violations.append(Violation(text: text, schedule: Schedule(path)))
    }
  }
}

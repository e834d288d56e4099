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
  /// The steps from the beginning to the current state, by their tasks.
  public private(set) var path: [UInt8] = []
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
    cell.machine.beginNoting()
    let base = cell.machine.mark()
    self.base = base
    defer {
      cell.machine.rollBack(to: base)
      cell.machine.endNoting()
    }
    let start = try TaskSet(program)
    for (index, task) in start.tasks.enumerated() {
      // In every order alike, so there is nothing to search.
      guard let failure = task.failure else { continue }
      throw TaskFailure("task \(index + 1) failed: \(failure)")
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
        report.covered = try search(start, left: bound, since: base)
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

  /// A state from which several tasks may go on, with what is needed to come back to it.
  ///
  /// The branches lie on a stack of their own: thousands of them, one in the other, are usual.
  private struct Branch {
    let mark: Machine.Mark
    let tasks: TaskSet
    let choices: [Choice]
    var nextChoice = 0
    let left: Int
    /// Of the tables at the mark.
    let digest: UInt64
    let depth: Int
    let key: Int
    var total = 0
  }

  /// Searches everything behind the current state.
  ///
  /// - Returns: How many orders that is.
  private func search(_ start: TaskSet, left: Int, since base: Machine.Mark) throws -> Int {
    var branches: [Branch] = []
    var tasks = start
    var found = try advance(&tasks, last: nil, left: left, parent: nil, base)
    while true {
      switch found {
      case .branch(let branch): branches.append(branch)
      case .orders(let count):
        guard !branches.isEmpty else { return count }
        let sum = branches[branches.count - 1].total.addingReportingOverflow(count)
        branches[branches.count - 1].total = sum.overflow ? .max : sum.partialValue
      }
      // The innermost branch that has a choice left; what is complete counts for the one around it.
      let top = branches.count - 1
      let isDone = branches[top].nextChoice == branches[top].choices.count || isStopped
      if branches[top].nextChoice > 0 || isDone {
        cell.machine.rollBack(to: branches[top].mark)
        path.removeSubrange(branches[top].depth...)
      }
      if isDone {
        if reduces, !isStopped { seen[branches[top].key] = branches[top].total }
        found = .orders(branches.removeLast().total)
        continue
      }
      let choice = branches[top].choices[branches[top].nextChoice]
      branches[top].nextChoice += 1
      tasks = branches[top].tasks
      try take(choice.task, &tasks)
      if try endsHere(tasks) {
        found = .orders(1)
      } else {
        found = try advance(
          &tasks, last: choice.task, left: branches[top].left - choice.cost,
          parent: (branches[top].mark, branches[top].digest), base)
      }
    }
  }

  private enum Found {
    /// The end of one order, or a state from which so many are known.
    case orders(Int)
    case branch(Branch)
  }

  /// Goes on as long as there is one way only.
  private func advance(
    _ tasks: inout TaskSet, last: Int?, left: Int, parent: (mark: Machine.Mark, digest: UInt64)?,
    _ base: Machine.Mark
  ) throws -> Found {
    var last = last
    var choices = choices(tasks, last: last, left: left)
    // Nothing has to be kept meanwhile.
    while choices.count == 1 {
      try take(choices[0].task, &tasks)
      last = choices[0].task
      if try endsHere(tasks) { return .orders(1) }
      choices = self.choices(tasks, last: last, left: left)
    }
    if choices.isEmpty {
      try end(tasks)
      return .orders(1)
    }
    var digest: UInt64 = 0
    var key = 0
    if reduces {
      digest =
        (parent?.digest ?? 0)
        &+ cell.machine.digestChange(since: parent?.mark ?? base, &self.digest)
      var hasher = Hasher()
      hasher.combine(digest)
      hasher.combine(cell.machine.fieldsDigest())
      tasks.hash(into: &hasher)
      hasher.combine(last)
      hasher.combine(left)
      key = hasher.finalize()
      if let known = seen[key] { return .orders(known) }
    }
    return .branch(
      Branch(
        mark: cell.machine.mark(), tasks: tasks, choices: choices, left: left, digest: digest,
        depth: path.count, key: key))
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
    // Where most states are known, orders come to their ends rarely.
    if report.steps & 1023 == 0, !isStopped, shouldStop(report) { stop() }
    try tasks.step(task, cell)
  }

  /// Whether the schedule ends here: broken, too long, or stopped from outside.
  private func endsHere(_ tasks: TaskSet) throws -> Bool {
    if let broken = cell.machine.violations.first {
      note(violation: broken)
      try end(tasks, isBroken: true)
      return true
    }
    for index in tasks.tasks.indices {
      guard let failure = tasks.tasks[index].failure else { continue }
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
      var lowest = -limits.steps
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
        // Whoever goes round in vain gives way to all others, or two such would starve the one that
        // they wait for.
        if changes != nil, tasks.tasks[task].hasYielded {
          lowest -= 1
          priorities[task] = lowest
        }
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
    if report.schedules >= limits.schedules || report.schedules & 63 == 0 && shouldStop(report) {
      stop()
    }
  }

  private func stop() {
    isStopped = true
    report.isComplete = false
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

  private static func name(_ violation: String) -> Substring { violation.prefix { $0 != ":" } }

  private func note(violation text: String) {
    // Frame numbers differ between orders that break the same thing.
    let name = String(Self.name(text))
    let cost = (preemptions: bound, steps: path.count)
    if let index = report.violations.firstIndex(where: { Self.name($0.text) == name }) {
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

internal import MemoryExploration
internal import MemoryModel

// Invariant: `undone` is empty unless the last thing that changed a machine was an undo or a redo;
// `bytes` is about what the kept states occupy, and at most `budget` after each statement.

/// The states of a session's machines before the statements that changed them.
public final class UndoHistory {
  /// What the kept states may occupy.
  public var budget: Int

  private struct Change {
    let object: MachineObject
    let before: MachineCell
    let bytes: Int
    /// Handles of `step` on this machine, as they were with it.
    var steppers: [Stepper]
  }

  private struct Stepper {
    let object: StepObject
    /// Nil before it was made.
    var place: TaskSet?
  }

  private struct Statement {
    let text: String
    var changes: [Change] = []
    /// Machines that are too large for the budget.
    var tooLarge: [Int] = []
    var bytes: Int { changes.reduce(0) { $0 + $1.bytes } }
  }

  private struct WeakObject { weak var object: MachineObject? }

  private var machines: [WeakObject] = []
  private var done: [Statement] = []
  private var undone: [Statement] = []
  private var current: Statement?
  /// The handles of `step` as they were when the statement began.
  private var steppers: [Stepper] = []
  /// What there is to say at the end of the statement.
  private var notes: [String] = []

  public init(budget: Int = 256 << 20) { self.budget = budget }

  func add(_ object: MachineObject) {
    machines.removeAll { $0.object == nil }
    machines.append(WeakObject(object: object))
    watch(object)
  }

  private func watch(_ object: MachineObject) {
    guard current != nil else { return }
    object.beforeChange = { [weak self, weak object] machine in
      guard let self, let object else { return }
      self.note(object, machine)
    }
  }

  /// About the memory that a copy of a machine takes: 40 bytes for a page in use, and what it begins
  /// with.
  static func estimate(_ machine: borrowing Machine) -> Int {
    var pages = 0
    for zone in machine.populatedZones {
      pages += max(0, machine.zone(zone).present - machine.zone(zone).freePages)
    }
    return 2 << 20 + pages * 40
  }

  private func note(_ object: MachineObject, _ machine: borrowing Machine) {
    guard current != nil, !machine.isNoting else { return }
    let bytes = Self.estimate(machine)
    guard bytes <= budget, let copy = try? machine.fork() else {
      current?.tooLarge.append(object.number)
      return
    }
    let steppers = steppers.filter { $0.object.object === object }
    current?.changes.append(
      Change(object: object, before: MachineCell(copy), bytes: bytes, steppers: steppers))
  }

  /// From here on belongs to the next statement.
  public func begin(_ text: String) {
    current = Statement(text: text)
    steppers = (machines.lazy.compactMap(\.object).first?.tasks.steppers ?? []).map {
      Stepper(object: $0, place: $0.place)
    }
    for machine in machines { if let object = machine.object { watch(object) } }
  }

  /// Forgets all that could be taken back.
  public func forget() {
    done = []
    undone = []
  }

  /// Does what statements that were stopped have left to do.
  public func settle() { for machine in machines { machine.object?.settle() } }

  /// Ends a statement.
  ///
  /// - Returns: What the user should know: states that were dropped or never kept.
  public func end() -> [String] {
    keep()
    for machine in machines { machine.object?.beforeChange = nil }
    current = nil
    steppers = []
    defer { notes = [] }
    return notes
  }

  /// Keeps what the statement has changed so far.
  private func keep() {
    guard var statement = current else { return }
    current?.changes = []
    current?.tooLarge = []
    // A call that was refused may have left all as it was; going back over it would show nothing.
    statement.changes.removeAll { change in
      // Some steps change nothing but where their task stands.
      change.steppers.allSatisfy { $0.place?.tasks[0].steps == $0.object.state.steps }
        && !change.object.machine.countsDiffer(from: change.before.machine)
        && (try? change.object.machine.firstDifference(from: change.before.machine)) == .some(nil)
    }
    for number in statement.tooLarge {
      notes.append(
        "machine #\(number) holds more than the \(megabytes(budget)) that undo keeps: this cannot be "
          + "undone")
    }
    if !statement.tooLarge.isEmpty {
      // An undo across it would mix states of different moments.
      done.removeAll()
      undone.removeAll()
    }
    guard !statement.changes.isEmpty, statement.tooLarge.isEmpty else { return }
    undone.removeAll()
    done.append(statement)
    var dropped = 0
    while done.count > 1, done.reduce(0, { $0 + $1.bytes }) > budget {
      done.removeFirst()
      dropped += 1
    }
    if dropped > 0 {
      notes.append(
        "undo keeps \(megabytes(budget)): the oldest \(dropped == 1 ? "state is" : "\(dropped) states are") "
          + "dropped")
    }
  }

  private func megabytes(_ bytes: Int) -> String { "\(bytes >> 20) MiB" }

  /// Takes the last statement that changed a machine back.
  ///
  /// - Returns: Its text, or nil when there is none.
  public func undo() -> String? { move(from: \.done, to: \.undone) }

  /// Does again what the last undo took back.
  public func redo() -> String? { move(from: \.undone, to: \.done) }

  private func move(
    from: ReferenceWritableKeyPath<UndoHistory, [Statement]>,
    to: ReferenceWritableKeyPath<UndoHistory, [Statement]>
  ) -> String? {
    // What the statement did before it called undo is a change of its own.
    keep()
    guard var statement = self[keyPath: from].popLast() else { return nil }
    for index in statement.changes.indices {
      let object = statement.changes[index].object
      object.beforeChange = nil
      object.exchange(with: statement.changes[index].before)
      for stepper in object.tasks.steppers
      where stepper.object === object
        && !statement.changes[index].steppers.contains(where: { $0.object === stepper })
      {
        statement.changes[index].steppers.append(Stepper(object: stepper, place: nil))
      }
      for place in statement.changes[index].steppers.indices {
        let stepper = statement.changes[index].steppers[place]
        statement.changes[index].steppers[place].place = stepper.object.exchange(
          with: stepper.place)
      }
    }
    self[keyPath: to].append(statement)
    // And what it does behind it is another one.
    if let text = current?.text { begin(text) }
    return statement.text
  }
}

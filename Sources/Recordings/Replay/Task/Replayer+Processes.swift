// What the recorded task does in user mode that matters for memory: forks, locks, io_uring's buffers.

internal import MemoryModel
internal import MemoryOperations

extension Replayer {
  mutating func performUser(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    let words = (record.cmd ?? "").split(separator: " ").map(String.init)
    switch words.first {
    case "fork": return fork(record, &events)
    case "child": return goOnInChild(record, &events)
    case "killchild":
      guard let child = task?.child else { return ("a child", "none") }
      task?.child = nil
      task?.childFaultIsDue = false
      var operation = UnmapOperation(space: child, pages: nil)
      return run(&operation, &events, .slice)
    case "mlock": return lock(words)
    case "uring_reg": return registerBuffer(words, &events)
    case "uring_unreg":
      if let held = task?.pins.removeValue(forKey: Self.ringHandle) { release(held) }
    default: break
    }
    return nil
  }

  /// No script uses it.
  private static let ringHandle = -1

  private func range(_ words: [String]) -> Range<Int>? {
    func number(_ word: String) -> Int? {
      word.hasPrefix("0x") ? Int(word.dropFirst(2), radix: 16) : Int(word)
    }
    guard words.count > 2, let address = number(words[1]), let length = number(words[2]) else {
      return nil
    }
    let first = address >> machine.geometry.pageShift
    let size = machine.geometry.pageSize
    return first..<(address + length + size - 1) / size
  }

  private mutating func lock(_ words: [String]) -> Difference? {
    guard let pages = range(words) else { return nil }
    if case .failure(let refusal) = machine.mlock(task!.space, pages) {
      return ("mlock succeeds", refusal.message)
    }
    return nil
  }

  /// Kernel: `io_sqe_buffer_register()`, `io_pin_pages()`.
  private mutating func registerBuffer(
    _ words: [String], _ events: inout PageEvents
  ) -> Difference? {
    guard let pages = range(words) else { return nil }
    var operation = Pin(
      PinRequest(
        space: task!.space, startPage: pages.lowerBound, pages: pages.count,
        flags: [.write, .longTerm], entryPoint: .fast))
    if let difference = run(&operation, &events, .slice) { return difference }
    guard let outcome = operation.outcome, outcome.pages == pages.count, let pin = outcome.pin
    else { return ("\(pages.count) pages are registered", "\(operation.outcome?.pages ?? 0)") }
    task?.pins[Self.ringHandle] = .init(records: [pin])
    return nil
  }

  // MARK: Processes

  /// The fork, and the copies that both processes make of the pages that they go on writing to.
  private mutating func fork(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    guard let parent = task?.space else { return nil }
    var operation = ForkOperation(parent: parent, name: "child")
    if let difference = run(&operation, &events, .slice) { return difference }
    guard case .success(let child) = operation.outcome else { return ("a child", "none") }
    task?.child = child
    task?.childFaultIsDue = true
    var copies = [0, 0]
    for event in record.ev ?? [] {
      guard event.key == Self.allocation, event.arguments[2] == 0x14_0cca else { continue }
      let who = event.comm == nil ? 0 : 1
      let space = who == 0 ? parent : child
      for _ in 0..<abs(event.repetition(after: 4)) {
        copyOwnPage(space, first: copies[who] == 0)
        copies[who] += 1
      }
    }
    return nil
  }

  /// The script goes on in a child of its task, which writes to its program's data first, then to its
  /// stack, and shows the page of its program that it runs.
  private mutating func goOnInChild(
    _ record: RecordingRecord, _ events: inout PageEvents
  ) -> Difference? {
    guard let parent = task?.space else { return nil }
    guard record.ev?.isEmpty == false else {
      // It has ended, and its parent goes on.
      if let parent = task?.parent { task?.space = parent }
      task?.parent = nil
      return nil
    }
    var operation = ForkOperation(parent: parent, name: "child")
    if let difference = run(&operation, &events, .slice) { return difference }
    guard case .success(let child) = operation.outcome else { return ("a child", "none") }
    var copies = 0
    for event in record.ev ?? [] where event.key == Self.allocation && event.comm != nil {
      guard event.arguments[2] == 0x14_0cca else { continue }
      for _ in 0..<abs(event.repetition(after: 4)) {
        copyOwnPage(child, first: copies > 0)
        copies += 1
      }
    }
    task?.space = child
    task?.parent = parent
    RecordedTask.showProgram(&machine, child)
    return nil
  }

  private mutating func copyOwnPage(_ space: Int, first: Bool) {
    guard let task else { return }
    let page = first ? task.lowestStackPage : RecordedTask.programPage
    var fault = FaultOperation(space: space, page: page, access: .write, writes: true)
    fault.run(&machine)
  }

  /// Whether the OOM killer chose the task, which comes to its end in this record.
  func endsVictim(_ record: RecordingRecord) -> Bool {
    guard record.op == "idle", let task else { return false }
    return machine.isKilled(task.space)
  }

  /// Ends the victim in its own context; its parent goes on with the script.
  ///
  /// What it allocates on its way comes out of the reserves. `signal->oom_mm` keeps the top table until
  /// RCU lets the reaped task go, after the recording.
  mutating func endVictim(_ events: inout PageEvents) -> Difference? {
    guard let victim = task?.space, let parent = task?.parent else { return ("a parent", "none") }
    task?.space = parent
    task?.parent = nil
    machine.keepTopTable(of: victim)
    var operation = UnmapOperation(space: victim, pages: nil)
    let outer = machine.enterTask(victim)
    defer { machine.leaveTask(outer) }
    return run(&operation, &events, .slice)
  }

  /// Puts the untraced pages of new kernel stacks among the requests of others: a thread's stack comes
  /// before the copy of its address space.
  mutating func placeStacks(_ record: RecordingRecord, in foreign: inout [ForeignRequest]) {
    for _ in 0..<Self.untracedStacks(record) {
      let early = foreign.prefix { $0.position == 0 }.count
      let place = early - choices.choose(early + 1)
      for _ in 0..<4 {
        foreign.insert(
          ForeignRequest(position: 0, .allocate(Self.kernelStack), order: 0), at: place)
      }
    }
  }
}

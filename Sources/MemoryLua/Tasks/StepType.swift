internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

/// A Lua function whose calls of a machine are taken step by step, by hand.
final class StepObject {
  let program: LuaLiveProgram
  var tasks: TaskSet
  /// The machine of the last call, nil before the first one.
  var object: MachineObject?
  let number: Int

  init(_ program: LuaLiveProgram, _ tasks: TaskSet, number: Int) {
    self.program = program
    self.tasks = tasks
    self.number = number
    find()
  }

  private func find() { if let pending = program.live[0]?.pending { object = pending.object } }

  var state: TaskState { tasks.tasks[0] }

  /// What comes next; nil at the end.
  var next: Step? {
    guard let object, let call = state.call else { return nil }
    return call.operation.nextStep(object.machine)
  }

  /// Undo went back behind the call that it is in.
  private(set) var isLost = false

  /// Puts it back to where it was, or forward again: exchanges its state with `other`.
  ///
  /// A call can be taken back to any of its steps. Lua that has run on cannot: then it is lost.
  func exchange(with other: inout TaskSet?) {
    if let there = other, there.tasks[0].results.count == state.results.count,
      there.isDone == tasks.isDone
    {
      other = tasks
      tasks = there
    } else if !state.isDone || other?.isDone == false {
      tasks.forget()
      isLost = true
    }
  }

  /// Whether it stands between two steps of a call.
  var isUnderWay: Bool { state.hasBegun }

  var isBlocked: Bool {
    guard let object else { return false }
    return !state.isDone && !tasks.canStep(0, object.machine)
  }

  /// Takes one step.
  func step(_ scope: LuaScope) throws(LuaFailure) {
    guard let object else { return }
    program.scope = scope
    defer { program.scope = nil }
    do {
      try tasks.step(0, object)
    } catch let failure as LuaFailure {
      throw failure
    } catch {
      throw LuaFailure("step: \(error)")
    }
    find()
    if let failure = state.failure { throw LuaFailure("the task failed: \(failure)") }
  }

  func end() {
    guard let object, !state.isDone else { return }
    tasks.interrupt(object)
  }

  var text: String {
    var text = "task \(number)"
    if isLost { return text + ", lost: undo went back behind its call" }
    if let object { text += " on CPU \(tasks.cpu(0, object.machine))" }
    guard let call = state.call, let step = next else {
      let results = state.results.map { "\($0.name): \($0.result.text)" }
      return text + ", ended" + (results.isEmpty ? "" : " · " + results.joined(separator: " · "))
    }
    text += " in \(call.name)"
    if isBlocked, let wait = state.wait { return text + " waits for \(wait.description)" }
    return text + ", next \(step.id) \(step.function): \(step.text)"
  }
}

extension MemoryLibrary {
  static func stepFunction(_ context: MemoryContext) -> LuaFunction {
    let session = context.tasks
    return LuaFunction(
      "step", .positional, [LuaParameter("f", .function, "What the task does.")],
      returns: [LuaResult(.object("task"), "Stands in front of the first step.")],
      doc: """
        Runs a function one atomic step at a time: each call of a machine in it stops between its steps.

        Several of them are tasks on different CPUs, as far as the machine has CPUs; stepping them by \
        hand is choosing the order in which they meet. Lua code between two calls runs with the step \
        before it. Calls that change a machine and have no steps of their own are one step.
        """,
      rules: ["P10.1", "P10.6"],
      example: """
        m = machine{ ram = "64M", cma = "32M", cpus = 2 }
        vm = m:guest{ ram = "64K", thp = "never" }
        vm:populate()
        t = step(function() p = vm:pin{ length = "4K", longterm = true } end)
        t:next()
        t:where().id --> "g1"
        t:to("g6")
        t:run()
        p.pages --> 1
        """
    ) { call throws(LuaFailure) in
      guard let function = call.reference(0) else { throw LuaFailure("step: not enough memory") }
      session.handles += 1
      let number = session.handles
      let made = try call.withScope { scope throws(LuaFailure) in
        let program = LuaLiveProgram([function], [], nil, session)
        program.scope = scope
        defer { program.scope = nil }
        do {
          let tasks = try TaskSet(program, firstCPU: number - 1)
          if let failure = tasks.tasks[0].failure {
            throw LuaFailure("step: the task failed: \(failure)")
          }
          return StepObject(program, tasks, number: number)
        } catch let failure as LuaFailure {
          throw failure
        } catch {
          throw LuaFailure("step: \(error)")
        }
      }
      session.add(made)
      call.returns(LuaHandle("task", made))
    }
  }

  static func taskType() -> LuaType {
    LuaType(
      "task", StepObject.self,
      doc: "A function that is run one atomic step at a time.",
      properties: [
        LuaProperty("done", .boolean, "Whether it has come to its end.") { call in
          call.returns(call.object(as: StepObject.self).state.isDone)
        },
        LuaProperty("waiting", .boolean, "Whether another task must do something first.") { call in
          call.returns(call.object(as: StepObject.self).isBlocked)
        },
        LuaProperty("steps", .integer(), "Steps taken so far.") { call in
          call.returns(call.object(as: StepObject.self).state.steps)
        },
        LuaProperty(
          "results", .table, "What its calls came to, as texts, in their order."
        ) { call in
          call.returns(
            LuaTable(call.object(as: StepObject.self).state.results.map { .string($0.result.text) })
          )
        },
      ],
      methods: [taskNext, taskTo, taskRun, taskWhere, taskKill],
      display: { $0.owner(as: StepObject.self).text })
  }

  private static let taskExample = """
    m = machine{ ram = "64M", cma = "32M" }
    vm = m:guest{ ram = "64K", thp = "never" }
    t = step(function() vm:touch(0, "4K") end)
    """

  private static var taskNext: LuaFunction {
    LuaFunction(
      "next", .positional, [LuaParameter("count", .integer(1...1_000_000), default: "1", "Steps.")],
      returns: [LuaResult(.object("task"), "Itself, at the next step.")],
      doc: "Takes the next step. A task that waits stays where it is.",
      rules: ["P10.1"],
      example: taskExample + "\nt:next():where().id --> \"t2\""
    ) { call throws(LuaFailure) in
      let task = call.object(as: StepObject.self)
      try call.withScope { scope throws(LuaFailure) in
        for _ in 0..<call.integer(0, default: 1) where !scope.shouldStop {
          if task.state.isDone || task.isBlocked { break }
          try task.step(scope)
        }
      }
      call.returns(call.handle)
    }
  }

  private static var taskTo: LuaFunction {
    LuaFunction(
      "to", .positional,
      [LuaParameter("name", .string, "A step such as \"g6\", or a kernel function.")],
      returns: [LuaResult(.object("task"), "Itself, in front of that step, or at its end.")],
      doc: """
        Takes steps until the next one has this name, or belongs to this kernel function.

        It stops, too, where the task waits for another. (`until` is a word of Lua's own.)
        """,
      rules: ["P10.1"],
      example: taskExample + "\nt:to(\"folio_add_lru_vma\"):where().id --> \"t3\""
    ) { call throws(LuaFailure) in
      let task = call.object(as: StepObject.self)
      let name = call.string(0)
      try call.withScope { scope throws(LuaFailure) in
        var isFirst = true
        while !task.state.isDone, !task.isBlocked, !scope.shouldStop {
          if !isFirst, let next = task.next, next.id == name || next.function == name { break }
          isFirst = false
          try task.step(scope)
        }
      }
      call.returns(call.handle)
    }
  }

  private static var taskRun: LuaFunction {
    LuaFunction(
      "run", returns: [LuaResult(.object("task"), "Itself, at its end.")],
      doc: "Takes all steps that are left, or those up to where it waits for another task.",
      rules: ["P10.1"],
      example: taskExample + "\nt:run().done --> true"
    ) { call throws(LuaFailure) in
      let task = call.object(as: StepObject.self)
      try call.withScope { scope throws(LuaFailure) in
        while !task.state.isDone, !task.isBlocked, !scope.shouldStop { try task.step(scope) }
      }
      call.returns(call.handle)
    }
  }

  private static var taskWhere: LuaFunction {
    LuaFunction(
      "where",
      returns: [
        LuaResult(
          .table,
          "task, cpu, operation, id, func (the kernel's), text (what it is about to read or write), "
            + "waits (for what, in words); nil at the end.")
      ],
      doc: "The step that comes next.", rules: ["P10.1"],
      example: taskExample + "\nt:where().func --> \"handle_mm_fault\""
    ) { call in
      let task = call.object(as: StepObject.self)
      guard let object = task.object, let step = task.next, let running = task.state.call else {
        return call.returnsNil()
      }
      var fields: [(name: String, value: LuaValue)] = [
        ("task", .integer(Int64(task.number))),
        ("cpu", .integer(Int64(task.tasks.cpu(0, object.machine)))),
        ("operation", .string(running.name)), ("id", .string(step.id)),
        ("func", .string(step.function)), ("text", .string(step.text)),
      ]
      if task.isBlocked, let wait = task.state.wait {
        fields.append(("waits", .string(wait.description)))
      }
      call.returns(LuaTable(fields: fields))
    }
  }

  private static var taskKill: LuaFunction {
    LuaFunction(
      "kill",
      doc: "Ends the call that is under way as a fatal signal does; the function ends there.",
      rules: ["P3.20"],
      example: taskExample + "\nt:next()\nt:kill()\nt.done --> true"
    ) { call in call.object(as: StepObject.self).end() }
  }
}

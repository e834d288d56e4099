internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

/// A Lua function whose calls of a machine are taken step by step, by hand.
final class StepObject {
  private let program: LuaLiveProgram
  private var tasks: TaskSet
  /// As it was made, in front of its first step.
  private let beginning: TaskSet
  /// The machine of its call, or of the last one; nil when there was none.
  private(set) var object: MachineObject?
  let number: Int
  private let session: TaskSession

  /// - Parameter cpu: Its CPU; nil for the next one that is free.
  init(
    _ function: LuaReference, _ arguments: [LuaValue], _ machine: MachineObject?,
    _ session: TaskSession, number: Int, cpu: Int?, _ scope: LuaScope
  ) throws {
    let program = LuaLiveProgram([function], arguments, machine, session)
    program.scope = scope
    defer { program.scope = nil }
    var tasks = try TaskSet(program, firstCPU: cpu ?? 0)
    let object = tasks.tasks[0].call.map { program.machine(of: 0, $0) } ?? machine
    if cpu == nil, let object {
      tasks.firstCPU = session.freeCPU(on: object, from: number - 1)
    }
    self.program = program
    self.object = object
    self.tasks = tasks
    beginning = tasks
    self.number = number
    self.session = session
  }

  private func findMachine() {
    if let call = state.call { object = program.machine(of: 0, call) }
  }

  var state: TaskState { tasks.tasks[0] }

  var cpu: Int? { object.map { tasks.cpu(0, $0.machine) } }

  /// What comes next; nil at the end.
  var next: Step? {
    guard let object, let call = state.call else { return nil }
    return call.operation.nextStep(object.machine)
  }

  /// Whether undo went back behind what its function did: a call can be taken again from any of its steps,
  /// Lua cannot, so the task ends behind this call.
  var isBehindLua: Bool { state.call.map { !program.isWaiting(0, in: $0) } ?? false }

  /// Where it stands, for undo to come back to.
  var place: TaskSet { tasks }

  /// Puts it back to where it was, or forward again; nil is where it was made.
  ///
  /// - Returns: Where it stood.
  func exchange(with other: TaskSet?) -> TaskSet {
    let left = tasks
    tasks = other ?? beginning
    findMachine()
    session.keep(self)
    return left
  }

  /// Whether it stands between two steps of a call.
  var isUnderWay: Bool { state.hasBegun }

  var isBlocked: Bool {
    guard let object else { return false }
    return !state.isDone && !tasks.canStep(0, object.machine)
  }

  /// Somebody asks it to go on: if it spun, what it spins for may have come meanwhile.
  func lookAgain() { tasks.lookAgain(0) }

  /// Takes one step, on its own CPU; the machine's stays the one that the user chose.
  func step(_ scope: LuaScope) throws(LuaFailure) {
    guard let object, !state.isDone else { return }
    program.scope = scope
    let cpu = object.machine.currentCPU
    defer {
      program.scope = nil
      object.machine.run(onCPU: cpu)
      session.keep(self)
    }
    do {
      try tasks.step(0, object)
    } catch let failure as LuaFailure {
      throw failure
    } catch {
      throw LuaFailure("step: \(error)")
    }
    findMachine()
    if let failure = state.failure { throw LuaFailure("the task failed: \(failure)") }
  }

  func end() {
    guard let object, !state.isDone else { return }
    let cpu = object.machine.currentCPU
    tasks.interrupt(object)
    object.machine.run(onCPU: cpu)
    session.keep(self)
  }

  var text: String {
    var text = "task \(number)"
    if let cpu { text += " on CPU \(cpu)" }
    guard let call = state.call, let step = next else {
      let results = state.results.map { "\($0.name): \($0.result.text)" }
      return text + ", ended" + (results.isEmpty ? "" : " · " + results.joined(separator: " · "))
    }
    text += " in \(call.name)"
    if isBlocked, let wait = state.wait {
      text += " waits for \(wait.description)"
    } else {
      text += ", next \(step.id) \(step.function): \(step.text)"
    }
    if isBehindLua { text += "\n  undo went behind what its function did; it ends with this call" }
    return text
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
      let made = try call.withScope { scope throws(LuaFailure) in
        do {
          let made = try StepObject(
            function, [], nil, session, number: session.handles + 1, cpu: nil, scope)
          if let failure = made.state.failure {
            throw LuaFailure("step: the task failed: \(failure)")
          }
          return made
        } catch let failure as LuaFailure {
          throw failure
        } catch {
          throw LuaFailure("step: \(error)")
        }
      }
      session.handles += 1
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
      doc: "Takes the next step. A task that waits stays where it is, one that spins tries again.",
      rules: ["P10.1"],
      example: taskExample + "\nt:next():where().id --> \"t2\""
    ) { call throws(LuaFailure) in
      let task = call.object(as: StepObject.self)
      task.lookAgain()
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
      task.lookAgain()
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
      task.lookAgain()
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
      guard let step = task.next, let running = task.state.call else {
        return call.returnsNil()
      }
      var fields: [(name: String, value: LuaValue)] = [
        ("task", .integer(Int64(task.number))),
        ("cpu", .integer(Int64(task.cpu ?? 0))),
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

  /// Of a machine: the handles of `step` in the middle of a call.
  static var tasks: LuaFunction {
    LuaFunction(
      "tasks", returns: [LuaResult(.table, "task objects, oldest first.")],
      doc: """
        The tasks of step() that are in the middle of a call on this machine, whether or not a variable \
        still names them.

        What they hold stays held until their calls end: run() or kill() them. A fork has what they hold, \
        and not the tasks.
        """, rules: ["P10.1"],
      example: """
        m = machine{ ram = "64M", cma = "32M" }
        vm = m:guest{ ram = "64K", thp = "never" }
        step(function() vm:pin{ length = "4K" } end):next(2)
        m:tasks()[1]:run()
        #m:tasks() --> 0
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(object.tasks.underWay(on: object).map { .object(LuaHandle("task", $0)) }))
    }
  }
}

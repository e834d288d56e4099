internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

extension MemoryLibrary {
  static func replayScheduleFunction(_ context: MemoryContext) -> LuaFunction {
    let session = context.tasks
    return LuaFunction(
      "replay_schedule", .positional,
      [
        LuaParameter("schedule", .string, "As `explore` prints it: \"1*12 2*30\"."),
        LuaParameter(
          "options", .table,
          "tasks and machine or setup, as for explore. watch: a function that is called before each "
            + "step with the task's number, the step's name, the kernel function and what it does. "
            + "steps: stop after so many. step: true leaves the tasks where the schedule ends, as handles "
            + "of step."),
      ],
      returns: [
        LuaResult(
          .table, "For each task the texts of what its calls came to; with `step` its handle."),
        LuaResult(.object("machine"), "The machine, in the state that the order leads to."),
      ],
      doc: """
        Runs tasks in one order of their steps, on the machine itself, and leaves it there.

        Behind the end of the schedule every task runs to its end. With `steps` it stops before; calls \
        under way then end as by a fatal signal. With `step = true` they do not: they are left for stepping \
        on by hand, in front of the step behind the schedule's or behind the first `steps` of it.
        """,
      rules: ["P10.1"],
      example: """
        m = machine{ ram = "64M", cpus = 2 }
        vm = m:guest{ ram = "64K", thp = "never" }
        function touch(at) return function() vm:touch(at, "4K") end end
        replay_schedule("1*2 2*3 1*2", { machine = m, tasks = { touch(0), touch("4K") } })[2][1] --> "ok"
        vm:resident().pages --> 2
        tasks = { touch("8K"), touch("12K") }
        t = replay_schedule("1*2 2*1", { machine = m, tasks = tasks, step = true })
        t[1]:where().id --> "t3"
        t[1]:run()
        t[2]:run()
        """
    ) { call throws(LuaFailure) in
      let table = call.value(1).table ?? LuaTable()
      let known = ["machine", "setup", "step", "steps", "tasks", "watch"]
      for (name, _) in table.fields where !known.contains(name) {
        throw LuaFailure(
          "unknown field '\(name)' in 'replay_schedule'; it takes \(known.joined(separator: ", "))")
      }
      var watch: LuaReference?
      if case .function(let function)? = table["watch"] { watch = function }
      let limit = table["steps"]?.integer.map { Int($0) }
      if let value = table["steps"], limit.map({ $0 >= 0 }) != true {
        throw LuaFailure("bad field 'steps' (expected a number, got \(ByteSize.describe(value)))")
      }
      let byHand = table["step"]?.boolean ?? false
      if byHand, watch != nil {
        throw LuaFailure("replay_schedule: give either 'watch' or 'step', not both")
      }
      var handles: [StepObject] = []
      let text = call.string(0)
      var object: MachineObject?
      let tasks = try call.withScope { scope throws(LuaFailure) -> TaskSet? in
        let options = try ExploreOptions(
          machine: table["machine"] ?? .nil, setup: table["setup"] ?? .nil,
          tasks: table["tasks"] ?? .nil, scope, function: "replay_schedule")
        object = options.object
        guard let schedule = Schedule(text, tasks: options.functions.count) else {
          throw LuaFailure(
            "bad argument #1 'schedule' to 'replay_schedule' (expected parts such as \"1*12 2*3\" of "
              + "\(options.functions.count) tasks, got \"\(text)\")")
        }
        if byHand {
          handles = try self.handles(schedule, options, session, limit: limit, scope)
          return nil
        }
        let program = LuaLiveProgram(
          options.functions, options.arguments, options.object, session)
        program.scope = scope
        defer { program.scope = nil }
        do {
          return try run(schedule, program, options.object, watch, limit: limit, scope)
        } catch let failure as LuaFailure {
          throw failure
        } catch {
          throw LuaFailure("replay_schedule: \(error)")
        }
      }
      if let tasks {
        call.returns(
          LuaTable(
            tasks.tasks.map { task in
              .table(LuaTable(task.results.map { .string($0.result.text) }))
            }))
      } else {
        call.returns(LuaTable(handles.map { .object(LuaHandle("task", $0)) }))
      }
      if let object { call.returns(LuaHandle("machine", object)) }
    }
  }

  /// Tasks that have taken the steps of a schedule, each a handle of `step`.
  private static func handles(
    _ schedule: Schedule, _ options: ExploreOptions, _ session: TaskSession, limit: Int?,
    _ scope: LuaScope
  ) throws(LuaFailure) -> [StepObject] {
    var handles: [StepObject] = []
    for (index, function) in options.functions.enumerated() {
      do {
        let made = try StepObject(
          function, options.arguments, options.object, session, number: index + 1, cpu: index, scope
        )
        if let failure = made.state.failure {
          throw LuaFailure("task \(index + 1) failed: \(failure)")
        }
        handles.append(made)
      } catch let failure as LuaFailure {
        throw failure
      } catch {
        throw LuaFailure("replay_schedule: \(error)")
      }
    }
    for handle in handles { session.add(handle) }
    var left = limit ?? .max
    for run in schedule.runs {
      for step in 0..<run.steps where left > 0 && !scope.shouldStop {
        let handle = handles[run.task]
        handle.lookAgain()
        guard !handle.state.isDone, !handle.isBlocked else {
          throw LuaFailure(
            "replay_schedule: the schedule does not fit: step \(step + 1) of its part "
              + "\"\(run.task + 1)*\(run.steps)\" cannot be taken, task \(run.task + 1) "
              + (handle.state.isDone ? "has ended by then" : "waits then"))
        }
        try handle.step(scope)
        left -= 1
      }
    }
    return handles
  }

  private static func run(
    _ schedule: Schedule, _ program: LuaLiveProgram, _ object: MachineObject,
    _ watch: LuaReference?, limit: Int?, _ scope: LuaScope
  ) throws -> TaskSet {
    let cpu = object.machine.currentCPU
    defer { object.machine.run(onCPU: cpu) }
    var run = try ScheduleRun(schedule, object, program)
    var steps = 0
    while steps < limit ?? 1_000_000, !scope.shouldStop {
      let next: Int?
      do {
        next = try run.next()
      } catch {
        run.interrupt()
        throw error
      }
      guard let task = next else { break }
      if let watch, let call = run.tasks.tasks[task].call {
        let step = call.operation.nextStep(object.machine)
        var held = Holdings()
        for running in run.tasks.tasks.compactMap(\.call) {
          held.add(running.operation.holdings(object.machine))
        }
        object.watched = held
        defer { object.watched = Holdings() }
        let result = scope.invoke(
          watch,
          [
            .integer(Int64(task + 1)), .string(step.id), .string(step.function),
            .string(step.text),
          ])
        if case .failure(let error) = result {
          run.interrupt()
          throw LuaCall.rethrow(error)
        }
      }
      try run.step(task)
      steps += 1
      if let failure = run.tasks.tasks[task].failure {
        run.interrupt()
        throw LuaFailure("task \(task + 1) failed: \(failure)")
      }
    }
    run.interrupt()
    return run.tasks
  }
}

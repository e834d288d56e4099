internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

/// What a search found, as a Lua object.
final class ExplorationObject {
  let report: SearchReport
  let what: String
  let wasStopped: Bool

  init(_ report: SearchReport, _ what: String, wasStopped: Bool) {
    self.report = report
    self.what = what
    self.wasStopped = wasStopped
  }

  var text: String {
    var lines = [
      "\(report.covered) order\(report.covered == 1 ? "" : "s") of steps, \(what): "
        + "\(report.schedules) run, \(report.memoryStates.count) "
        + "state\(report.memoryStates.count == 1 ? "" : "s") of memory"
        + (wasStopped ? ", stopped before the end" : report.isComplete ? "" : ", up to the limit")
    ]
    for state in report.endStates { lines.append("  \(state.text)  (\(shown(state.schedule)))") }
    if report.violations.isEmpty {
      lines.append("  no invariant broken")
    } else {
      for broken in report.violations {
        lines.append("  BROKEN \(broken.text)")
        lines.append("    by \(shown(broken.schedule))")
      }
    }
    return lines.joined(separator: "\n")
  }

  /// Orders in which somebody spins are thousands of parts long.
  private func shown(_ schedule: Schedule) -> String {
    let text = schedule.description
    guard text.utf8.count > 240 else { return text }
    return text.prefix(200) + " … \(schedule.steps) steps, whole in its field `schedule`"
  }
}

extension MemoryLibrary {
  static func exploreFunction(_ context: MemoryContext) -> LuaFunction {
    let session = context.tasks
    return LuaFunction(
      "explore", .named,
      [
        LuaParameter("tasks", .table, "Two or more functions, each a task on a CPU of its own."),
        LuaParameter("machine", .object("machine"), optional: true, "What they work on."),
        LuaParameter(
          "setup", .function, optional: true,
          "Called once, first. What it returns, the machine first, is what each task is called with."
        ),
        LuaParameter(
          "invariant", .any, optional: true,
          "A function that is called at each end and returns true, or false and why not; or the "
            + "invariants to look at: \"I1\", or a list. I1, I2, I4 and counts unless given."),
        LuaParameter(
          "search", .choice(["exhaustive", "random", "pct"]), default: "exhaustive",
          "Every order; any order; random priorities."),
        LuaParameter(
          "preemptions", .integer(0...64), default: "2",
          "How often a task that could go on is left. Tasks that wait or spin are left for free."),
        LuaParameter("seed", .integer(), default: "0", "Of random and pct."),
        LuaParameter("changes", .integer(0...100), default: "3", "Changes of priority, for pct."),
        LuaParameter(
          "schedules", .integer(1...1_000_000_000), optional: true,
          "The most orders that are run; 1000 for random and pct, unless given."),
        LuaParameter("budget", .number(), optional: true, "Seconds after which it ends."),
        LuaParameter(
          "reduce", .boolean, default: "true",
          "Go on only once from states that several orders lead to."),
        LuaParameter(
          "progress", .boolean, default: "at the prompt",
          "Print a line every few seconds of how far it is."),
      ],
      returns: [
        LuaResult(
          .object("exploration"), "How many orders, where they end, and which broke an invariant.")
      ],
      doc: """
        Runs tasks in every order of their atomic steps, and says where they end and what breaks.

        The machine is afterwards as it was before. Between its calls a task may look at what they \
        returned, but not at the machine: in another order of steps that could be different. Orders are \
        tried with 0 preemptions first, then 1, and so on; so a broken invariant comes with the order \
        that has the fewest. Ctrl-C gives what was found so far.
        """,
      rules: ["P10.1", "P10.6"],
      example: """
        m = machine{ ram = "64M", cma = "32M", cpus = 2 }
        vm = m:guest{ ram = "64K", backing = "memfd" }
        vm:populate()
        twin = vm:fork()
        twin:populate()
        function pin(who) return function() who:pin{ length = "4K", longterm = true } end end
        e = explore{ machine = m, tasks = { pin(vm), pin(twin) }, preemptions = 1 }
        e.ends --> "1 page | 1 page; 1 page | ENOMEM; ENOMEM | 1 page"
        #e.broken --> 0
        """
    ) { call throws(LuaFailure) in
      let wanted = try invariants(call.value(3))
      var judge: LuaReference?
      if case .function(let function) = call.value(3) { judge = function }
      let mode: SearchMode
      let what: String
      var limits = SearchLimits()
      let seed = UInt64(bitPattern: Int64(call.integer(6, default: 0)))
      let bound = call.integer(5, default: 2)
      switch call.integer(4, default: 0) {
      case 1:
        (mode, what) = (.random(seed: seed), "at random from seed \(seed)")
        limits.schedules = 1000
      case 2:
        let changes = call.integer(7, default: 3)
        (mode, what) = (
          .priorities(seed: seed, changes: changes),
          "random priorities with \(changes) changes from seed \(seed)"
        )
        limits.schedules = 1000
      default:
        mode = .exhaustive(preemptions: bound)
        what = "all with at most \(bound) preemption\(bound == 1 ? "" : "s")"
      }
      if call.isGiven(8) { limits.schedules = call.integer(8) }
      let seconds = call.number(9, default: 0)
      guard seconds >= 0, seconds <= 1e9 else {
        throw LuaFailure(
          "bad argument 'budget' to 'explore' (expected seconds from 0 to 1e9, got \(seconds))")
      }
      let budget: Duration? = call.isGiven(9) ? .seconds(seconds) : nil
      let (reduces, reports) = (
        call.boolean(10, default: true), call.boolean(11, default: context.history != nil)
      )
      var wasStopped = false
      let report = try call.withScope { scope throws(LuaFailure) in
        let options = try ExploreOptions(
          machine: call.value(1), setup: call.value(2), tasks: call.value(0), scope,
          function: "explore")
        if options.object.machine.isNoting {
          throw LuaFailure("explore: this machine is being explored; one search at a time")
        }
        let program: LuaTaskProgram
        do {
          program = try LuaTaskProgram(
            options.functions, options.arguments, options.object, session, scope)
        } catch {
          throw LuaFailure("explore: \(error)")
        }
        // The machine is left as it was: nothing for undo to note.
        let hook = options.object.beforeChange
        options.object.beforeChange = nil
        defer { options.object.beforeChange = hook }
        let clock = ContinuousClock()
        let start = clock.now
        var told = start
        let explorer = Explorer(
          options.object, program, limits: limits, invariants: wanted, reduces: reduces,
          judge: { tasks in try verdict(judge, tasks, scope) },
          shouldStop: { report in
            let now = clock.now
            if reports, now - told > .seconds(2) {
              told = now
              scope.write(
                "\(report.schedules) run, \(report.endStates.count) end "
                  + "state\(report.endStates.count == 1 ? "" : "s"), "
                  + "\(report.violations.count) broken\n")
            }
            wasStopped = scope.shouldStop || budget.map { now - start > $0 } ?? false
            return wasStopped
          })
        program.path = { [unowned explorer] in explorer.path }
        do {
          return try explorer.run(mode)
        } catch let failure as LuaFailure {
          throw failure
        } catch {
          throw LuaFailure("explore: \(error)")
        }
      }
      let exploration = ExplorationObject(report, what, wasStopped: wasStopped)
      // An interrupt ends the whole input, so nobody would see what it returns.
      if call.shouldStop() { call.write("found so far:\n\(exploration.text)\n") }
      call.returns(LuaHandle("exploration", exploration))
    }
  }

  private static func invariants(_ value: LuaValue) throws(LuaFailure) -> [Invariant] {
    var names: [LuaValue] = []
    switch value {
    case .nil, .function: return Invariant.allCases
    case .string: names = [value]
    case .table(let table): names = table.elements
    default: break
    }
    var found: [Invariant] = []
    for name in names {
      guard let name = name.string, let invariant = Invariant(rawValue: name) else { break }
      found.append(invariant)
    }
    guard !found.isEmpty, found.count == names.count else {
      let known = Invariant.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
      throw LuaFailure("bad field 'invariant' (expected a function, or some of \(known))")
    }
    return found
  }

  /// What the user's invariant says of an end, given the results of the tasks.
  private static func verdict(
    _ judge: LuaReference?, _ tasks: TaskSet, _ scope: LuaScope
  ) throws(LuaFailure) -> String? {
    guard let judge else { return nil }
    let results = LuaTable(
      tasks.tasks.map { task in
        .table(LuaTable(task.results.map { .string($0.result.text) }))
      })
    switch scope.invoke(judge, [.table(results)]) {
    case .failure(let error): throw LuaCall.rethrow(error)
    case .values(let values):
      switch values.first {
      case .nil?, nil, .boolean(true)?: return nil
      case .string(let text)?: return text
      default:
        return values.count > 1
          ? values[1].string ?? "the invariant is broken"
          : "the invariant is broken"
      }
    }
  }

  static func explorationType() -> LuaType {
    func count(
      _ name: String, _ doc: String, _ read: @escaping @Sendable (SearchReport) -> Int
    ) -> LuaProperty {
      LuaProperty(name, .integer(), doc) { call in
        call.returns(read(call.object(as: ExplorationObject.self).report))
      }
    }
    return LuaType(
      "exploration", ExplorationObject.self, doc: "What a search of many orders of steps found.",
      properties: [
        count("schedules", "Orders that were run to their end.") { $0.schedules },
        count("covered", "All orders that these stand for.") { $0.covered },
        count("steps", "Steps taken in all.") { $0.steps },
        count("memory_states", "Different states of memory at the ends.") { $0.memoryStates.count },
        LuaProperty("complete", .boolean, "Whether all orders that were asked for were looked at.")
        {
          call in
          let found = call.object(as: ExplorationObject.self)
          call.returns(found.report.isComplete && !found.wasStopped)
        },
        LuaProperty(
          "end_states", .table,
          "What came out: text, count, and schedule, the first order that led there."
        ) { call in
          call.returns(
            LuaTable(
              call.object(as: ExplorationObject.self).report.endStates.map { state in
                .table(
                  LuaTable(fields: [
                    ("text", .string(state.text)), ("count", .integer(Int64(state.count))),
                    ("schedule", .string(state.schedule.description)),
                  ]))
              }))
        },
        LuaProperty("ends", .string, "The texts of `end_states`, sorted, with \"; \" between them.")
        {
          call in
          let states = call.object(as: ExplorationObject.self).report.endStates
          call.returns(states.map(\.text).sorted().joined(separator: "; "))
        },
        LuaProperty(
          "broken", .table,
          "Broken invariants: text, count, and schedule, the order with the fewest preemptions."
        ) { call in
          call.returns(
            LuaTable(
              call.object(as: ExplorationObject.self).report.violations.map { broken in
                .table(
                  LuaTable(fields: [
                    ("text", .string(broken.text)), ("count", .integer(Int64(broken.count))),
                    ("schedule", .string(broken.schedule.description)),
                  ]))
              }))
        },
      ],
      methods: [], display: { $0.owner(as: ExplorationObject.self).text })
  }
}

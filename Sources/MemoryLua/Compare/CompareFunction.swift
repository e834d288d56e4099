internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func compareFunction(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "compare", .positional,
      [
        LuaParameter(
          "kernels", .any, "A list of kernels or of their names; \"all\" for every one."),
        LuaParameter("f", .function, "Gets a machine; what it returns is the result."),
        LuaParameter(
          "options", .table, optional: true,
          "start, a machine whose state each run begins with; without it 2 GiB with 1280 MiB of CMA."
        ),
      ],
      returns: [LuaResult(.object("comparison"))],
      doc: """
        Runs a function on several kernels, each time on a fork of the same machine.

        The table has a line for each kernel. When f returns nil, err, its errno stands in `errno`; when \
        it returns a table with named fields, each is a column; anything else is the `result`. Columns \
        that are empty or 0 everywhere are not printed. What differs from the last line is in another \
        color, or has a * behind it where there are no colors; c.differences names such columns, and \
        c:csv() and c:json() have values alone. What is wider than the terminal goes on below; \
        c:only{ "moved", "errno" } prints the columns that you name.

        Columns of every comparison: moved, failed, thp_moved, thp_failed, split (what \
        /proc/vmstat counted), in_cma and in_movable (pages of guests there at the end), \
        pinned_cma and pinned_movable (pages of pins there), pinned, and the costs of all pins: \
        rounds, calls, walks, entry_reads, pin_atomics, array_writes, rescan_reads, lookups, \
        unpin_atomics. A row also has `vmstat`, everything that changed.
        """,
      rules: ["P0.8"],
      example: """
        c = compare({ "5.10", "6.12" }, function(m)
          local vm = m:guest{ ram = "256K", thp = "never" }
          vm:populate()
          local held = m:temp_ref(vm:page(0), "a scanner")
          return vm:pin{ longterm = true }
        end)
        c[1].pinned_cma --> 1
        c[2].errno --> "ENOMEM"
        """
    ) { call throws(LuaFailure) in
      let kernels = try CompareRun.kernels(call.value(0))
      let start = try CompareRun.start(call, context)
      let comparison = Comparison()
      for object in kernels {
        if call.shouldStop() { break }
        let fork: MachineObject
        do throws(MemoryError) {
          fork = context.object(try start.machine.fork(goesOn: { !call.shouldStop() }))
        } catch {
          if error.code == .stopped { break }
          throw LuaFailure("compare: \(error.message)")
        }
        fork.kernel = object
        fork.machine.setKernel(object.kernel)
        let before = ProcText.vmstatValues(fork.machine)
        let costs = CompareRun.pinCosts(fork.machine)
        switch call.invoke(call.callback(1), [.object(LuaHandle("machine", fork))]) {
        case .failure(let error): throw LuaCall.rethrow(error)
        case .values(let values):
          comparison.add(
            CompareRun.row(object.kernel.name, values, fork, before, costs),
            counters: CompareRun.changes(fork.machine, before))
        }
      }
      call.returns(LuaHandle("comparison", comparison))
    }
  }

  static func comparisonType(_ context: MemoryContext) -> LuaType {
    LuaType(
      "comparison", Comparison.self,
      doc: "What one function did on several kernels: c[i] is row i, #c their number.",
      properties: [
        LuaProperty("columns", .table, "The names of the columns.") { call in
          call.returns(LuaTable(call.object(as: Comparison.self).columns.map { .string($0) }))
        },
        LuaProperty("differences", .table, "The names of the columns that differ.") { call in
          call.returns(LuaTable(call.object(as: Comparison.self).differing.map { .string($0) }))
        },
      ],
      methods: [comparisonRow, comparisonOnly, comparisonCSV, comparisonJSON],
      display: {
        $0.owner(as: Comparison.self).text(color: context.color, width: context.columns())
      },
      length: { $0.owner(as: Comparison.self).rows.count },
      element: { call in
        let comparison = call.object(as: Comparison.self)
        let index = call.integer(0)
        guard index >= 1, index <= comparison.rows.count else { return call.returnsNil() }
        call.returns(comparison.table(index - 1))
      })
  }

  private static let comparisonExample = """
    c = compare({ "6.12" }, function(m) return { free = 1 } end)
    """

  private static var comparisonRow: LuaFunction {
    LuaFunction(
      "row", .positional, [LuaParameter("kernel", .string, "The name of a kernel.")],
      returns: [LuaResult(.table, "Its row; nil when there is none.")],
      doc: "The row of a kernel.", rules: ["P0.8"],
      example: comparisonExample + "\nc:row(\"6.12\").free --> 1"
    ) { call in
      let comparison = call.object(as: Comparison.self)
      let name = call.string(0)
      guard let index = comparison.rows.firstIndex(where: { $0.kernel == name }) else {
        return call.returnsNil()
      }
      call.returns(comparison.table(index))
    }
  }

  private static var comparisonOnly: LuaFunction {
    LuaFunction(
      "only", .positional,
      [LuaParameter("columns", .table, "Names of columns, in the order in which to show them.")],
      returns: [LuaResult(.object("comparison"))],
      doc: "The same rows with a few columns, for a narrow table.", rules: ["P0.8"],
      example: comparisonExample + "\nc:only{ \"free\" }.columns[1] --> \"free\""
    ) { call throws(LuaFailure) in
      let comparison = call.object(as: Comparison.self)
      var names: [String] = []
      guard case .table(let chosen) = call.value(0) else { return call.returnsNil() }
      for element in chosen.elements {
        guard case .string(let name) = element, comparison.columns.contains(name) else {
          throw LuaFailure(
            "bad argument 'columns' to 'only' (no column \(Comparison.text(element)); there are "
              + comparison.columns.joined(separator: ", ") + ")")
        }
        names.append(name)
      }
      call.returns(LuaHandle("comparison", comparison.only(names)))
    }
  }

  private static var comparisonCSV: LuaFunction {
    LuaFunction(
      "csv", returns: [LuaResult(.string)],
      doc: "All columns as comma-separated values, with a header.", rules: ["P0.8"],
      example: comparisonExample + "\n#c:csv() > 20 --> true"
    ) { call in call.returns(call.object(as: Comparison.self).csv) }
  }

  private static var comparisonJSON: LuaFunction {
    LuaFunction(
      "json", returns: [LuaResult(.string)],
      doc: "All columns as a JSON array with an object for each kernel, counters included.",
      rules: ["P0.8"],
      example: comparisonExample + "\nc:json():sub(1, 1) --> \"[\""
    ) { call in call.returns(call.object(as: Comparison.self).json) }
  }
}

/// The parts of one run of `compare`.
enum CompareRun {
  static func kernels(_ value: LuaValue) throws(LuaFailure) -> [KernelObject] {
    if value.string == "all" {
      return KernelPreset.all.map { KernelObject($0.kernel, $0) }
    }
    var list: [LuaValue] = value.table?.elements ?? []
    if value.string != nil || value.object(as: KernelObject.self) != nil { list = [value] }
    guard !list.isEmpty else {
      throw LuaFailure(
        "bad argument #1 'kernels' to 'compare' (expected a list such as { \"5.10\", \"6.12\" } or "
          + "\"all\", got \(ByteSize.describe(value)))")
    }
    var objects: [KernelObject] = []
    for element in list {
      objects.append(try KernelArgument.object(element, "kernels", of: "compare"))
    }
    return objects
  }

  static func start(
    _ call: borrowing LuaCall, _ context: MemoryContext
  ) throws(LuaFailure) -> MachineObject {
    let options = call.isGiven(2) ? call.value(2).table : nil
    for (name, _) in options?.fields ?? [] where name != "start" {
      throw LuaFailure("compare: the options have no field '\(name)'; use start")
    }
    if let value = options?["start"] {
      guard let object = value.object(as: MachineObject.self) else {
        throw LuaFailure(
          "compare: start is a machine, got \(ByteSize.describe(value))")
      }
      return object
    }
    var configuration = MachineConfiguration()
    do {
      try configuration.layOut(bytesPerNode: [2 << 30])
      configuration.cmaAreas = [.init(name: "reserved", pages: (1280 << 20) >> 12)]
      return context.object(try Machine.boot(configuration))
    } catch {
      throw LuaFailure("compare: \(error)")
    }
  }

  static func pinCosts(_ machine: borrowing Machine) -> OperationCosts {
    var sum = OperationCosts()
    for pin in machine.pins { sum += pin.costs }
    return sum
  }

  static func changes(
    _ machine: borrowing Machine, _ before: [(name: String, value: Int)]
  ) -> LuaTable {
    let changed = zip(ProcText.vmstatValues(machine), before).filter { $0.value != $1.value }
    return LuaTable(fields: changed.map { ($0.name, .integer(Int64($0.value - $1.value))) })
  }

  static func row(
    _ name: String, _ values: [LuaValue], _ object: MachineObject,
    _ before: [(name: String, value: Int)], _ costsBefore: OperationCosts
  ) -> Comparison.Row {
    var row = Comparison.Row(kernel: name)
    func add(_ name: String, _ value: LuaValue) {
      guard !row.cells.contains(where: { $0.name == name }) else { return }
      row.cells.append((name, value))
    }
    func add(_ name: String, _ value: Int) { add(name, .integer(Int64(value))) }

    var refusedCosts: LuaTable?
    switch values.first ?? .nil {
    case .nil:
      if let refusal = values.dropFirst().first?.table, let errno = refusal["errno"] {
        add("result", .nil)
        add("errno", errno)
        add("livelock", refusal["livelock"] ?? .nil)
        refusedCosts = refusal["costs"]?.table
      } else {
        add("result", .nil)
      }
    case .table(let table) where !table.fields.isEmpty && table.elements.isEmpty:
      for (name, value) in table.fields { add(name, value) }
    case .object(let handle) where handle.typeName == "pin":
      let pages = object.machine.pin(handle.index)?.pages ?? 0
      add("result", .string("\(pages) page\(pages == 1 ? "" : "s")"))
    case let value: add("result", value)
    }

    // Side by side, whatever the first kernel answered.
    if row.cells.first?.name == "result" {
      add("errno", .nil)
      add("livelock", .nil)
    }
    let changed = changes(object.machine, before)
    for (column, counter) in [
      ("moved", "pgmigrate_success"), ("failed", "pgmigrate_fail"),
      ("thp_moved", "thp_migration_success"), ("thp_failed", "thp_migration_fail"),
      ("split", "thp_migration_split"),
    ] { add(column, changed[counter] ?? .integer(0)) }

    var resident = Residency()
    for (index, space) in object.machine.spaces.enumerated() where space.isAlive {
      resident += object.machine.residency(index, space.ram)
    }
    add("in_cma", resident.cma)
    add("in_movable", resident.movableZone)
    var pinned = 0
    var cma = 0
    var movable = 0
    var costs = OperationCosts()
    for pin in object.machine.pins {
      pinned += pin.pages
      costs += pin.costs
      object.machine.forEachRun(pin) { first, pages in
        if object.machine.frames.migrateType(first) == .cma { cma += pages }
        if let zone = object.machine.frames.zone(of: first),
          object.machine.zone(zone).index == .movable
        {
          movable += pages
        }
      }
    }
    add("pinned", pinned)
    add("pinned_cma", cma)
    add("pinned_movable", movable)
    for (counted, earlier) in zip(costs.rows, costsBefore.rows) {
      let refused = refusedCosts?[counted.name]?.integer ?? 0
      add(counted.name, counted.count - earlier.count + Int(refused))
    }
    return row
  }
}

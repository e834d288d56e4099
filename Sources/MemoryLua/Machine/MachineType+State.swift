internal import LuaBridge
internal import MemoryExploration
internal import MemoryGuests
internal import MemoryModel

extension MemoryLibrary {
  static func stateMethods(_ context: MemoryContext) -> [LuaFunction] {
    [
      fork(context), diff(context), same, saveMachine(context), machineKernel(), sysctl, thp,
      protection, tasks,
    ]
  }

  private static func fork(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "fork", returns: [LuaResult(.object("machine"))],
      doc: """
        A second machine in the same state; from here on each goes its own way.

        Costs the memory that the machine has touched.
        """,
      example: """
        m = machine{ ram = "64M" }
        before = m:fork()
        m:alloc_pages(4)
        m.free - before.free --> -16
        """
    ) { call throws(LuaFailure) in
      do throws(MemoryError) {
        let copy = try call.object(as: MachineObject.self).machine.fork(
          goesOn: { !call.shouldStop() })
        call.hintMemory(bytes: 1 << 20)
        let fork = context.object(copy)
        fork.kernel = call.object(as: MachineObject.self).kernel
        call.returns(LuaHandle("machine", fork))
      } catch {
        throw LuaFailure("fork: \(error.message)")
      }
    }
  }

  private static func diff(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "diff", .positional,
      [
        LuaParameter(
          "other", .object("machine"), "An earlier fork of this machine, or a later one.")
      ],
      returns: [LuaResult(.object("difference"), "Prints as some lines; has them as fields.")],
      doc: """
        What this machine has that another has not: pages that moved, holders, counts, lists, counters, \
        and where on the map.
        """,
      example: """
        m = machine{ ram = "64M", cma = "32M" }
        vm = m:guest{ ram = "64K", thp = "never" }
        vm:populate()
        before = m:fork()
        vm:pin{ length = "8K", longterm = true }
        m:diff(before).moved --> 2
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let other = call.object(0, as: MachineObject.self)
      guard object.machine.frames.count == other.machine.frames.count,
        object.machine.nodeCount == other.machine.nodeCount
      else {
        throw LuaFailure("diff: machines of different sizes; compare a machine with its fork")
      }
      let difference =
        object === other
        ? nil : MachineDifference(object.machine, since: other.machine)
      let shown = difference ?? MachineDifference()
      let text = shown.text(
        pageShift: object.machine.geometry.pageShift, columns: context.columns(),
        blocks: object.machine.frames.pageblockCount)
      call.returns(LuaHandle("difference", DifferenceObject(shown, text)))
    }
  }

  private static var same: LuaFunction {
    LuaFunction(
      "same", .positional, [LuaParameter("other", .object("machine"))],
      returns: [
        LuaResult(.boolean, "Whether both are equal, byte for byte."),
        LuaResult(.string, "The first table or field of the model that differs, or nothing."),
      ],
      doc: "Whether two machines would behave the same from here on.",
      example: """
        m = machine{ ram = "64M" }
        before = m:fork()
        m:same(before) --> true
        m:alloc_pages(0)
        (m:same(before)) --> false
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let other = call.object(0, as: MachineObject.self)
      if object === other { return call.returns(true) }
      do {
        guard let difference = try object.machine.firstDifference(from: other.machine) else {
          return call.returns(true)
        }
        call.returns(false)
        call.returns(difference)
      } catch {
        throw LuaFailure("same: \(error)")
      }
    }
  }

  private static var sysctl: LuaFunction {
    LuaFunction(
      "sysctl", .positional,
      [
        LuaParameter("name", .choice(Sysctl.allCases.map(\.rawValue)), "A file of /proc/sys/vm."),
        LuaParameter(
          "value", .any, optional: true,
          "What to write, a number, a list of them, or text; without it, only read."),
      ],
      returns: [LuaResult(.string, "What the file prints now.")],
      doc: "Reads or writes a setting of the allocator; writing recomputes what depends on it.",
      kernel: ["min_free_kbytes_sysctl_handler", "lowmem_reserve_ratio_sysctl_handler"],
      rules: ["A1.3", "A1.15", "A1.16", "A1.21", "A1.24"],
      example: """
        m = machine{ ram = "1G" }
        m:sysctl("min_free_kbytes", 8192) --> "8192"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let setting = Sysctl.allCases[call.integer(0)]
      if call.isGiven(1) {
        let text = words(call.value(1)) ?? call.display(1)
        if OperationRunner.isInTask(object, call) {
          let step = Step("s1", "proc_sys_write", "write \(text) to vm.\(setting.rawValue)")
          let outcome = try OperationRunner.atomic(object, call, "sysctl", step) { machine in
            do throws(MemoryError) {
              try machine.write(setting, text)
              return .done(0)
            } catch {
              return .refused(Refusal(.EINVAL, error.message, rule: "A1.3"))
            }
          }
          if case .refused(let refusal) = outcome { throw LuaFailure("sysctl: \(refusal.message)") }
          return call.returns(object.machine.read(setting))
        }
        do throws(MemoryError) {
          try object.machine.write(setting, text)
          object.machine.beginOperation()
        } catch {
          throw LuaFailure("sysctl: \(error.message)")
        }
      }
      call.returns(object.machine.read(setting))
    }
  }

  /// A number, or a list of numbers, as one would echo it into the file.
  private static func words(_ value: LuaValue) -> String? {
    if let integer = value.integer { return "\(integer)" }
    let numbers = value.table?.elements.compactMap(\.integer)
    guard let numbers, !numbers.isEmpty else { return nil }
    return numbers.map { "\($0)" }.joined(separator: "\t")
  }

  private static var protection: LuaFunction {
    LuaFunction(
      "protection", .positional,
      [
        LuaParameter("name", .choice(Protections.Name.allCases.map(\.rawValue)), "What protects."),
        LuaParameter(
          "on", .boolean, optional: true, "Whether the kernel has it; only read without."),
      ],
      returns: [LuaResult(.boolean, "Whether it has it now.")],
      doc: """
        Takes one of the kernel's protections against races out, to see what breaks without it.

        test_and_clear_lru: isolation tests and clears the LRU flag in one step. reread_entry: the fast \
        walk reads an entry again after it took the page. fork_sequence: it gives all back when a fork \
        came in between. compare_references: migration compares a folio's references.
        """,
      kernel: ["folio_isolate_lru", "gup_fast_pte_range", "folio_migrate_mapping"],
      rules: ["P10.1", "P10.2", "P10.3"],
      example: """
        m = machine{ ram = "64M" }
        m:protection("reread_entry", false) --> false
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      let name = Protections.Name.allCases[call.integer(0)]
      if call.isGiven(1) {
        var kernel = object.machine.kernel
        kernel.protections[name] = call.boolean(1)
        object.machine.setKernel(kernel)
      }
      call.returns(object.machine.kernel.protections[name])
    }
  }

  private static var thp: LuaFunction {
    LuaFunction(
      "thp", .positional, [LuaParameter("mode", .choice(["always", "madvise", "never"]))],
      doc: """
        Writes transparent_hugepage/enabled.

        It moves min_free_kbytes, and says where faults may use huge pages: anywhere, in areas with \
        MADV_HUGEPAGE, or nowhere.
        """,
      kernel: ["set_recommended_min_free_kbytes"], rules: ["A1.20", "P2.10"],
      example: """
        m = machine{ ram = "1G" }
        m:thp("never")
        m:sysctl("min_free_kbytes") --> "3959"
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      object.machine.beginOperation()
      object.machine.setTransparentHugePages(
        call.integer(0) != 2, onlyAdvised: call.integer(0) == 1)
    }
  }
}

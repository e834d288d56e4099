internal import LuaBridge
internal import MemoryExploration
internal import MemoryGuests
internal import MemoryModel

extension MemoryLibrary {
  static var folioMethods: [LuaFunction] {
    [why, folio, temporaryReference, temporaryReferences, isolate, lru, drainLRU, pins]
  }

  private static func pageParameter(_ doc: String = "A page, a folio, or a pfn.") -> LuaParameter {
    LuaParameter("page", .any, doc)
  }

  private static var why: LuaFunction {
    LuaFunction(
      "why", .positional, [pageParameter()],
      returns: [LuaResult(.object("explanation"), "Prints as some lines; has them as fields.")],
      doc: """
        Explains a page: where it is, who maps and who holds it, and whether it could be moved or \
        pinned for long now.

        Holders are searched when it is asked; nothing is kept for it.
        """,
      kernel: ["folio_is_longterm_pinnable", "folio_expected_ref_count"],
      rules: ["P1.1", "P1.7", "P3.1"],
      example: """
        m = machine{ ram = "1G", cma = "512M" }
        vm = m:guest{ ram = "256M", thp = "never" }
        vm:populate()
        p = vm:pin{ length = "4K" }
        print(m:why(p:page(1)))
        m:why(p:page(1)).movable --> false
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pfn = try Arguments.pfn(call.value(0), object, function: "why")
      call.returns(LuaHandle("explanation", ExplanationObject(object.machine.why(pfn), object)))
    }
  }

  private static var folio: LuaFunction {
    LuaFunction(
      "folio", .positional, [pageParameter()],
      returns: [LuaResult(.object("folio"), "nil for a page that is not allocated.")],
      doc: "The folio that a page belongs to.", kernel: ["page_folio"], rules: ["P1.1"],
      example: """
        m = machine{ ram = "1G" }
        vm = m:guest{ ram = "2M" }
        vm:touch()
        m:folio(vm:page(0)).order --> 9
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pfn = try Arguments.pfn(call.value(0), object, function: "folio")
      guard let folio = object.machine.folio(of: pfn) else { return call.returnsNil() }
      call.returns(LuaHandle("folio", object, index: folio.head.index))
    }
  }

  private static var temporaryReference: LuaFunction {
    LuaFunction(
      "temp_ref", .positional,
      [
        pageParameter(),
        LuaParameter(
          "holder", .string, default: "\"a temporary reference\"", "Who holds it, for why."),
      ],
      returns: [LuaResult(.object("temp_ref"))],
      errors: [LuaErrno("EINVAL", "the page is not allocated")],
      doc: """
        Takes a reference to a page's folio, as a walk over all frames takes for a moment.

        While it is held, the folio cannot be migrated.
        """,
      kernel: ["folio_try_get"], rules: ["P1.1", "P4.6"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ ram = "1M", thp = "never" }
        vm:populate()
        m:temp_ref(vm:page(0), "a scanner")
        m:why(vm:page(0)).reason --> "1 extra reference, held by a scanner, since operation 3"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pfn = try Arguments.pfn(call.value(0), object, function: "temp_ref")
      let holder = call.string(1, default: "a temporary reference")
      let step = Step("x1", "folio_try_get", "take a reference to the folio of \(pfn)")
      let outcome = try OperationRunner.atomic(object, call, "temp_ref", step) { machine in
        guard let id = machine.takeTemporaryReference(pfn, holder: holder) else {
          return .refused(
            Refusal(.EINVAL, "\(pfn) is not allocated: nobody can refer to it", rule: "P1.1"))
        }
        return .done(id)
      }
      switch outcome {
      case .done(let id): call.returns(LuaHandle("temp_ref", object, index: id))
      case .refused(let refusal): call.refuse(refusal)
      }
    }
  }

  private static var temporaryReferences: LuaFunction {
    LuaFunction(
      "temp_refs",
      returns: [LuaResult(.table, "temp_ref and isolation objects, oldest first.")],
      doc:
        "Every reference of temp_ref and isolate that is held; a fork of the machine has its own.",
      rules: ["P1.1"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ ram = "1M", thp = "never" }
        vm:populate()
        m:temp_ref(vm:page(0))
        #m:fork():temp_refs() --> 1
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(
          object.machine.temporaryReferences.map {
            .object(LuaHandle($0.isIsolation ? "isolation" : "temp_ref", object, index: $0.id))
          }))
    }
  }

  private static var isolate: LuaFunction {
    LuaFunction(
      "isolate", .positional,
      [
        pageParameter(),
        LuaParameter("holder", .string, default: "\"an isolation\"", "Who holds it, for why."),
      ],
      returns: [LuaResult(.object("isolation"))],
      errors: [
        LuaErrno("EBUSY", "the folio is on no LRU list: in a batch, or isolated"),
        LuaErrno("EINVAL", "the page is not allocated"),
      ],
      doc: "Takes a page's folio off its LRU list, as compaction does before it migrates.",
      kernel: ["folio_isolate_lru"], rules: ["P1.30"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ ram = "1M", thp = "never" }
        vm:populate()
        i = m:isolate(vm:page(0), "compaction")
        m:why(vm:page(0)).movable --> false
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pfn = try Arguments.pfn(call.value(0), object, function: "isolate")
      let holder = call.string(1, default: "an isolation")
      let step = Step("g6", "folio_isolate_lru", "test and clear the LRU flag of \(pfn)")
      let outcome = try OperationRunner.atomic(object, call, "isolate", step) { machine in
        switch machine.isolate(pfn, holder: holder) {
        case .success(let id): .done(id)
        case .failure(let refusal): .refused(refusal)
        }
      }
      switch outcome {
      case .done(let id): call.returns(LuaHandle("isolation", object, index: id))
      case .refused(let refusal): call.refuse(refusal)
      }
    }
  }

  private static var lru: LuaFunction {
    LuaFunction(
      "lru", returns: [LuaResult(.object("lru"), "`lists` and `batches`; prints both.")],
      doc: "The LRU lists of each node, and what waits in the CPUs' batches.",
      kernel: ["struct lruvec", "struct cpu_fbatches"], rules: ["P1.20", "P1.22"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ ram = "1M", thp = "never" }
        vm:touch(0, "160K")
        m:lru().lists[1].active_anon --> 31
        m:lru().batches[1].count --> 9
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(LuaHandle("lru", LRUObject(object)))
    }
  }

  private static var drainLRU: LuaFunction {
    LuaFunction(
      "drain_lru", .positional,
      [LuaParameter("cpu", .integer(0...255), default: "all CPUs", "Whose batches.")],
      doc: "Empties the LRU batches: what waits goes to its list.",
      kernel: ["lru_add_drain_cpu", "lru_add_drain_all"], rules: ["P1.24"],
      example: """
        m = machine{ ram = "64M" }
        m:guest{ ram = "1M", thp = "never" }:touch(0, "160K")
        m:drain_lru()
        m:lru().lists[1].active_anon --> 40
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let cpu = call.isGiven(0) ? try Arguments.cpu(call.integer(0), object) : nil
      let step = Step(
        "x1", cpu == nil ? "lru_add_drain_all" : "lru_add_drain_cpu",
        "empty the LRU batches of " + (cpu.map { "CPU \($0)" } ?? "all CPUs"))
      _ = try OperationRunner.atomic(object, call, "drain_lru", step) { machine in
        if let cpu { machine.drainLRU(cpu: cpu) } else { machine.drainAllLRU() }
        return .done(0)
      }
    }
  }

  private static var pins: LuaFunction {
    LuaFunction(
      "pins", returns: [LuaResult(.table, "Pins, oldest first.")],
      doc: "Every pin that is held.", rules: ["P1.3"],
      example: """
        m = machine{ ram = "64M" }
        m:guest{ ram = "1M" }:pin{ length = "4K" }
        #m:pins() --> 1
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(object.machine.heldPins.map { .object(LuaHandle("pin", object, index: $0.id)) }))
    }
  }
}

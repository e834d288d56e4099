internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

extension MemoryLibrary {
  static var allocationMethods: [LuaFunction] {
    [allocPages, freePages, drain, fold, tick]
  }

  private static var allocPages: LuaFunction {
    LuaFunction(
      "alloc_pages", .positional,
      [
        LuaParameter("order", .integer(0...63), default: "0", "log2 of the number of pages."),
        LuaParameter(
          "gfp", GFP.parameterType, default: "GFP_KERNEL", "Names of flags, joined by |."),
        LuaParameter("node", .integer(0...31), default: "the CPU's", "Where to look first."),
        LuaParameter(
          "pin_scope", .boolean, default: "false",
          "Ask as a task that pins for long, PF_MEMALLOC_PIN: the request loses __GFP_MOVABLE."),
      ],
      returns: [LuaResult(.object("page"), "The first page of the block.")],
      errors: [LuaErrno("ENOMEM", "no zone may or can serve the request")],
      doc: """
        Allocates a block of 2^order pages.

        A request that finds none below the marks compacts, reclaims and retries as its flags say, and \
        has the OOM killer kill guests in the end; m:dmesg() shows the kernel's messages unless \
        __GFP_NOWARN is given.
        """,
      kernel: ["__alloc_pages_noprof", "get_page_from_freelist"], rules: ["A4.1", "A4.2", "A4.20"],
      example: """
        m = machine{ ram = "64M" }
        p = m:alloc_pages(3, "GFP_KERNEL|__GFP_ZERO")
        p.order --> 3
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let gfp = call.isGiven(1) ? try GFP.mask(call.flags(1), object.machine.kernel) : .kernel
      if call.isGiven(2), call.integer(2) >= object.machine.nodeCount {
        throw LuaFailure(
          "there is no node \(call.integer(2)); this machine has 0 to "
            + "\(object.machine.nodeCount - 1)")
      }
      let order = call.integer(0, default: 0)
      let node = call.isGiven(2) ? call.integer(2) : nil
      let inPinScope = call.boolean(3)
      if OperationRunner.isInTask(object, call) {
        let step = Step("a1", "__alloc_pages_noprof", "allocate a block of order \(order)")
        let outcome = try OperationRunner.atomic(object, call, "alloc_pages", step) { machine in
          switch machine.allocatePages(order: order, gfp: gfp, node: node, inPinScope: inPinScope) {
          case .page(let pfn): .done(pfn.index)
          case .refused(let refusal): .refused(refusal)
          }
        }
        switch outcome {
        case .done(let pfn): return call.returns(LuaHandle("page", object, index: pfn))
        case .refused(let refusal): return call.refuse(refusal)
        }
      }
      object.machine.beginOperation()
      let result = OperationRunner.stoppable(object, { call.shouldStop() }) {
        let result = object.machine.allocatePages(
          order: order, gfp: gfp, node: node, inPinScope: inPinScope)
        object.machine.runBackground()
        return result
      }
      switch result {
      case .page(let pfn): call.returns(LuaHandle("page", object, index: pfn.index))
      case .refused(let refusal):
        call.refuse(errno: refusal.errno.name, message: refusal.message, rule: refusal.rule)
      }
    }
  }

  private static var freePages: LuaFunction {
    LuaFunction(
      "free_pages", .positional,
      [
        LuaParameter("page", .any, "A page of alloc_pages, or its pfn."),
        LuaParameter(
          "order", .integer(0...63), default: "as allocated", "Must be the block's own order."),
      ],
      doc: "Gives a block back to this CPU's lists, from which it reaches the buddy in time.",
      kernel: ["__free_pages", "free_unref_page"], rules: ["A3.14", "A5.10"],
      example: """
        m = machine{ ram = "64M" }
        p = m:alloc_pages(0)
        m:free_pages(p)
        m:alloc_pages(0) == p --> true
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pfn = try Arguments.pfn(call.value(0), object, function: "free_pages")
      let order = call.isGiven(1) ? call.integer(1) : nil
      try Arguments.free(pfn, order: order, object, call, function: "free_pages")
    }
  }

  private static var drain: LuaFunction {
    LuaFunction(
      "drain", .positional,
      [LuaParameter("zone", .object("zone"), default: "all zones")],
      doc: "Returns the pages on all CPUs' lists to the buddy.",
      kernel: ["drain_all_pages"], rules: ["A5.21"],
      example: """
        m = machine{ ram = "64M" }
        m:free_pages(m:alloc_pages(0))
        m:drain()
        m:zone("DMA32"):pcp(0).count --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      if call.isGiven(0) {
        let zone = call.handle(0)
        guard zone.object === object else {
          throw LuaFailure("bad argument #1 'zone' to 'drain' (it belongs to another machine)")
        }
        let id = zone.index
        _ = try OperationRunner.atomic(object, call, "drain", drainStep) { machine in
          machine.drainAllPages(zone: id)
          return .done(0)
        }
      } else {
        _ = try OperationRunner.atomic(object, call, "drain", drainStep) { machine in
          machine.drainAllPages()
          return .done(0)
        }
      }
    }
  }

  private static let drainStep = Step(
    "a3", "drain_all_pages", "empty the lists of all CPUs")

  private static var fold: LuaFunction {
    LuaFunction(
      "fold", .positional, [LuaParameter("cpu", .integer(0...255), default: "all CPUs")],
      doc: """
        Moves the CPUs' pending counter differences into the global counters, as an idle CPU does.

        Watermark tests read the global counters only, so a fold can change what the next request \
        gets.
        """,
      kernel: ["quiet_vmstat"], rules: ["A0.4"],
      example: "machine{ ram = \"64M\" }:fold()"
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let cpu = call.isGiven(0) ? try Arguments.cpu(call.integer(0), object) : nil
      let step = Step(
        "v1", "refresh_cpu_vm_stats",
        "fold the counters of " + (cpu.map { "CPU \($0)" } ?? "all CPUs"))
      try OperationRunner.once(object, call, "fold", step) { machine in
        for cpu in cpu.map({ $0..<$0 + 1 }) ?? 0..<machine.cpuCount {
          machine.foldStatistics(cpu: cpu)
        }
        return 0
      }
    }
  }

  private static var tick: LuaFunction {
    LuaFunction(
      "tick", .positional,
      [LuaParameter("seconds", .integer(0...1_000_000), default: "1")],
      doc: """
        Lets seconds pass: on every CPU the statistics worker folds the counters and lets the high \
        marks of the per-CPU lists decay; a kswapd that naps goes to sleep.
        """,
      kernel: ["refresh_cpu_vm_stats", "decay_pcp_high"], rules: ["A5.25", "A5.26"],
      example: "machine{ ram = \"64M\" }:tick(3)"
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let seconds = call.integer(0, default: 1)
      if OperationRunner.isInTask(object, call) {
        let step = Step(
          "v2", "vmstat_update", "let \(seconds) seconds of the statistics worker pass")
        try OperationRunner.once(object, call, "tick", step) { machine in
          for _ in 0..<seconds { pass(&machine) }
          return 0
        }
        return
      }
      object.machine.beginOperation()
      for second in 0..<seconds {
        if second % 256 == 255 && call.shouldStop() { return }
        OperationRunner.stoppable(object, { call.shouldStop() }) { pass(&object.machine) }
      }
    }
  }

  /// A second of the statistics worker on every CPU.
  private static func pass(_ machine: inout Machine) {
    for cpu in 0..<machine.cpuCount { machine.runStatisticsWorker(cpu: cpu) }
    for node in 0..<machine.nodeCount { machine.endNap(node: node) }
    machine.runBackground()
  }
}

internal import LuaBridge
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

extension MemoryLibrary {
  static var reclaimMethods: [LuaFunction] { [reclaim, pressure, dropCaches, file, oomScores] }

  private static var reclaim: LuaFunction {
    LuaFunction(
      "reclaim", .named,
      [
        LuaParameter("bytes", .size(1...Int64.max), "How much to reclaim."),
        LuaParameter("node", .integer(0...31), default: "all nodes", "The node to reclaim from."),
      ],
      returns: [LuaResult(.integer(), "Bytes reclaimed, perhaps more than asked for.")],
      errors: [
        LuaErrno("EAGAIN", "less than asked for can be reclaimed; err.reclaimed says how much went")
      ],
      doc: """
        Reclaims memory, as a write to memory.reclaim does: clean pages of files that nobody pinned or \
        references, oldest first; then, on a machine with swap space, anonymous memory and shmem.
        """,
      kernel: ["try_to_free_mem_cgroup_pages", "shrink_node", "evict_folios"],
      rules: ["A7.36", "A7.37"],
      example: """
        m = machine{ ram = "64M" }
        f = m:file{ name = "log", size = "16M" }
        f:read()
        m:reclaim{ bytes = "4M" } >= size"4M" --> true
        m:vmstat{ table = true }.pgsteal_file >= 1024 --> true
        m = machine{ ram = "64M", swap = "64M" }
        vm = m:guest{ ram = "8M", thp = "never" }
        vm:populate()
        m:reclaim{ bytes = "8M" } >> 20 --> 8
        vm.swapped_pages --> 2048
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let shift = object.machine.geometry.pageShift
      if call.isGiven(1), call.integer(1) >= object.machine.nodeCount {
        throw LuaFailure(
          "there is no node \(call.integer(1)); this machine has 0 to "
            + "\(object.machine.nodeCount - 1)")
      }
      let pages = (call.integer(0) - 1) >> shift + 1
      let node = call.isGiven(1) ? call.integer(1) : nil
      let reclaimed = try OperationRunner.perform(object) {
        object.machine.reclaimPages(pages, node: node)
      }
      if reclaimed >= pages { return call.returns(reclaimed << shift) }
      call.refuse(
        Refusal(
          .EAGAIN,
          "\(reclaimed) of \(pages) pages could be reclaimed; the rest is dirty, mapped and in use, "
            + "pinned, or has no place to go", rule: "A7.37"),
        fields: [("reclaimed", .integer(Int64(reclaimed << shift)))])
    }
  }

  private static var pressure: LuaFunction {
    LuaFunction(
      "pressure", .positional,
      [
        LuaParameter("bytes", .size(1...Int64.max), "How much memory to take."),
        LuaParameter(
          "gfp", GFP.parameterType, default: "GFP_KERNEL", "What each page is asked for with."),
      ],
      returns: [
        LuaResult(
          .object("pressure"), "What it holds; `short` says why it is less than asked for.")
      ],
      doc: """
        Takes memory page by page, as the kernel or a driver would, with all that follows: kswapd wakes, \
        pages are reclaimed or swapped out, and in the end the OOM killer kills guests.

        What it returns prints what went and why the rest did not; `m:dmesg()` has the kernel's words. The \
        handles of killed guests are stale.
        """,
      kernel: ["__alloc_pages_noprof", "__alloc_pages_slowpath", "out_of_memory"],
      rules: ["A4.20", "A7.31", "A7.40"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ name = "victim", ram = "32M", thp = "never" }
        vm:populate()
        p = m:pressure("48M")
        #m:guests() --> 0
        p.killed[1] --> "victim"
        p:release()
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let gfp = call.isGiven(1) ? try GFP.mask(call.flags(1), object.machine.kernel) : .kernel
      let pages = (call.integer(0) - 1) >> object.machine.geometry.pageShift + 1
      let limit = object.machine.memory.reduce(0) { $0 + $1.count }
      guard pages <= limit else {
        throw LuaFailure(
          "bad argument #1 'bytes' to 'pressure' (\(call.integer(0)) bytes are more than the machine's "
            + "\(formatSize(limit << object.machine.geometry.pageShift)))")
      }
      var operation = PressureOperation(pages: pages, gfp: gfp)
      _ = try OperationRunner.perform(object) { () throws(LuaFailure) in
        OperationRunner.run(&operation, object, call)
      }
      call.returns(LuaHandle("pressure", object, index: operation.outcome ?? 0))
    }
  }

  private static var dropCaches: LuaFunction {
    LuaFunction(
      "drop_caches", .positional,
      [
        LuaParameter(
          "what", .integer(1...3), default: "3",
          "1: cached pages of files; 2: slab caches, of which the model has none; 3: both.")
      ],
      returns: [LuaResult(.table, "`dropped` and `kept`, in pages.")],
      doc: """
        Drops what is cached, clean and otherwise unused, as a write to /proc/sys/vm/drop_caches does.

        What is dirty, mapped, pinned or referenced stays; small folios that stay wait in the \
        lru_deactivate_file batch, which holds a reference until it is drained.
        """,
      kernel: ["drop_caches_sysctl_handler", "mapping_try_invalidate", "deactivate_file_folio"],
      rules: ["P9.30", "P9.31", "P1.27"],
      example: """
        m = machine{ ram = "64M" }
        f = m:file{ name = "data", size = "1M" }
        f:read()
        m:drop_caches(1).dropped --> 256
        f.cached --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      var operation = DropCaches(call.integer(0, default: 3))
      _ = try OperationRunner.perform(object) { () throws(LuaFailure) in
        OperationRunner.run(&operation, object, call)
      }
      let outcome = operation.outcome ?? DropCaches.Outcome()
      call.returns(
        LuaTable(fields: [
          ("dropped", .integer(Int64(outcome.dropped))), ("kept", .integer(Int64(outcome.kept))),
        ]))
    }
  }

  private static var file: LuaFunction {
    LuaFunction(
      "file", .named,
      [
        LuaParameter("name", .string, default: "\"file\"", "How messages name it."),
        LuaParameter("size", .size(1...Int64.max), "Its size, rounded up to whole pages."),
      ],
      returns: [LuaResult(.object("file"))],
      errors: [LuaErrno("EINVAL", "the file is larger than the model can map")],
      doc: """
        A file on a disk, nothing of which is cached yet. Reading it fills the page cache, which is what \
        reclaim lives on.
        """,
      kernel: ["filemap_read"], rules: ["A7.30"],
      example: """
        m = machine{ ram = "64M" }
        f = m:file{ name = "data", size = "8M" }
        f:read("0", "1M")
        f.cached --> 256
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      let pages = (call.integer(1) - 1) >> object.machine.geometry.pageShift + 1
      object.machine.countOperation()
      switch object.machine.createFile(
        .regular, name: call.string(0, default: "file"), pages: pages)
      {
      case .success(let file): call.returns(LuaHandle("file", object, index: file))
      case .failure(let refusal): call.refuse(refusal)
      }
    }
  }

  private static var oomScores: LuaFunction {
    LuaFunction(
      "oom_scores",
      returns: [
        LuaResult(
          .table,
          "For each process `name`, `points`, `rss`, `swap`, `tables` and `adj`, oldest first.")
      ],
      doc: """
        What the OOM killer would weigh: resident and swapped pages and page tables, moved by \
        oom_score_adj. It kills the process with the most points.
        """,
      kernel: ["oom_badness"], rules: ["A7.40"],
      example: """
        m = machine{ ram = "64M" }
        vm = m:guest{ name = "a", ram = "4M", thp = "never" }
        vm:populate()
        vm.oom_score_adj = -1000
        m:oom_scores()[1].rss --> 1024
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      call.returns(
        LuaTable(
          object.machine.oomCandidates.map { candidate in
            .table(
              LuaTable(fields: [
                ("name", .string(object.machine.spaces[candidate.space].name)),
                ("points", .integer(Int64(candidate.points))),
                ("rss", .integer(Int64(candidate.resident))),
                ("swap", .integer(Int64(candidate.swapped))),
                ("tables", .integer(Int64(candidate.tables))),
                ("adj", .integer(Int64(candidate.adjustment))),
              ]))
          }))
    }
  }
}

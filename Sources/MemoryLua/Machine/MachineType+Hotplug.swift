internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel
internal import MemoryOperations

extension MemoryLibrary {
  static var hotplugMethods: [LuaFunction] { [memoryBlocks, offline, online, whyBusy] }

  private static var memoryBlocks: LuaFunction {
    LuaFunction(
      "memory_blocks",
      returns: [
        LuaResult(
          .table,
          "Blocks ascending, each with block, pfn, pages, state (\"online\", \"offline\" or "
            + "\"absent\") and zone; zone is nil where the block spans zones.")
      ],
      doc: "The units in which memory goes offline and comes back: 128 MiB on a small x86_64.",
      kernel: ["struct memory_block"], rules: ["P6.1"],
      example: "#machine{ ram = \"512M\" }:memory_blocks() --> 4"
    ) { call in
      let object = call.object(as: MachineObject.self)
      let size = object.machine.geometry.memoryBlockPages
      var blocks: [LuaValue] = []
      for start in stride(from: 0, to: object.machine.frames.count, by: size) {
        let range = PFNRange(start, start + size)
        var fields: [(String, LuaValue)] = [
          ("block", .integer(Int64(start / size))), ("pfn", .integer(Int64(start))),
          ("pages", .integer(Int64(size))),
        ]
        let isOffline = object.machine.offlineMemory.contains(range)
        let present = object.machine.memory.pages(in: range)
        fields.append(
          ("state", .string(isOffline ? "offline" : present > 0 ? "online" : "absent")))
        let zone = object.machine.frames.zone(of: PFN(start))
        if let zone, object.machine.zone(zone).range.intersection(range) == range {
          fields.append(("zone", .string(object.machine.zone(zone).index.name)))
        }
        blocks.append(.table(LuaTable(fields: fields)))
      }
      call.returns(LuaTable(blocks))
    }
  }

  private static var offline: LuaFunction {
    LuaFunction(
      "offline", .positional,
      [
        LuaParameter("block", .integer(), "Number of a block of m:memory_blocks()."),
        LuaParameter(
          "rounds", .integer(), default: "1000",
          "A signal comes after so many rounds of looking for pages that can move."),
      ],
      returns: [LuaResult(.boolean, "true.")],
      errors: [
        LuaErrno("EINVAL", "the block has holes or spans zones"),
        LuaErrno("EBUSY", "a page in it can never move: the kernel's, or a CMA pageblock"),
        LuaErrno(
          "EINTR", "pages did not move until the signal came; err.blockers says who has them"),
      ],
      doc: """
        Takes a memory block offline: everything in it moves elsewhere.

        The kernel tries for ever; here a signal ends it after `rounds`. What has moved stays where \
        it is then, and the block is as usable as before.
        """,
      kernel: ["offline_pages"], rules: ["P6.1", "P6.2", "P6.3"],
      example: """
        m = machine{ ram = "1G", movablecore = "512M" }
        m:offline(5) --> true
        m:memory_blocks()[6].state --> "offline"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let start = try blockStart(call, object)
      let limit = call.isGiven(1) ? call.integer(1) : 1000
      let (operation, waited) = try OperationRunner.call(
        object, call, "offline"
      ) { () throws(LuaFailure) in
        do throws(MemoryError) {
          return try OfflineCall(object.machine.memoryOffline(at: start), rounds: limit)
        } catch {
          throw LuaFailure("offline: \(error.message)")
        }
      }
      if let waited, operation.outcome == nil { throw LuaFailure("offline: \(waited)") }
      guard let refusal = operation.outcome?.refusal else { return call.returns(true) }
      let range = PFNRange(start.index, start.index + object.machine.geometry.memoryBlockPages)
      refuse(call, refusal, object.machine.blockers(in: range, for: .memoryOffline), object)
    }
  }

  private static var online: LuaFunction {
    LuaFunction(
      "online", .positional,
      [
        LuaParameter("block", .integer(), "Number of an offline block."),
        LuaParameter(
          "target", .string, default: "online",
          "\"online_movable\", \"online_kernel\", or \"online\": as its neighbours are."),
      ],
      returns: [LuaResult(.boolean, "true.")],
      doc: "Brings a memory block back.",
      kernel: ["online_pages"], rules: ["P6.8"],
      example: """
        m = machine{ ram = "1G", movablecore = "512M" }
        m:offline(5)
        m:online(5, "online_movable") --> true
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let start = try blockStart(call, object)
      let name = call.isGiven(1) ? call.string(1) : "online"
      guard let target = Machine.OnlineTarget(rawValue: name) else {
        let names = Machine.OnlineTarget.allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
        throw LuaFailure("bad argument #2 'target' to 'online' ('\(name)'; use \(names))")
      }
      let step = Step("o9", "online_pages", "give the block's pages to the buddy")
      let outcome = try OperationRunner.atomic(object, call, "online", step) { machine in
        do throws(MemoryError) {
          try machine.online(at: start, target)
          return .done(0)
        } catch {
          return .refused(Refusal(.EINVAL, error.message, rule: "P6.8"))
        }
      }
      if case .refused(let refusal) = outcome { throw LuaFailure("online: \(refusal.message)") }
      call.returns(true)
    }
  }

  private static func blockStart(
    _ call: borrowing LuaCall, _ object: MachineObject
  ) throws(LuaFailure) -> PFN {
    let size = object.machine.geometry.memoryBlockPages
    let count = (object.machine.frames.count + size - 1) / size
    let block = call.integer(0)
    guard (0..<count).contains(block) else {
      throw LuaFailure("there is no memory block \(block); this machine has 0 to \(count - 1)")
    }
    return PFN(block * size)
  }

  private static var whyBusy: LuaFunction {
    LuaFunction(
      "why_busy", .positional,
      [
        LuaParameter("pfn", .integer(), "First frame."),
        LuaParameter("pages", .integer(), default: "1"),
        LuaParameter(
          "caller", .choice(["cma_alloc", "offline", "alloc_contig"]), default: "cma_alloc",
          "Who would empty the range; each call meets obstacles of its own."),
      ],
      returns: [LuaResult(.table, blockersDoc)],
      doc: """
        Who keeps pages of a range from being moved away, grouped, before anybody tries.

        The same list is the field blockers of the error of a cma_alloc or an offline that failed.
        """,
      kernel: ["isolate_migratepages_block", "has_unmovable_pages"],
      rules: ["P5.12", "P5.15", "P6.1"],
      example: """
        m = machine{ ram = "64M", cma = "16M" }
        #m:why_busy(0x3000, 512) --> 0
        m:why_busy(0x3000, 512, "offline")[1].kind --> "cma_pageblock"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let first = call.integer(0)
      let pages = call.isGiven(1) ? call.integer(1) : 1
      guard first >= 0, first < object.machine.frames.count else {
        throw LuaFailure(
          "bad argument #1 'pfn' to 'why_busy' (\(first); this machine has frames 0 to "
            + "0x\(String(object.machine.frames.count - 1, radix: 16)))")
      }
      guard pages > 0, pages <= 1 << 32 else {
        throw LuaFailure("bad argument #2 'pages' to 'why_busy' (\(pages); give 1 or more)")
      }
      let modes = [IsolationMode.cmaAllocation, .memoryOffline, .contiguousPages]
      let mode = call.isGiven(2) ? modes[call.integer(2)] : .cmaAllocation
      let range = PFNRange(first, first + pages)
      call.returns(blockersTable(object.machine.blockers(in: range, for: mode), object))
    }
  }

  private static let blockersDoc =
    "One entry a holder, with by (in words), kind ("
    + Blocker.Holder.kinds.map { "\"\($0)\"" }.joined(separator: ", ")
    + "), pin or reference (an id) and since (an operation) where somebody has signed for it, count "
    + "(folios), pages (their frames), and pfns (the first frames of at most 100 folios)."

  /// Refuses with who is in the way: a second line of the message, and the field `blockers`.
  static func refuse(
    _ call: borrowing LuaCall, _ refusal: Refusal, _ blockers: [Blocker], _ object: MachineObject
  ) {
    call.refuse(
      errno: refusal.errno.name, message: refusal.message + blockersText(blockers, object),
      rule: refusal.rule, fields: [("blockers", .table(blockersTable(blockers, object)))])
  }

  /// A second line, `in the way: 3 pages of pin #1 …; …`, or nothing.
  static func blockersText(_ blockers: [Blocker], _ object: MachineObject) -> String {
    if blockers.isEmpty { return "" }
    return "\n  in the way: "
      + object.machine.describe(blockers.map { ($0.holder, $0.frames) }, limit: 4)
  }

  static func blockersTable(_ blockers: [Blocker], _ object: MachineObject) -> LuaTable {
    LuaTable(
      blockers.map { blocker in
        var fields: [(String, LuaValue)] = [
          ("by", .string(object.machine.describe(blocker.holder))),
          ("kind", .string(blocker.holder.kind)),
          ("count", .integer(Int64(blocker.pages.count))),
          ("pages", .integer(Int64(blocker.frames))),
          (
            "pfns",
            .table(LuaTable(blocker.pages.prefix(100).map { .integer(Int64($0.pfn.index)) }))
          ),
        ]
        switch blocker.holder {
        case .pin(let id): fields.append(("pin", .integer(Int64(id))))
        case .temporaryReference(let id): fields.append(("reference", .integer(Int64(id))))
        default: break
        }
        if let since = object.machine.operation(of: blocker.holder) {
          fields.append(("since", .integer(Int64(since))))
        }
        return .table(LuaTable(fields: fields))
      })
  }
}

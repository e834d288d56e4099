internal import LuaBridge
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

extension MemoryLibrary {
  static var hugePageMethods: [LuaFunction] { [hugePages, meminfo] }

  private static var hugePages: LuaFunction {
    LuaFunction(
      "hugepages", .named,
      [
        LuaParameter(
          "count", .integer(0...(1 << 31)), optional: true,
          "Pages that the pool shall have: what is written to nr_hugepages."),
        LuaParameter(
          "size", .size(1...Int64.max), default: "the architecture's huge page",
          "Which pool: 2M or 1G on x86_64, 16M or 16G on ppc64."),
        LuaParameter(
          "node", .integer(0...31), optional: true,
          "Set or read the part of the pool on this node; without it, nodes take turns."),
        LuaParameter(
          "overcommit", .integer(0...(1 << 31)), optional: true,
          "Surplus pages that may exist: what is written to nr_overcommit_hugepages."),
      ],
      returns: [
        LuaResult(
          .table,
          "nr, free, reserved, surplus, max and overcommit, in huge pages, and size in bytes; nr, free "
            + "and surplus of the node if one is given. reserved is below 0 where a promise was taken "
            + "back twice; /proc/meminfo prints that as a huge number.")
      ],
      errors: [LuaErrno("EINVAL", "overcommit of gigantic pages")],
      doc: """
        Sets the size of a pool of huge pages, or only reads it.

        As in the kernel, the write succeeds when there are too few free blocks: see what nr says. \
        Blocks in use stay; they become surplus, and leave the pool when they are returned. No block is \
        made by reclaim or compaction in this version, and so there are no gigantic pages.
        """,
      kernel: ["set_max_huge_pages", "hugetlb_report_meminfo"], rules: ["P2.32", "P2.36", "P5.30"],
      example: """
        m = machine{ ram = "1G", movablecore = "512M" }
        pool = m:hugepages{ count = 20 }
        pool.nr --> 20
        m:hugepages().free --> 20
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let order = try hugeOrder(call, object)
      let node = call.isGiven(2) ? call.integer(2) : nil
      if let node, node >= object.machine.nodeCount {
        throw LuaFailure(
          "there is no node \(node); this machine has 0 to \(object.machine.nodeCount - 1)")
      }
      if call.isGiven(3), call.continuation(as: PendingCall.self) == nil {
        object.machine.beginOperation()
        do throws(MemoryError) {
          if let refusal = try object.machine.setHugeOvercommit(
            order: order, count: call.integer(3))
          {
            return call.refuse(refusal)
          }
        } catch {
          throw LuaFailure("hugepages: \(error.message)")
        }
      }
      if call.isGiven(0) {
        let (write, _) = try OperationRunner.call(object, call, "hugepages") {
          () throws(LuaFailure) in
          HugePoolWrite(order: order, count: call.integer(0), node: node)
        }
        if case .misuse(let message) = write.outcome { throw LuaFailure("hugepages: \(message)") }
      }
      if let pool = object.machine.hugePool(order: order) {
        call.returns(table(pool, node, object.machine.geometry.pageSize << order))
      }
    }
  }

  private static func hugeOrder(
    _ call: borrowing LuaCall, _ object: MachineObject
  ) throws(LuaFailure) -> Int {
    let geometry = object.machine.geometry
    guard call.isGiven(1) else { return geometry.hugeOrder }
    let orders = [geometry.hugeOrder, geometry.giganticOrder]
    guard let order = orders.first(where: { geometry.pageSize << $0 == call.integer(1) }) else {
      throw LuaFailure(
        "bad field 'size' in 'hugepages' (\(geometry.name) has pages of "
          + orders.map { formatSize(geometry.pageSize << $0) }.joined(separator: " and ") + ")")
    }
    return order
  }

  private static func table(_ pool: HugePool, _ node: Int?, _ bytes: Int) -> LuaTable {
    let part = node.map { pool.nodes[$0] }
    let fields = [
      ("nr", part?.total ?? pool.total), ("free", part?.free ?? pool.free),
      ("surplus", part?.surplus ?? pool.surplus), ("reserved", pool.reserved),
      ("max", pool.maximum), ("overcommit", pool.overcommit), ("size", bytes),
    ]
    return LuaTable(fields: fields.map { ($0.0, .integer(Int64($0.1))) })
  }

  private static var meminfo: LuaFunction {
    LuaFunction(
      "meminfo", returns: [LuaResult(.string, "Lines of the file, byte for byte.")],
      doc: "/proc/meminfo, the lines that the model can tell: memory, CMA and huge pages.",
      kernel: ["meminfo_proc_show", "hugetlb_report_meminfo"], rules: ["P2.36"],
      example: "print(machine{ ram = \"64M\" }:meminfo())"
    ) { call in
      call.returns(ProcText.meminfo(call.object(as: MachineObject.self).machine))
    }
  }
}

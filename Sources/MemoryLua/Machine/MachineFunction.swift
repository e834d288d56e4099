internal import LuaBridge
internal import MemoryModel
internal import Recordings

extension MemoryLibrary {
  /// `machine{ … }`: boots a machine, or restores a recorded or captured one.
  static func machineFunction(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "machine", .named,
      [
        LuaParameter(
          "ram", .size(1...Int64.max), default: "4G", "Memory of a machine with one node."),
        LuaParameter(
          "nodes", .table, optional: true, "Memory of each node, for example { \"2G\", \"2G\" }."),
        LuaParameter(
          "cpus", .integer(1...256), default: "1", "CPUs, spread evenly over the nodes."),
        LuaParameter(
          "arch", .choice(Geometry.all.map(\.name)), default: "x86_64",
          "x86_64 has 4 KiB pages and 2 MiB pageblocks, ppc64 64 KiB and 16 MiB."),
        LuaParameter(
          "cma", .any, optional: true,
          "A CMA area as `cma=` makes it: a size or \"N%\" of memory, or a list of { name, size, base, "
            + "order_per_bit }, base a pfn, order_per_bit how many pages a bit of its map stands for, as an order."
        ),
        LuaParameter(
          "kernelcore", .any, optional: true, "Size or \"N%\" that is kept out of ZONE_MOVABLE."),
        LuaParameter("movablecore", .any, optional: true, "Size or \"N%\" of ZONE_MOVABLE."),
        LuaParameter(
          "kernel", .any, optional: true,
          "Whose rules apply: a kernel, or the name of one; see kernels()."),
        LuaParameter(
          "thp", .choice(["always", "madvise", "never"]), default: "always",
          "transparent_hugepage/enabled. Huge pages raise the watermarks; below 512 MiB they are off."
        ),
        LuaParameter(
          "min_free_kbytes", .integer(0...Int64(Int32.max)), optional: true,
          "vm.min_free_kbytes, written right after boot."),
        LuaParameter(
          "config_cma", .boolean, default: "true", "CONFIG_CMA; stock Debian kernels lack it."),
        LuaParameter(
          "distances", .table, optional: true, "NUMA distances, a list of lists."),
        LuaParameter(
          "hugepages", .any, optional: true,
          "Huge pages that boot takes, as `hugepages=`: a count, or a list with one for each node."),
        LuaParameter(
          "hugetlb_cma", .any, optional: true,
          "CMA areas hugetlb0, hugetlb1, … for gigantic pages, as `hugetlb_cma=`: a size, spread over "
            + "the nodes, or a list with one for each node."),
        LuaParameter(
          "from", .file, optional: true,
          "What `m:save(file)` wrote, a recording (.jsonl, .jsonl.gz), or a folder written by `pinlab capture`."
        ),
        LuaParameter(
          "kvm_cma_resv_ratio", .integer(1...99), optional: true,
          "Per cent of memory that a ppc64 host sets aside as area kvm_cma for its guests' hash page "
            + "tables; the kernel's default is 5."),
        LuaParameter(
          "swap", .size(0...Int64.max), default: "none",
          "Swap space, on a device that writes at once, as zram does."),
        LuaParameter(
          "lru_gen", .boolean, default: "true",
          "The multi-generational LRU. Without it a second access queues a page for activation (P1.27)."
        ),
      ],
      returns: [LuaResult(.object("machine"))],
      doc: """
        Boots a modelled machine, or takes one from a file.

        Zones, watermarks, per-CPU lists and the order of the free lists are those that Linux 6.12 \
        would leave after boot. With `from`, the machine is in the state that was saved, recorded \
        or captured, and only `kernel` may be given besides.
        """,
      kernel: ["free_area_init", "memblock_free_all", "init_per_zone_wmark_min"],
      rules: ["A1.1", "A1.9", "A1.16", "A1.26"],
      example: "m = machine{ ram = \"1G\", cma = \"256M\" }\nm:zone(\"DMA32\").cma_pages --> 65536"
    ) { call throws(LuaFailure) in
      let kernel =
        call.isGiven(7) ? try KernelArgument.object(call.value(7), "kernel", of: "machine") : nil
      let object = context.object(try MachineOptions(context).machine(&call, kernel?.kernel))
      object.kernel = kernel
      call.hintMemory(bytes: 1 << 20)
      call.returns(LuaHandle("machine", object))
    }
  }
}

/// The fields of `machine{ … }`, by position in its declaration.
struct MachineOptions {
  private let context: MemoryContext

  init(_ context: MemoryContext) { self.context = context }

  func machine(_ call: inout LuaCall, _ kernel: Kernel?) throws(LuaFailure) -> Machine {
    if call.isGiven(14) { return try restored(&call, kernel) }
    var configuration = MachineConfiguration()
    configuration.geometry = Geometry.all[call.integer(3, default: 0)]
    configuration.kernel = kernel ?? context.kernel
    if call.isGiven(15) { configuration.hashTableReserve = call.integer(15) }
    configuration.transparentHugePages = call.integer(8, default: 0) != 2
    configuration.hugePagesOnlyAdvised = call.integer(8, default: 0) == 1
    configuration.hasCMA = call.boolean(10, default: true)
    if call.isGiven(9) { configuration.minFreeKbytes = call.integer(9) }
    var sizes = [call.integer(0, default: 4 << 30)]
    if call.isGiven(1) {
      guard !call.isGiven(0) else {
        throw LuaFailure("machine: give either 'ram' or 'nodes', not both")
      }
      sizes = []
      for element in call.value(1).table?.elements ?? [] {
        sizes.append(try ByteSize.bytes(element, "nodes[\(sizes.count + 1)]"))
      }
      guard !sizes.isEmpty else {
        throw LuaFailure("bad field 'nodes' (expected sizes such as { \"2G\", \"2G\" })")
      }
    }
    do {
      try configuration.layOut(bytesPerNode: sizes)
      let cpus = call.integer(2, default: 1)
      configuration.cpuNodes = (0..<cpus).map { $0 * sizes.count / cpus }
      let page = configuration.geometry.pageSize
      configuration.cmaAreas = try cmaAreas(call.value(4), page, total(configuration))
      configuration.kernelcore = try movableSize(call.value(5), "kernelcore", page)
      configuration.movablecore = try movableSize(call.value(6), "movablecore", page)
      if call.isGiven(11) { configuration.distances = try distances(call.value(11)) }
      configuration.hugePages = try hugePages(call.value(12), nodes: sizes.count)
      configuration.hugetlbCMA = try hugetlbCMA(call.value(13), page)
      configuration.swapPages = call.integer(16, default: 0) / page
      configuration.usesGenerations = call.boolean(17, default: true)
      return try Machine.boot(configuration)
    } catch let error as MemoryError {
      throw LuaFailure("machine: \(error.message)")
    } catch let error as LuaFailure {
      throw error
    } catch {
      throw LuaFailure("machine: \(error)")
    }
  }

  private func restored(
    _ call: inout LuaCall, _ kernel: Kernel?
  ) throws(LuaFailure) -> Machine {
    for position in 0..<18 where position != 7 && position != 14 && call.isGiven(position) {
      throw LuaFailure(
        "machine: 'from' brings the whole machine; only 'kernel' may stand beside it")
    }
    guard !call.string(14).isEmpty else {
      throw LuaFailure("bad field 'from' in 'machine' (expected the name of a file, got \"\")")
    }
    do {
      var text = ""
      var machine = try MachineFile.load(call.string(14), goesOn: { !call.shouldStop() }) {
        text = $0.text
      }
      call.write(text)
      if let kernel { machine.setKernel(kernel) }
      return machine
    } catch {
      throw LuaFailure("machine: \(error.message)")
    }
  }

  private static let cmaFields = ["name", "size", "base", "order_per_bit"]

  private func cmaAreas(
    _ value: LuaValue, _ page: Int, _ total: Int
  ) throws(LuaFailure) -> [MachineConfiguration.CMARequest] {
    if value.isNil { return [] }
    guard let table = value.table else {
      let pages = try cmaPages(value, "cma", page, total)
      return pages == 0 ? [] : [.init(name: "reserved", pages: pages)]
    }
    guard !table.elements.isEmpty, table.fields.isEmpty else {
      throw LuaFailure(
        "bad field 'cma' (expected a size, or a list such as { { name = \"a\", size = \"64M\" } })")
    }
    var areas: [MachineConfiguration.CMARequest] = []
    for element in table.elements {
      guard let fields = element.table, let size = fields["size"] else {
        throw LuaFailure(
          "bad field 'cma[\(areas.count + 1)]' (expected { name = …, size = … })")
      }
      for (name, _) in fields.fields where !Self.cmaFields.contains(name) {
        throw LuaFailure(
          "cma[\(areas.count + 1)] has no field '\(name)'; use "
            + Self.cmaFields.joined(separator: ", "))
      }
      let field = "cma[\(areas.count + 1)]"
      if let name = fields["name"], name.string == nil {
        throw LuaFailure(
          "bad field '\(field).name' (expected a string, got \(ByteSize.describe(name)))")
      }
      if let base = fields["base"], base.integer.map({ $0 >= 0 }) != true {
        throw LuaFailure(
          "bad field '\(field).base' (expected a pfn, got \(ByteSize.describe(base)))")
      }
      let order = fields["order_per_bit"] ?? .integer(0)
      guard let orderPerBit = order.integer, (0...30).contains(orderPerBit) else {
        throw LuaFailure(
          "bad field '\(field).order_per_bit' (expected an order from 0 to 30, got "
            + "\(ByteSize.describe(order)))")
      }
      areas.append(
        .init(
          name: fields["name"]?.string ?? "cma\(areas.count)",
          pages: try cmaPages(size, "\(field).size", page, total),
          base: fields["base"]?.integer.map { Int($0) }, orderPerBit: Int(orderPerBit)))
    }
    return areas
  }

  /// Pages of memory.
  private func total(_ configuration: MachineConfiguration) -> Int {
    configuration.nodes.reduce(0) { $0 + $1.memory.reduce(0) { $0 + $1.count } }
  }

  /// Whole pages, rounded up as `cma_declare_contiguous()` does; of a share whole pages as
  /// `cma_early_percent_memory()` has them.
  private func cmaPages(
    _ value: LuaValue, _ field: String, _ page: Int, _ total: Int? = nil
  ) throws(LuaFailure) -> Int {
    if let total, case .string(let text) = value, text.hasSuffix("%") {
      guard let percent = Int(text.dropLast()), (1...99).contains(percent) else {
        throw LuaFailure(
          "bad field '\(field)' (expected a size or \"1%\" to \"99%\", got \"\(text)\")")
      }
      return total * percent / 100
    }
    let bytes = try ByteSize.bytes(value, field)
    return bytes / page + (bytes % page == 0 ? 0 : 1)
  }

  private func movableSize(
    _ value: LuaValue, _ field: String, _ page: Int
  ) throws(LuaFailure) -> MachineConfiguration.MovableSize? {
    if value.isNil { return nil }
    if case .string(let text) = value, text.hasSuffix("%") {
      guard let percent = Int(text.dropLast()) else {
        throw LuaFailure("bad field '\(field)' (expected \"N%\" or a size, got \"\(text)\")")
      }
      return .percent(percent)
    }
    return .pages(try ByteSize.bytes(value, field) / page)
  }

  private func hugePages(
    _ value: LuaValue, nodes: Int
  ) throws(LuaFailure) -> [MachineConfiguration.HugePageRequest] {
    if value.isNil { return [] }
    if let pages = value.integer {
      guard (0...1 << 31).contains(pages) else {
        throw LuaFailure("bad field 'hugepages' (expected a number of pages, got \(pages))")
      }
      return [.init(pages: Int(pages))]
    }
    guard let table = value.table, table.elements.count <= nodes else {
      throw LuaFailure(
        "bad field 'hugepages' (expected a count, or a list with a count for each of the \(nodes) "
          + "node\(nodes == 1 ? "" : "s"), got \(ByteSize.describe(value)))")
    }
    var requests: [MachineConfiguration.HugePageRequest] = []
    for (node, element) in table.elements.enumerated() {
      guard let pages = element.integer, (0...1 << 31).contains(pages) else {
        throw LuaFailure(
          "bad field 'hugepages[\(node + 1)]' (expected a number of pages, got "
            + "\(ByteSize.describe(element)))")
      }
      requests.append(.init(pages: Int(pages), node: node))
    }
    return requests
  }

  private func hugetlbCMA(
    _ value: LuaValue, _ page: Int
  ) throws(LuaFailure) -> MachineConfiguration.HugetlbCMA {
    if value.isNil { return .total(0) }
    guard let table = value.table else {
      return .total(try cmaPages(value, "hugetlb_cma", page))
    }
    guard !table.elements.isEmpty, table.fields.isEmpty else {
      throw LuaFailure(
        "bad field 'hugetlb_cma' (expected a size, or a list with a size for each node, node 0 "
          + "first, such as { \"1G\", 0 })")
    }
    var pages: [Int] = []
    for element in table.elements {
      pages.append(try cmaPages(element, "hugetlb_cma[\(pages.count + 1)]", page))
    }
    return .perNode(pages)
  }

  private func distances(_ value: LuaValue) throws(LuaFailure) -> [[Int]] {
    var rows: [[Int]] = []
    for row in value.table?.elements ?? [] {
      var numbers: [Int] = []
      for element in row.table?.elements ?? [] {
        guard let number = element.integer, (1...255).contains(number) else {
          throw LuaFailure("bad field 'distances' (expected lists of numbers from 1 to 255)")
        }
        numbers.append(Int(number))
      }
      rows.append(numbers)
    }
    return rows
  }
}

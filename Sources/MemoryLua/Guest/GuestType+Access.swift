internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

/// What a populate or an access left present.
final class PopulationObject {
  let residency: Residency
  let pages: Int
  let verb: String
  let pageSize: Int

  init(_ residency: Residency, pages: Int, verb: String, pageSize: Int) {
    self.residency = residency
    self.pages = pages
    self.verb = verb
    self.pageSize = pageSize
  }

  var text: String {
    var parts = [
      "\(formatSize(pages * pageSize)) \(verb)", "\(pages) page\(pages == 1 ? "" : "s")",
    ]
    func share(_ count: Int) -> String { "(\(formatShare(count, of: max(1, pages))))" }
    if residency.large > 0 {
      parts.append("\(residency.large) in huge pages \(share(residency.large))")
    }
    if residency.cma > 0 { parts.append("\(residency.cma) in CMA \(share(residency.cma))") }
    if residency.movableZone > 0 {
      parts.append("\(residency.movableZone) in ZONE_MOVABLE \(share(residency.movableZone))")
    }
    if residency.zero > 0 { parts.append("\(residency.zero) show the zero page") }
    return parts.joined(separator: " · ")
  }
}

extension MemoryLibrary {
  static func populationType() -> LuaType {
    func count(
      _ name: String, _ doc: String, _ read: @escaping @Sendable (PopulationObject) -> Int
    ) -> LuaProperty {
      LuaProperty(name, .integer(), doc) { call in
        call.returns(read(call.object(as: PopulationObject.self)))
      }
    }
    return LuaType(
      "population", PopulationObject.self,
      doc: "What is present of a range of a guest, counted when it was asked for.",
      properties: [
        count("pages", "Pages of the range that are present.") { $0.pages },
        count("bytes", "The same in bytes.") { $0.pages * $0.pageSize },
        count("cma", "Of them, pages in CMA pageblocks.") { $0.residency.cma },
        count("movable", "Of them, pages in ZONE_MOVABLE.") { $0.residency.movableZone },
        count("huge", "Of them, pages mapped by leaves of 2 MiB or more.") { $0.residency.large },
        count("zero", "Of them, pages that show the zero page.") { $0.residency.zero },
      ],
      methods: [], display: { $0.owner(as: PopulationObject.self).text })
  }

  static var guestAccessMethods: [LuaFunction] {
    [
      access(
        "populate", "populated", .write, drains: true, writes: false,
        """
        Faults in a range for writing, as MADV_POPULATE_WRITE does.

        The pages stay zero. At the end this CPU's LRU batches are drained, so all pages are on the \
        LRU lists.
        """,
        kernel: ["madvise_populate", "faultin_page_range"], rules: ["P2.13", "P1.23"],
        example: """
          vm = machine{ ram = "1G", cma = "512M" }:guest{ ram = "256M" }
          vm:populate().pages --> 65536
          """),
      access(
        "touch", "touched", .write, drains: false, writes: false,
        """
        Stores a zero into every page of a range; faults in what is missing.

        Unlike populate, no batch is drained: the last pages may not be on the LRU lists yet.
        """,
        kernel: ["handle_mm_fault", "do_anonymous_page"], rules: ["P1.22", "P2.10"],
        example: """
          m = machine{ ram = "256M" }
          vm = m:guest{ ram = "1M", thp = "never" }
          vm:touch(0, "248K").pages --> 62
          #m:lru().batches --> 0
          """),
      access(
        "write", "written", .write, drains: false, writes: true,
        """
        Writes data into every page of a range; faults in what is missing, and copies what is shared.

        A page that was never written may become the zero page again when its huge page is split.
        """,
        kernel: ["handle_mm_fault", "do_wp_page"], rules: ["P2.21", "P4.21"],
        example: """
          vm = machine{ ram = "1G" }:guest{ ram = "16M" }
          vm:write("2M", "2M").huge --> 512
          """),
      access(
        "read", "read", .read, drains: false, writes: false,
        """
        Reads every page of a range; anonymous memory that is missing then shows the zero page.
        """,
        kernel: ["handle_mm_fault", "do_anonymous_page"], rules: ["P2.11"],
        example: """
          vm = machine{ ram = "256M" }:guest{ ram = "16M", thp = "never" }
          vm:read().zero --> 4096
          """),
      resident,
    ]
  }

  private static func access(
    _ name: String, _ verb: String, _ access: FaultAccess, drains: Bool, writes: Bool,
    _ doc: String, kernel: [String], rules: [String], example: String
  ) -> LuaFunction {
    LuaFunction(
      name, .positional, GuestRange.parameters(),
      returns: [LuaResult(.object("population"), "What is present of the range now.")],
      errors: [
        LuaErrno("ENOMEM", "no memory; what was faulted in before stays"),
        LuaErrno("EFAULT", "nothing is mapped there, or the access is not allowed"),
      ],
      doc: doc, kernel: kernel, rules: rules, example: example
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let pages: Range<Int>
      switch try GuestRange.pages(call, 0, object, space, function: name, for: .fault) {
      case .failure(let refusal): return call.refuse(refusal)
      case .success(let asked): pages = asked
      }
      let written = object.machine.spaces[space].name + ":" + name
      let (operation, waited) = try OperationRunner.call(object, call, written, space: space) {
        PopulateOperation(
          space: space, pages: pages, access: access, writes: writes, drains: drains)
      }
      switch operation.outcome {
      case .failure(let refusal):
        call.refuse(
          waited.map { Refusal(.EINTR, "\(name) was killed: \($0)", rule: refusal.rule) }
            ?? refusal)
      case .success, nil:
        call.returns(
          LuaHandle("population", try population(call, object, space, pages, verb: verb)))
      }
    }
  }

  private static var resident: LuaFunction {
    LuaFunction(
      "resident", .positional, GuestRange.parameters(),
      returns: [LuaResult(.object("population"))],
      doc: "Counts what is present of a range, and where it lies.", rules: ["P2.1"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M" }
        vm:resident().pages --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pages = try GuestRange.pages(call, 0, object, call.index, function: "resident")
      call.returns(
        LuaHandle("population", try population(call, object, call.index, pages, verb: "present")))
    }
  }

  private static func population(
    _ call: borrowing LuaCall, _ object: MachineObject, _ space: Int, _ pages: Range<Int>,
    verb: String
  ) throws(LuaFailure) -> PopulationObject {
    var sum = Residency()
    var page = pages.lowerBound
    while page < pages.upperBound, !call.shouldStop() {
      let end = min(pages.upperBound, page + 1 << 20)
      sum += object.machine.residency(space, page..<end)
      page = end
    }
    return PopulationObject(
      sum, pages: sum.pages, verb: verb, pageSize: object.machine.geometry.pageSize)
  }
}

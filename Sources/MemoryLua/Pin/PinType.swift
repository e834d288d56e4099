internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryOperations
internal import MemoryRender

extension MemoryLibrary {
  static func pinType() -> LuaType {
    LuaType(
      "pin", MachineObject.self,
      doc: "Pages of a guest that somebody pinned, and what taking them cost.",
      properties: pinProperties, methods: [unpin, pinSizes, pinRuns, pinPage],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        guard let pin = object.machine.pin(handle.index) else {
          return "pin #\(handle.index), given back"
        }
        return describe(pin, object)
      },
      isLive: { $0.owner(as: MachineObject.self).machine.pin($0.index) != nil })
  }

  private static func describe(_ pin: PinRecord, _ object: MachineObject) -> String {
    let shift = object.machine.geometry.pageShift
    let guest = object.machine.spaces[pin.space]
    if let file = pin.file { return describe(pin, of: object.machine.files[file].name, shift) }
    var range = "0x" + String(pin.startPage << shift, radix: 16)
    if guest.ram.contains(pin.startPage) {
      let start = (pin.startPage - guest.ram.lowerBound) << shift
      let end = start + pin.requested << shift
      range =
        "[\(start == 0 ? "0" : formatSize(start)), \(formatSize(end)))"
    }
    var words = ["pin #\(pin.id) \(guest.name) \(range)"]
    if pin.isLongTerm { words.append("longterm") }
    words.append(pin.isWrite ? "write" : "read")
    if pin.isGet { words.append("get") }
    var text = words.joined(separator: " ") + ": \(pin.pages) page\(pin.pages == 1 ? "" : "s")"
    if pin.pages < pin.requested { text += " of \(pin.requested)" }
    let rounds = pin.costs.rounds
    if rounds > 0 { text += " in \(rounds) round\(rounds == 1 ? "" : "s")" }
    if pin.costs.migratedPages > 0 { text += ", \(pin.costs.migratedPages) moved" }
    if pin.costs.faults > 0 {
      text += ", \(pin.costs.faults) fault\(pin.costs.faults == 1 ? "" : "s")"
    }
    if let error = pin.shortfall, pin.pages < pin.requested {
      text += ", then \(error.errno.name): \(error.message)"
    }
    if let output = pin.output.flatMap(PinOutput.Format.init(rawValue:)),
      let size = object.machine.output(pin).sizes().first(where: { $0.format == output })
    {
      text += ", kept as \(output.words) in \(formatSize(size.allocated))"
    }
    if pin.holder != "pin #\(pin.id)" { text += ", held by \(pin.holder)" }
    return text
  }

  /// A pin of folios of a file, which has no address.
  private static func describe(_ pin: PinRecord, of file: String, _ shift: Int) -> String {
    let start = pin.startPage << shift
    let range =
      "[\(start == 0 ? "0" : formatSize(start)), \(formatSize(start + pin.requested << shift)))"
    var text =
      "pin #\(pin.id) \(file) \(range) longterm: \(pin.pages) folio\(pin.pages == 1 ? "" : "s")"
    let rounds = pin.costs.rounds
    text += " in \(rounds) round\(rounds == 1 ? "" : "s")"
    if pin.costs.migratedPages > 0 { text += ", \(pin.costs.migratedPages) pages moved" }
    if pin.holder != "pin #\(pin.id)" { text += ", held by \(pin.holder)" }
    return text
  }

  private static func record(_ call: borrowing LuaCall) throws(LuaFailure) -> PinRecord {
    guard let pin = call.object(as: MachineObject.self).machine.pin(call.index) else {
      throw LuaFailure("pin #\(call.index) was given back")
    }
    return pin
  }

  private static func integer(
    _ name: String, _ doc: String, as type: LuaParameterType = .integer(),
    _ read: @escaping @Sendable (PinRecord) -> Int
  ) -> LuaProperty {
    LuaProperty(name, type, doc) { call throws(LuaFailure) in
      call.returns(read(try record(call)))
    }
  }

  private static func boolean(
    _ name: String, _ doc: String, _ read: @escaping @Sendable (PinRecord) -> Bool
  ) -> LuaProperty {
    LuaProperty(name, .boolean, doc) { call throws(LuaFailure) in
      call.returns(read(try record(call)))
    }
  }

  private static var pinProperties: [LuaProperty] {
    [
      integer("id", "Its number, counted from boot.") { $0.id },
      integer("pages", "Pages that are pinned; of a file, folios.") { $0.pages },
      integer("requested", "Pages that were asked for.") { $0.requested },
      integer("rounds", "Rounds of pin, check and migrate; 0 when nothing was checked.") {
        $0.costs.rounds
      },
      integer("migrated", "Pages of 4 KiB that were moved before.") { $0.costs.migratedPages },
      integer("operation", "The operation that took it; why says \"since operation N\".") {
        $0.operation
      },
      integer("offset", "Of a file: bytes from the start of the first folio to the first byte.") {
        $0.offset
      },
      boolean("longterm", "Taken with FOLL_LONGTERM.") { $0.isLongTerm },
      boolean("write", "Taken with FOLL_WRITE.") { $0.isWrite },
      boolean("get", "Plain references instead of pins.") { $0.isGet },
      LuaProperty("holder", .string, "Who holds it.") { call throws(LuaFailure) in
        call.returns(try record(call).holder)
      },
      LuaProperty("guest", .object("guest"), "The guest whose memory it is; nil once that is gone.")
      { call throws(LuaFailure) in
        let object = call.object(as: MachineObject.self)
        let space = try record(call).space
        guard object.machine.spaces[space].isAlive else { return call.returnsNil() }
        call.returns(LuaHandle("guest", object, index: space))
      },
      LuaProperty(
        "error", .table, "What a short count hid: errno, message and rule; nil if nothing."
      ) { call throws(LuaFailure) in
        let pin = try record(call)
        guard let error = pin.shortfall else { return call.returnsNil() }
        call.returns(
          LuaTable(fields: [
            ("errno", .string(error.errno.name)), ("message", .string(error.message)),
            ("rule", .string(error.rule)),
          ]))
      },
      LuaProperty(
        "costs", .table,
        "What the call did: calls, walks, entry_reads, pin_atomics, array_writes, rescan_reads, "
          + "lookups, unpin_atomics, local_drains, full_drains, rounds, faults, migrated_pages."
      ) { call throws(LuaFailure) in call.returns(table(try record(call).costs)) },
      integer("ns", "An estimate of how long the call took, in nanoseconds.") {
        Calibration.linux6_12.estimate($0.costs, pages: $0.pages, isFast: $0.isFast)
      },
      LuaProperty(
        "pfns", .table, "The frames in the order of the addresses; of large pins use runs()."
      ) { call throws(LuaFailure) in
        let object = call.object(as: MachineObject.self)
        let pin = try record(call)
        guard pin.pages <= 1 << 20 else {
          throw LuaFailure(
            "pfns: \(pin.pages) numbers are too many for a table; use runs(first, count)")
        }
        var numbers: [LuaValue] = []
        numbers.reserveCapacity(pin.pages)
        object.machine.forEachRun(pin) { first, pages in
          for offset in 0..<pages { numbers.append(.integer(Int64(first.index + offset))) }
        }
        call.returns(LuaTable(numbers))
      },
    ]
  }

  private static var unpin: LuaFunction {
    LuaFunction(
      "unpin", .named,
      [LuaParameter("dirty", .boolean, default: "false", "Mark the pages dirty on the way.")],
      returns: [LuaResult(.integer(), "Pages that were given back.")],
      doc: """
        Gives the pages back. The object is stale afterwards.

        Pages that were moved for the pin stay where they are (rule P3.62).
        """,
      kernel: ["unpin_user_pages", "unpin_user_pages_dirty_lock"], rules: ["P3.80", "P3.62"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M" }
        p = vm:pin{ length = "64K" }
        p:unpin() --> 16
        #vm.pins --> 0
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let dirty = call.boolean(0)
      let id = call.index
      let (operation, _) = try OperationRunner.call(object, call, "pin #\(id):unpin") {
        () throws(LuaFailure) in
        guard let pin = object.machine.pin(id) else {
          throw LuaFailure("pin #\(id) was given back")
        }
        if let owner = object.machine.deviceMapping(ofPin: id) {
          throw LuaFailure(
            "pin #\(id) belongs to mapping #\(owner.mapping.id) of \(owner.device.name); unmap that"
          )
        }
        return UnpinOperation(pin: pin, dirty: dirty)
      }
      call.returns(operation.pages)
    }
  }

  private static var pinSizes: LuaFunction {
    LuaFunction(
      "sizes", .named,
      [
        LuaParameter(
          "max_segment", .size(4096...Int64.max), default: "64K",
          "The most bytes that one segment of a scatter list may have.")
      ],
      returns: [LuaResult(.object("listing"), "A row for each form: format, records, bytes.")],
      doc: """
        How many bytes the pages take in each form that a caller could be given.

        `allocated` adds what chains a scatter list, one record for every 127.
        """,
      kernel: ["sg_alloc_table_from_pages_segment"], rules: ["P7.50", "P7.51"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M" }
        p = vm:pin{ length = "64K" }
        p:sizes()[1].bytes --> 128
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let output = object.machine.output(
        try record(call), maximumSegment: call.integer(0, default: 64 << 10))
      let listing = ListingObject(
        header: "\("form".padded(16)) \("records".padded(left: 10))  bytes")
      for size in output.sizes() {
        listing.add(
          "\(size.format.words.padded(16)) \("\(size.records)".padded(left: 10))  "
            + "\(formatSize(size.bytes))"
            + (size.allocated > size.bytes ? ", chained \(formatSize(size.allocated))" : ""),
          [
            ("format", .string(size.format.rawValue)), ("records", .integer(Int64(size.records))),
            ("bytes", .integer(Int64(size.bytes))),
            ("allocated", .integer(Int64(size.allocated))),
          ])
      }
      call.returns(LuaHandle("listing", listing))
    }
  }

  private static var pinRuns: LuaFunction {
    LuaFunction(
      "runs", .positional,
      [
        LuaParameter("first", .integer(1...Int64.max), default: "1", "Start at this run."),
        LuaParameter("count", .integer(1...(1 << 20)), default: "4096", "How many at the most."),
      ],
      returns: [LuaResult(.object("listing"), "A row for each run: pfn, pages, offset.")],
      doc: "The frames of the pin as runs of neighbours, in the order of the addresses.",
      rules: ["P7.50"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "2M", thp = "never" }
        p = vm:pin{ length = "64K" }
        p:runs()[1].pages
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let skip = call.integer(0, default: 1) - 1
      let limit = call.integer(1, default: 4096)
      let listing = ListingObject(header: "")
      var run: (first: Int, pages: Int, offset: Int)?
      var number = 0
      var offset = 0
      func close() {
        guard let done = run else { return }
        number += 1
        if number <= skip || listing.rows.count >= limit { return }
        listing.add(
          "[0x\(String(done.first, radix: 16)), 0x\(String(done.first + done.pages, radix: 16))) "
            + "\(done.pages) page\(done.pages == 1 ? "" : "s")",
          [
            ("pfn", .integer(Int64(done.first))), ("pages", .integer(Int64(done.pages))),
            ("offset", .integer(Int64(done.offset))),
          ])
      }
      object.machine.forEachRun(try record(call)) { first, pages in
        if let current = run, current.first + current.pages == first.index {
          run?.pages += pages
        } else {
          close()
          run = (first.index, pages, offset << object.machine.geometry.pageShift)
        }
        offset += pages
      }
      close()
      listing.total = number
      call.returns(LuaHandle("listing", listing))
    }
  }

  private static var pinPage: LuaFunction {
    LuaFunction(
      "page", .positional,
      [LuaParameter("index", .integer(1...Int64.max), "Which page of the pin, from 1 on.")],
      returns: [LuaResult(.object("page"))],
      doc: "A page of the pin, as p.pfns[index] names it.", rules: ["P7.50"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", thp = "never" }
        vm:pin{ length = "64K" }:page(1).pincount --> 1
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let pin = try record(call)
      let index = call.integer(0) - 1
      guard index < pin.pages else {
        throw LuaFailure(
          "bad argument #1 'index' to 'page' (the pin has \(pin.pages) pages, got \(index + 1))")
      }
      var left = index
      var found: Int?
      object.machine.forEachRun(pin) { first, pages in
        if found == nil, left < pages { found = first.index + left }
        left -= pages
      }
      call.returns(LuaHandle("page", object, index: found ?? 0))
    }
  }
}

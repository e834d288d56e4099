internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func guestViewMethods(_ context: MemoryContext) -> [LuaFunction] {
    [guestMap(context), guestPage, pagemap, vmas]
  }

  private static func guestMap(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "map", .named,
      [
        LuaParameter(
          "columns", .integer(40...1000), default: "the terminal's", "The width to stay inside."),
        LuaParameter("color", .boolean, default: "as the session", "Colour the cells."),
        LuaParameter("legend", .boolean, default: "true", "Explain the signs."),
      ],
      returns: [LuaResult(.string, "The drawing.")],
      doc: """
        Draws the RAM: how much of each cell is present, where it lies, and what is pinned.

        A cell stands for 2 MiB, or for more when the RAM is larger than the terminal.
        """,
      rules: ["P2.1", "P3.1"],
      example: """
        vm = machine{ ram = "1G", cma = "512M" }:guest{ ram = "256M" }
        vm:populate()
        print(vm:map{ columns = 60, color = false })
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      let map = GuestMap(
        columns: call.isGiven(0) ? call.integer(0) : context.columns(),
        color: call.boolean(1, default: context.color), unicode: context.unicode,
        legend: call.boolean(2, default: true))
      call.returns(map.text(object.machine, space: call.index))
    }
  }

  private static var guestPage: LuaFunction {
    LuaFunction(
      "page", .positional,
      [LuaParameter("at", .size(), default: "0", "An offset into the RAM, or an address.")],
      returns: [LuaResult(.object("page"), "nil when nothing is present there.")],
      doc: "The page that the guest sees at an offset or address.", rules: ["P2.1"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", thp = "never" }
        vm:touch(0, "4K")
        vm:page("4K") --> nil
        vm:page(0).state --> "allocated"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let page = try GuestRange.page(
        call, 0, object, call.index, function: "page", name: "at")
      guard let pfn = object.machine.frame(call.index, page: page),
        object.machine.isMemory(pfn)
      else { return call.returnsNil() }
      call.returns(LuaHandle("page", object, index: pfn.index))
    }
  }

  private static var pagemap: LuaFunction {
    LuaFunction(
      "pagemap", .positional, GuestRange.parameters(),
      returns: [
        LuaResult(
          .object("listing"),
          "A row for each run: address, pages, pfn, level (p, m, u), flags; for pages in swap space "
            + "slot instead of pfn.")
      ],
      doc: """
        What the page tables show, as runs of neighbouring frames at one level with the same flags.

        A page of shared memory that is swapped out leaves no entry: its file knows the slot.

        At most 65536 rows are listed; `total` has the number of all.
        """,
      kernel: ["pagemap_read"], rules: ["P2.3"],
      example: """
        vm = machine{ ram = "1G" }:guest{ ram = "4M" }
        vm:touch("2M", "2M")
        vm:pagemap()[1].level --> "m"
        """
    ) { call throws(LuaFailure) in
      let object = call.object(as: MachineObject.self)
      let space = call.index
      let pages = try GuestRange.pages(call, 0, object, space, function: "pagemap")
      let listing = ListingObject(header: "")
      listing.empty = "nothing is present"
      var run: MappedRun?
      var total = 0
      func close() {
        guard let done = run else { return }
        total += 1
        if total > 1 << 16 { return }
        listing.add(done.text, done.fields)
      }
      var page = pages.lowerBound
      var steps = 0
      while page < pages.upperBound {
        let (entry, _, level) = object.machine.entry(space, page: page)
        let next = min((page | ((1 << level.order) - 1)) + 1, pages.upperBound)
        steps += 1
        if steps & 0xFFFF == 0, call.shouldStop() { return }
        if !entry.isNone, entry.isPresent || entry.isMigration || entry.isSwap {
          let offset = page & ((1 << level.order) - 1)
          let one = MappedRun(
            shift: object.machine.geometry.pageShift,
            page: page, pages: next - page, pfn: entry.pfn.index + offset, level: level,
            flags: entry.flags.subtracting([.leaf, .part]))
          if let before = run, before.continues(in: one) {
            run?.pages += one.pages
          } else {
            close()
            run = one
          }
        } else {
          close()
          run = nil
        }
        page = next
      }
      close()
      listing.total = total
      call.returns(LuaHandle("listing", listing))
    }
  }

  private static var vmas: LuaFunction {
    LuaFunction(
      "vmas",
      returns: [
        LuaResult(
          .object("listing"), "A row for each area: address, bytes, flags, backing, offset.")
      ],
      doc: "The areas of the guest, in the manner of /proc/PID/maps.", kernel: ["show_map_vma"],
      rules: ["P2.1"],
      example: """
        vm = machine{ ram = "64M" }:guest{ ram = "1M", backing = "memfd" }
        #vm:vmas() --> 1
        """
    ) { call in
      let object = call.object(as: MachineObject.self)
      let listing = ListingObject(header: "")
      let shift = object.machine.geometry.pageShift
      for area in object.machine.spaces[call.index].areas {
        let start = String(area.start << shift, radix: 16)
        let end = String(area.end << shift, radix: 16)
        let backing = name(area, object)
        let flags = words(area.flags)
        let offset = area.file == nil ? 0 : area.filePage(area.start) << shift
        listing.add(
          "\(start)-\(end) \(rights(area.flags)) \(formatSize(area.pages << shift).padded(9)) "
            + "\(backing)" + (flags.isEmpty ? "" : " [\(flags)]"),
          [
            ("address", .integer(Int64(area.start << shift))),
            ("bytes", .integer(Int64(area.pages << shift))),
            ("rights", .string(rights(area.flags))), ("backing", .string(backing)),
            ("offset", .integer(Int64(offset))), ("flags", .string(flags)),
          ])
      }
      call.returns(LuaHandle("listing", listing))
    }
  }

  private static func rights(_ flags: MemoryArea.Flags) -> String {
    (flags.contains(.read) ? "r" : "-") + (flags.contains(.write) ? "w" : "-") + "-"
      + (flags.contains(.shared) ? "s" : "p")
  }

  private static func words(_ flags: MemoryArea.Flags) -> String {
    let names: [(MemoryArea.Flags, String)] = [
      (.locked, "locked"), (.io, "io"), (.pfnMap, "pfnmap"), (.hugePage, "hugepage"),
      (.noHugePage, "nohugepage"), (.dontCopy, "dontfork"), (.noMovable, "nomovable"),
      (.mightPin, "mightpin"),
    ]
    return names.filter { flags.contains($0.0) }.map(\.1).joined(separator: " ")
  }

  private static func name(_ area: MemoryArea, _ object: MachineObject) -> String {
    switch area.backing {
    case .anonymous: "anonymous"
    case .device(let frame): "device frames from 0x\(String(frame, radix: 16))"
    case .file(let file, _): object.machine.files[file].name
    }
  }
}

/// Neighbouring entries that show neighbouring frames.
private struct MappedRun {
  /// log2 of the bytes in a page.
  var shift: Int
  var page: Int
  var pages: Int
  var pfn: Int
  var level: PageTableLevel
  var flags: PageTableEntry.Flags

  func continues(in next: MappedRun) -> Bool {
    page + pages == next.page && level == next.level && flags == next.flags
      && (flags.contains(.special) && !flags.contains(.device) && level == .pte
        ? pfn == next.pfn : pfn + pages == next.pfn)
  }

  private var words: String {
    let names: [(PageTableEntry.Flags, String)] = [
      (.write, "write"), (.dirty, "dirty"), (.young, "young"), (.exclusive, "exclusive"),
      (.special, "special"), (.device, "device"), (.protNone, "protnone"),
      (.migration, "migration"), (.swap, "swap"),
    ]
    return names.filter { flags.contains($0.0) }.map(\.1).joined(separator: " ")
  }

  var text: String {
    let size = formatSize(pages << shift).padded(9)
    return "0x\(String(page << shift, radix: 16)) \(size) \(MemoryLibrary.levelLetter(level)) "
      + "\(flags.contains(.swap) ? "slot" : "pfn") 0x\(String(pfn, radix: 16)) \(words)"
  }

  var fields: [(name: String, value: LuaValue)] {
    [
      ("address", .integer(Int64(page << shift))), ("pages", .integer(Int64(pages))),
      (flags.contains(.swap) ? "slot" : "pfn", .integer(Int64(pfn))),
      ("level", .string(MemoryLibrary.levelLetter(level))),
      ("flags", .string(words)),
    ]
  }
}

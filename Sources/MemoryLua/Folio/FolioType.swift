internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryRender

extension MemoryLibrary {
  static func folioType() -> LuaType {
    LuaType(
      "folio", MachineObject.self,
      doc: "Pages that are counted, mapped and moved as one.",
      properties: folioProperties, methods: [],
      display: { handle in
        let object = handle.owner(as: MachineObject.self)
        let answer = object.machine.why(PFN(handle.index))
        guard let facts = answer.facts else { return "\(PFN(handle.index)): no folio any more" }
        return "folio at \(facts.folio.head), order \(facts.folio.order), \(facts.kind): "
          + "ref \(facts.references), mapcount \(facts.mappings), pincount \(facts.pins)"
          + (facts.flags.isEmpty ? "" : ", " + facts.flags.joined(separator: " "))
      },
      isLive: { handle in
        let object = handle.owner(as: MachineObject.self)
        return object.machine.folio(of: PFN(handle.index))?.head.index == handle.index
      })
  }

  /// A count of the folio that the handle's frame belongs to; nil in none.
  static func folioCount(
    _ name: String, _ doc: String, _ read: @escaping @Sendable (MachineObject, Folio) -> Int
  ) -> LuaProperty {
    LuaProperty(name, .integer(), doc) { call in
      let object = call.object(as: MachineObject.self)
      guard let folio = object.machine.folio(of: PFN(call.index)) else { return call.returnsNil() }
      call.returns(read(object, folio))
    }
  }

  private static func pins(_ object: MachineObject, _ folio: Folio) -> Int {
    object.machine.frames.head(folio.head).flags.contains(.folio)
      ? object.machine.pinCount(folio) : 0
  }

  /// What pages and folios both tell of their folio.
  static var holderProperties: [LuaProperty] {
    [
      folioCount("ref", "References of its folio; nil in none.") { $0.machine.references($1) },
      folioCount(
        "expected_ref", "References that mappings and caches account for (rule P1.7); nil in none."
      ) { $0.machine.expectedReferences($1) },
      folioCount(
        "pincount",
        "Pins of its folio: exact for large ones, references / 1024 for a page (rule P1.4)."
      ) { pins($0, $1) },
      LuaProperty("flags", .string, "Flags of its folio, as names; nil in none.") { call in
        let object = call.object(as: MachineObject.self)
        guard let facts = object.machine.why(PFN(call.index)).facts else {
          return call.returnsNil()
        }
        call.returns(facts.flags.joined(separator: " "))
      },
      flag("dirty", "Its folio is dirty.", .dirty),
      LuaProperty("lru", .string, "The LRU list that its folio is on; nil for none.") { call in
        let object = call.object(as: MachineObject.self)
        guard let folio = object.machine.folio(of: PFN(call.index)) else {
          return call.returnsNil()
        }
        let state = object.machine.frames.head(folio.head)
        guard state.isLRU else { return call.returnsNil() }
        call.returns(state.lruList.name)
      },
      LuaProperty(
        "pinnable", .boolean, "A long-term pin may stay on its folio (rule P3.1); nil in none."
      ) { call in
        let object = call.object(as: MachineObject.self)
        guard let folio = object.machine.folio(of: PFN(call.index)) else {
          return call.returnsNil()
        }
        call.returns(object.machine.isLongTermPinnable(folio))
      },
      LuaProperty(
        "mapped_by", .table, "Who shows it: tables with guest, address and level, p, m or u."
      ) { call in
        let object = call.object(as: MachineObject.self)
        call.returns(LuaTable(object.machine.why(PFN(call.index)).places.map { row($0, object) }))
      },
    ]
  }

  static func row(_ place: PageExplanation.Place, _ object: MachineObject) -> LuaValue {
    .table(
      LuaTable(fields: [
        ("guest", .object(LuaHandle("guest", object, index: place.space))),
        ("address", .integer(Int64(place.address))),
        ("level", .string(levelLetter(place.level))),
      ]))
  }

  /// The letter of a level: `p` for a PTE, `m` for a PMD leaf, `u` for a PUD leaf.
  static func levelLetter(_ level: PageTableLevel) -> String {
    switch level {
    case .pte: "p"
    case .pmd: "m"
    case .pud: "u"
    case .pgd: "g"
    }
  }

  private static func flag(
    _ name: String, _ doc: String, _ flag: FrameState.Flags
  ) -> LuaProperty {
    LuaProperty(name, .boolean, doc) { call in
      let object = call.object(as: MachineObject.self)
      guard let folio = object.machine.folio(of: PFN(call.index)) else {
        return call.returns(false)
      }
      call.returns(object.machine.frames.head(folio.head).flags.contains(flag))
    }
  }

  private static var folioProperties: [LuaProperty] {
    [
      LuaProperty("pfn", .pfn, "Its first frame.") { call in call.returns(call.index) },
      LuaProperty("page", .object("page"), "Its first page.") { call in
        call.returns(LuaHandle("page", call.object(as: MachineObject.self), index: call.index))
      },
      folioCount("order", "log2 of its pages.") { $1.order },
      folioCount("pages", "Its pages.") { $1.pages },
      folioCount("mapcount", "Entries that show it or a page of it.") { $0.machine.mappings($1) },
      folioCount("entire_mapcount", "Leaves that show all of it.") {
        $0.machine.entireMappings($1)
      },
    ] + holderProperties
  }
}

internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel

/// What `why` found out, for a script to take apart.
final class ExplanationObject {
  let answer: PageExplanation
  let machine: MachineObject

  init(_ answer: PageExplanation, _ machine: MachineObject) {
    self.answer = answer
    self.machine = machine
  }
}

extension MemoryLibrary {
  static func explanationType() -> LuaType {
    LuaType(
      "explanation", ExplanationObject.self,
      doc: "Why a page is where it is, and what could be done with it, when it was asked for.",
      properties: explanationProperties, methods: [],
      display: { $0.owner(as: ExplanationObject.self).answer.description })
  }

  private static func property(
    _ name: String, _ type: LuaParameterType, _ doc: String,
    _ read: @escaping @Sendable (PageExplanation) -> LuaValue
  ) -> LuaProperty {
    LuaProperty(name, type, doc) { call in
      call.returns(read(call.object(as: ExplanationObject.self).answer))
    }
  }

  private static func text(_ text: String?) -> LuaValue { text.map { .string($0) } ?? .nil }

  private static var explanationProperties: [LuaProperty] {
    [
      property("text", .string, "The lines that it prints.") { .string($0.description) },
      property("pfn", .pfn, "The page.") { .integer(Int64($0.pfn.rawValue)) },
      property("state", .string, "hole, reserved, free, pcp, pool or allocated.") {
        .string($0.state.rawValue)
      },
      property("kind", .string, "What it is used for; nil when it is not allocated.") {
        text($0.facts?.kind)
      },
      property("zone", .string, "The name of its zone.") { text($0.zone) },
      property("migratetype", .string, "The type of its pageblock.") {
        .string($0.pageblockType.name)
      },
      property("cma", .string, "The CMA area that it lies in; nil for none.") { text($0.cmaArea) },
      property("movable", .boolean, "Whether it could be migrated now; nil for free pages.") {
        $0.migration.map { .boolean($0.isPossible) } ?? .nil
      },
      property("reason", .string, "Why it cannot be migrated; nil when it can.") {
        $0.migration.flatMap { $0.isPossible ? nil : $0.reason }.map { .string($0) } ?? .nil
      },
      property("rule", .string, "The rule behind `movable`.") { text($0.migration?.rule) },
      property("pinnable", .boolean, "Whether a long-term pin may stay on it; nil for no folio.") {
        $0.pinning.map { .boolean($0.isPossible) } ?? .nil
      },
      property("pin_reason", .string, "What a long-term pin would do, and why.") {
        text($0.pinning?.reason)
      },
      property("pin_rule", .string, "The rule behind `pinnable`.") { text($0.pinning?.rule) },
      property(
        "holders", .table,
        "Who has references beyond mappings and caches: tables with kind, text, references, operation."
      ) { answer in
        .table(
          LuaTable(
            answer.holders.map { holder in
              .table(
                LuaTable(fields: [
                  ("kind", .string(holder.kind.rawValue)), ("text", .string(holder.text)),
                  ("references", .integer(Int64(holder.references))),
                  ("operation", holder.operation.map { .integer(Int64($0)) } ?? .nil),
                ]))
            }))
      },
      LuaProperty(
        "mapped_by", .table, "Who shows it: tables with guest, address and level, p, m or u."
      ) { call in
        let object = call.object(as: ExplanationObject.self)
        call.returns(LuaTable(object.answer.places.map { row($0, object.machine) }))
      },
    ]
  }
}

internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel

/// A comparison of two machines, as a Lua object.
final class DifferenceObject {
  let difference: MachineDifference
  let text: String

  init(_ difference: MachineDifference, _ text: String) {
    self.difference = difference
    self.text = text
  }
}

extension MemoryLibrary {
  static func differenceType() -> LuaType {
    func count(
      _ name: String, _ doc: String, _ read: @escaping @Sendable (MachineDifference) -> Int
    ) -> LuaProperty {
      LuaProperty(name, .integer(), doc) { call in
        call.returns(read(call.object(as: DifferenceObject.self).difference))
      }
    }
    return LuaType(
      "difference", DifferenceObject.self, doc: "What differs between two machines.",
      properties: [
        count("moved", "Pages of guests that lie in other frames.") { $0.moved },
        count("appeared", "Pages that were not present before.") { $0.appeared },
        count("gone", "Pages that are not present any more.") { $0.gone },
        count("frames", "Frames whose state or counts differ.") { $0.frames },
        LuaProperty("same", .boolean, "Whether nothing differs.") { call in
          call.returns(call.object(as: DifferenceObject.self).difference.isEmpty)
        },
        LuaProperty(
          "pages", .table, "The first thousand such pages: guest, address, before, now (pfns)."
        ) { call in
          call.returns(
            LuaTable(
              call.object(as: DifferenceObject.self).difference.pages.map { page in
                var fields: [(name: String, value: LuaValue)] = [
                  ("guest", .string(page.guest)), ("address", .integer(Int64(page.page) << 12)),
                ]
                if let before = page.before {
                  fields.append(("before", .integer(Int64(before.index))))
                }
                if let now = page.now { fields.append(("now", .integer(Int64(now.index)))) }
                return .table(LuaTable(fields: fields))
              }))
        },
        LuaProperty("counts", .table, "By name, by how much each counter differs.") { call in
          call.returns(
            LuaTable(
              fields: call.object(as: DifferenceObject.self).difference.counts.map {
                ($0.name, .integer(Int64($0.now - $0.before)))
              }))
        },
        LuaProperty("holders", .table, "Processes, pins and references: + new, - gone.") { call in
          call.returns(
            LuaTable(
              call.object(as: DifferenceObject.self).difference.holders.map { .string($0) }))
        },
      ],
      methods: [], display: { $0.owner(as: DifferenceObject.self).text })
  }
}

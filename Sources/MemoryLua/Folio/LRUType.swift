internal import LuaBridge
internal import MemoryModel

/// The LRU lists and batches when they were asked for.
final class LRUObject {
  struct Batch {
    var cpu: Int
    var kind: LRUBatchKind
    var pages: [PFN]
  }

  /// Folios by node and list.
  let lists: [[Int]]
  /// Batches that hold something.
  let batches: [Batch]

  init(_ object: MachineObject) {
    lists = (0..<object.machine.nodeCount).map { node in
      LRUList.allCases.map { object.machine.lruCount(node: node, $0) }
    }
    batches = (0..<object.machine.cpuCount).flatMap { cpu in
      LRUBatchKind.allCases.compactMap { kind in
        let pages = object.machine.lruBatch(cpu: cpu, kind)
        return pages.isEmpty ? nil : Batch(cpu: cpu, kind: kind, pages: pages)
      }
    }
  }

  var text: String {
    var lines = lists.enumerated().map { node, counts in
      "node \(node): "
        + zip(LRUList.allCases, counts).map { "\($0.name) \($1)" }.joined(separator: " · ")
    }
    for batch in batches {
      let shown = batch.pages.prefix(4).map { "0x" + String($0.rawValue, radix: 16) }
      lines.append(
        "CPU \(batch.cpu) \(batch.kind.name): \(batch.pages.count) waiting, "
          + shown.joined(separator: " ") + (batch.pages.count > 4 ? " …" : ""))
    }
    return lines.joined(separator: "\n")
  }
}

extension MemoryLibrary {
  static func lruType() -> LuaType {
    LuaType(
      "lru", LRUObject.self, doc: "The LRU lists and batches, when they were asked for.",
      properties: [
        LuaProperty(
          "lists", .table,
          "For each node a table: folios on inactive_anon, active_anon, inactive_file, active_file, "
            + "unevictable."
        ) { call in
          call.returns(
            LuaTable(
              call.object(as: LRUObject.self).lists.map { counts in
                .table(
                  LuaTable(
                    fields: zip(LRUList.allCases, counts).map {
                      ($0.name, .integer(Int64($1)))
                    }))
              }))
        },
        LuaProperty(
          "batches", .table,
          "Batches that hold something: tables with cpu, name, count and pfns, oldest first."
        ) { call in
          call.returns(
            LuaTable(
              call.object(as: LRUObject.self).batches.map { batch in
                .table(
                  LuaTable(fields: [
                    ("cpu", .integer(Int64(batch.cpu))), ("name", .string(batch.kind.name)),
                    ("count", .integer(Int64(batch.pages.count))),
                    (
                      "pfns",
                      .table(LuaTable(batch.pages.map { .integer(Int64($0.rawValue)) }))
                    ),
                  ]))
              }))
        },
      ],
      methods: [], display: { $0.owner(as: LRUObject.self).text })
  }
}

public import MemoryModel

/// Every list of a machine in order, and every pageblock type: what decides the next pfn.
public struct ListSnapshot: Equatable {
  /// `zone/order/type: pfns` and `zone/cpu/list: pfns`, empty ones left out.
  public var lists: [String: [Int]] = [:]
  public var types: [MigrateType] = []

  public init(_ machine: borrowing Machine, types wantsTypes: Bool = true) {
    for zone in machine.populatedZones {
      for order in 0...machine.geometry.maxOrder {
        for type in MigrateType.allCases {
          let blocks = machine.freeBlocks(zone, order: order, type)
          if !blocks.isEmpty { lists["zone \(zone) free \(order)/\(type.name)"] = blocks }
        }
      }
      for cpu in 0..<machine.cpuCount {
        for list in 0..<PerCPUPages.listCount {
          let blocks = machine.perCPUBlocks(zone, cpu: cpu, list: list)
          if !blocks.isEmpty { lists["zone \(zone) cpu \(cpu) list \(list)"] = blocks }
        }
      }
    }
    for pool in machine.allHugePools {
      let pages = machine.freeHugePages(order: pool.order)
      if !pages.isEmpty { lists["huge pages of order \(pool.order)"] = pages.map(\.index) }
    }
    guard wantsTypes else { return }
    let order = machine.geometry.pageblockOrder
    types = (0..<machine.frames.pageblockCount).map {
      machine.frames.migrateType(PFN($0 << order))
    }
  }

  /// The first list or pageblock that differs, in words; nil when nothing does.
  public func difference(from other: ListSnapshot) -> String? {
    for name in Set(lists.keys).union(other.lists.keys).sorted()
    where lists[name] != other.lists[name] {
      return "\(name): \(other.lists[name] ?? []) became \(lists[name] ?? [])"
    }
    for (index, type) in types.enumerated()
    where index < other.types.count && other.types[index] != type {
      return "pageblock \(index): \(other.types[index].name) became \(type.name)"
    }
    return nil
  }
}

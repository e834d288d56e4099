// What a call that failed must leave as it was, and how to tell a page that moved from one that was
// lost: pages are known by what they hold, frames by who has them.

public import MemoryModel

/// A machine as a set of facts: where each page of memory lies, which frames are free, and everything
/// that no move may change.
///
/// Batches and per-CPU lists count as sent home: a call that fails has sent them home, too.
public struct MachineFacts {
  /// A page by its content: the page of a file or of an anonymous region.
  private struct Page: Hashable {
    var mapping: UInt32
    var index: Int
  }

  /// A frame with such a page.
  ///
  /// A private copy has the identity of its original, so there may be several.
  private struct Place: Hashable {
    var pfn: Int
    var order: Int
    var references: Int
    var mappings: Int
    var pins: Int
    /// But for ``accessFlags``.
    var state: UInt32
  }

  /// Taking an entry away dirties the folio, also when the entry comes back, and a look at a page marks
  /// it as referenced.
  private static let accessFlags: FrameState.Flags = [.dirty, .referenced]

  private var pages: [Page: [Place]] = [:]
  /// Free huge pages, by order.
  private var pools: [Int: [Int]] = [:]
  /// Blocks in use that are no folios.
  private var fixed: [Int: UInt32] = [:]
  private var isFree: [Bool] = []
  private var types: [MigrateType] = []
  /// Every free block, `zone/order/type: frames`, ascending.
  private var blocks: [String: [Int]] = [:]
  private var numbers: [String: String] = [:]
  private var lists: [String: Int] = [:]
  private var entries: [String: [UInt64]] = [:]

  public init(_ original: borrowing Machine) throws {
    var machine = try original.fork()
    machine.failAllocation = 0
    machine.drainAllLRU()
    machine.drainAllPages()
    types = (0..<machine.frames.pageblockCount).map {
      machine.frames.migrateType(PFN($0 << machine.geometry.pageblockOrder))
    }
    collectFrames(machine)
    collectNumbers(machine)
    for zone in machine.populatedZones {
      for order in 0...machine.geometry.maxOrder {
        for type in MigrateType.allCases {
          let free = machine.freeBlocks(zone, order: order, type)
          if !free.isEmpty { blocks["\(zone)/\(order)/\(type.name)"] = free.sorted() }
        }
      }
    }
    for space in machine.spaces.indices where machine.spaces[space].isAlive {
      for area in machine.spaces[space].areas {
        entries["entries of \(space) at \(area.start)"] = (area.start..<area.end).map { page in
          let (entry, _, level) = machine.entry(space, page: page)
          return UInt64(entry.flags.rawValue) << 8 | UInt64(level.rawValue)
        }
      }
    }
  }

  private mutating func collectFrames(_ machine: borrowing Machine) {
    isFree = Array(repeating: false, count: machine.frames.count)
    var at = 0
    while at < machine.frames.count {
      let state = machine.frames.head(PFN(at))
      let end = state.kind == .none ? at + 1 : at + 1 << state.order
      defer { at = end }
      switch state.kind {
      case .none: continue
      case .free, .perCPU: for pfn in at..<end { isFree[pfn] = true }
      case .hugePool: pools[state.order, default: []].append(at)
      case .allocated:
        guard let folio = machine.folio(of: PFN(at)) else {
          fixed[at] = state.rawValue
          continue
        }
        let (mapping, index) = machine.owner(folio)
        for offset in 0..<folio.pages {
          let place = Place(
            pfn: at + offset, order: folio.order, references: machine.references(folio),
            mappings: machine.mappings(folio), pins: machine.pinCount(folio),
            state: state.rawValue & ~Self.accessFlags.rawValue)
          pages[Page(mapping: mapping.rawValue, index: index + offset), default: []].append(place)
        }
      }
    }
  }

  private mutating func collectNumbers(_ machine: borrowing Machine) {
    for id in 0..<machine.zoneCount {
      let zone = machine.zone(id)
      var text = "start \(zone.start) spanned \(zone.spanned) present \(zone.present)"
      text += " managed \(zone.managed) cma \(zone.cmaPages) isolated \(zone.isolatedPageblocks)"
      text += " atomic \(zone.reservedHighAtomic) drift \(zone.percpuDriftMark)"
      text += " high \(zone.highMin) \(zone.highMax) batch \(zone.batch)"
      text += " threshold \(zone.statThreshold) boost \(zone.watermarkBoost) marks"
      for mark in 0..<4 { text += " \(zone.watermarks[mark])" }
      text += " reserve"
      for upper in 0..<ZoneIndex.count { text += " \(zone.lowmemReserve[upper])" }
      numbers["zone \(id)"] = text
      for cpu in 0..<machine.cpuCount {
        let local = machine.perCPUPages(zone: id, cpu: cpu)
        numbers["per-CPU pages of zone \(id), CPU \(cpu)"] =
          "\(local.highMin) \(local.highMax) \(local.batch)"
      }
    }
    for area in machine.cmaAreas.indices {
      numbers["bitmap of \(machine.cmaAreas[area].name)"] = "\(machine.cmaSetRuns(area: area))"
    }
    numbers["totalreserve_pages"] = "\(machine.totalReserve)"
    numbers["lru_disable_count"] = "\(machine.lruDisableCount)"
    numbers["cma_mutex"] = "\(machine.isCMAMutexHeld)"
    numbers["operations in progress"] = "\(machine.operationsInProgress)"
    numbers["memory"] = "\(machine.memory) \(machine.offlineMemory)"
    numbers["settings"] = "\(machine.settings)"
    numbers["pins"] = "\(machine.pins.map { [$0.id, $0.pages] })"
    for space in machine.spaces.indices {
      let value = machine.spaces[space]
      numbers["process \(space)"] =
        "\(value.isAlive) \(value.areas.count) anon \(value.anonymousPages) file \(value.filePages)"
        + " shmem \(value.shmemPages) huge \(value.hugetlbPages) locked \(value.lockedPages)"
        + " lock \(value.mmapLock)"
    }
    for order in [machine.geometry.hugeOrder, machine.geometry.giganticOrder] {
      guard let pool = machine.hugePool(order: order) else { continue }
      numbers["huge pages of order \(order)"] =
        "\(pool.total) \(pool.free) \(pool.reserved) \(pool.surplus)"
    }
    let isolated = [NodeItem.isolatedAnon, .isolatedFile]
    for item in isolated {
      numbers[VMStatNames.nodeItems[item.rawValue]] = "\(machine.total(item))"
    }
    let others: [NodeItem] = [.anonMapped, .fileMapped, .filePages, .dirty, .shmem, .pageTable]
    for item in others { lists[VMStatNames.nodeItems[item.rawValue]] = machine.total(item) }
    for list in LRUList.allCases {
      lists[list.name] = (0..<machine.nodeCount).reduce(0) {
        $0 + machine.nodeItem(list.rawValue, node: $1)
      }
    }
  }

  /// Where pages of memory lie that lay elsewhere, as many frames as have been left.
  public func moved(since before: MachineFacts) -> Int {
    pages.reduce(0) { count, page in
      let was = Set((before.pages[page.key] ?? []).map(\.pfn))
      return count + page.value.count { !was.contains($0.pfn) }
    }
  }

  /// The first thing that differs from before beyond what moves explain, in words.
  ///
  /// - Parameters:
  ///   - reclaimed: Clean pages of files that may be gone.
  ///   - maySplit: Folios of several pages may have become single pages.
  ///   - range: Where pageblocks must have their types back; elsewhere a page that moves may claim a
  ///     pageblock, as any request may.
  public func harm(
    since before: MachineFacts, reclaimed: Int = 0, maySplit: Bool = false,
    in range: PFNRange? = nil
  ) -> String? {
    for (name, value) in before.numbers.sorted(by: { $0.key < $1.key })
    where numbers[name] != value {
      return "\(name): \(numbers[name] ?? "gone"), before \(value)"
    }
    if reclaimed == 0 {
      for (name, value) in before.lists where lists[name] != value {
        return "\(name): \(lists[name] ?? 0), before \(value)"
      }
    }
    if let harm = harmToTypes(before, range) { return harm }
    if !maySplit {
      for (name, value) in before.entries where entries[name] != value {
        let page = zip(entries[name] ?? [], value).enumerated().first { $1.0 != $1.1 }
        return "\(name), page \(page?.offset ?? -1): "
          + "\(page.map { String($1.0, radix: 16) } ?? "gone"), before "
          + "\(page.map { String($1.1, radix: 16) } ?? "there")"
      }
    }
    if fixed != before.fixed {
      let pfn = Set(fixed.keys).union(before.fixed.keys).sorted().first {
        fixed[$0] != before.fixed[$0]
      }
      let at = pfn ?? 0
      return "the block of the kernel at \(PFN(at)): "
        + "\(fixed[at].map { "\(FrameState(rawValue: $0))" } ?? "gone"), before "
        + "\(before.fixed[at].map { "\(FrameState(rawValue: $0))" } ?? "free")"
    }
    return harmToPages(before, reclaimed, maySplit)
  }

  private func harmToTypes(_ before: MachineFacts, _ range: PFNRange?) -> String? {
    for (index, type) in types.enumerated() where type != before.types[index] {
      let at = index * (isFree.count / max(1, types.count))
      if let range, !range.contains(PFN(at)), type == .movable,
        [.unmovable, .reclaimable].contains(before.types[index])
      {
        continue
      }
      return "pageblock \(index) is \(type.name), before \(before.types[index].name)"
    }
    return nil
  }

  private func harmToPages(
    _ before: MachineFacts, _ reclaimed: Int, _ maySplit: Bool
  ) -> String? {
    var left: Set<Int> = []
    var reached: Set<Int> = []
    var gone = 0
    for (page, was) in before.pages {
      let now = pages[page] ?? []
      if now.count < was.count {
        gone += was.count - now.count
        if gone > reclaimed {
          return "\(was.map { PFN($0.pfn) }) held page \(page.index) of mapping \(page.mapping), "
            + "now \(now.map { PFN($0.pfn) })"
        }
      } else if now.count > was.count {
        return "page \(page.index) of mapping \(page.mapping) is there \(now.count) times"
      } else if !maySplit, Self.shapes(now) != Self.shapes(was) {
        return "page \(page.index) of mapping \(page.mapping): \(now), before \(was)"
      }
      left.formUnion(Set(was.map(\.pfn)).subtracting(now.map(\.pfn)))
      reached.formUnion(Set(now.map(\.pfn)).subtracting(was.map(\.pfn)))
    }
    if let page = pages.keys.first(where: { before.pages[$0] == nil }) {
      return "page \(page.index) of mapping \(page.mapping) was not there before"
    }
    for (order, was) in before.pools {
      let now = pools[order] ?? []
      for pfn in Set(was).subtracting(now) { left.formUnion(pfn..<pfn + 1 << order) }
      for pfn in Set(now).subtracting(was) { reached.formUnion(pfn..<pfn + 1 << order) }
    }
    for pfn in isFree.indices where isFree[pfn] != before.isFree[pfn] {
      if isFree[pfn] ? !left.contains(pfn) : !reached.contains(pfn) {
        return "\(PFN(pfn)) is \(isFree[pfn] ? "free" : "in use"), and no page has "
          + (isFree[pfn] ? "left it" : "come to it")
      }
    }
    // Nothing has moved: not a free block may differ.
    if left.isEmpty, reached.isEmpty, blocks != before.blocks {
      let name = Set(blocks.keys).union(before.blocks.keys).sorted().first {
        blocks[$0] != before.blocks[$0]
      }
      return "free blocks \(name ?? ""): \(blocks[name ?? ""] ?? []), before "
        + "\(before.blocks[name ?? ""] ?? [])"
    }
    return nil
  }

  /// Everything about places but the frames.
  private static func shapes(_ places: [Place]) -> [Place: Int] {
    var found: [Place: Int] = [:]
    for var place in places {
      place.pfn = 0
      found[place, default: 0] += 1
    }
    return found
  }
}

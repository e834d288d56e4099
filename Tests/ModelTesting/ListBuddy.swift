public import MemoryModel

// A buddy allocator that is slow and obvious: one Swift array per list, rules A3.1 to A3.25 read
// aloud. It shares no code with the model, knows one zone and no per-CPU lists, and its watermarks
// are all zero.

/// The free lists of one zone as plain arrays, the head at index 0.
public struct ListBuddy {
  public var lists: [[MigrateType: [Int]]]
  /// By pageblock, from pfn 0.
  public var types: [MigrateType]
  /// Frames that migration could move: the claim rule counts them (A3.22).
  public var isMovable: [Bool]
  public var free: LaggingCounter
  public var freeCMA: LaggingCounter

  let zone: Range<Int>
  let fallback: Kernel.FallbackRegime
  let maxOrder = 10
  let pageblockOrder = 9

  /// A counter with a global and a pending part (rule A0.4).
  public struct LaggingCounter: Equatable {
    public var global: Int
    public var pending = 0
    public var threshold: Int

    mutating func add(_ pages: Int) {
      pending += pages
      if abs(pending) > threshold {
        global += pending
        pending = 0
      }
    }
  }

  enum Stage: Int { case own, cma, claim, steal }

  /// Starts from the free lists of a machine whose per-CPU lists are empty.
  public init(_ machine: borrowing Machine, zone id: Int) {
    let source = machine.zone(id)
    zone = source.start..<source.end
    fallback = machine.kernel.fallback
    lists = (0...10).map { order in
      var row: [MigrateType: [Int]] = [:]
      for type in MigrateType.allCases {
        row[type] = machine.freeBlocks(id, order: order, type)
      }
      return row
    }
    types = (0..<machine.frames.pageblockCount).map { machine.frames.migrateType(PFN($0 << 9)) }
    isMovable = Array(repeating: false, count: machine.frames.count)
    free = LaggingCounter(global: source.freePages, threshold: source.statThreshold)
    freeCMA = LaggingCounter(global: source.freeCMAPages, threshold: source.statThreshold)
  }

  private func type(of pfn: Int) -> MigrateType { types[pfn >> pageblockOrder] }

  /// Rule A3.1.
  private mutating func account(_ pages: Int, _ type: MigrateType) {
    free.add(pages)
    if type == .cma { freeCMA.add(pages) }
  }

  // MARK: Freeing

  /// Rule A3.12.
  public mutating func giveBack(_ pfn: Int, order: Int) {
    for frame in pfn..<pfn + 1 << order { isMovable[frame] = false }
    let piece = min(order, pageblockOrder)
    for at in stride(from: pfn, to: pfn + 1 << order, by: 1 << piece) {
      core(at, order: piece)
    }
  }

  /// Rules A3.8 to A3.10.
  private mutating func core(_ start: Int, order startOrder: Int) {
    var (pfn, order) = (start, startOrder)
    let own = type(of: pfn)
    account(1 << order, own)
    while order < maxOrder {
      let buddy = pfn ^ (1 << order)
      guard isFree(buddy, order) else { break }
      let other = type(of: buddy)
      if order >= 9, other != own, !(own.rawValue < 3 && other.rawValue < 3) { break }
      lists[order][other]!.removeAll { $0 == buddy }
      if other != own { types[buddy >> pageblockOrder] = own }
      pfn &= buddy
      order += 1
    }
    let parent = pfn & ~(1 << order)
    if order <= 8, isFree(parent ^ (2 << order), order + 1) {
      lists[order][own]!.append(pfn)
    } else {
      lists[order][own]!.insert(pfn, at: 0)
    }
  }

  /// Rule A3.4.
  private func isFree(_ pfn: Int, _ order: Int) -> Bool {
    lists[order].values.contains { $0.contains(pfn) }
  }

  // MARK: Taking

  /// A request that skips the per-CPU lists and finds every watermark at zero (rule A4.2).
  public mutating func allocate(
    order: Int, _ type: MigrateType, cma: Bool, noFragment: Bool
  ) -> Int? {
    for avoids in noFragment ? [true, false] : [false] {
      let unusable = 1 << order - 1 + (cma ? 0 : max(freeCMA.global, 0))
      guard max(free.global, 0) - unusable > 0 else { continue }
      let isReachable = (order...maxOrder).contains { order in
        MigrateType.allCases.contains {
          ($0.rawValue < 3 || (cma && $0 == .cma)) && !lists[order][$0]!.isEmpty
        }
      }
      guard isReachable else { continue }
      if let pfn = take(order: order, type, cma: cma, noFragment: avoids) { return pfn }
    }
    return nil
  }

  /// Rules A3.19, A3.20 and A3.25 for one block.
  public mutating func take(
    order: Int, _ type: MigrateType, cma: Bool, noFragment: Bool
  ) -> Int? {
    if cma, max(freeCMA.global, 0) > max(free.global, 0) / 2, let pfn = smallest(order, .cma) {
      return pfn
    }
    if let pfn = smallest(order, type) { return pfn }
    if cma, let pfn = smallest(order, .cma) { return pfn }
    switch fallback {
    case .claimThenSteal:
      if let pfn = claim(order, type, noFragment: noFragment) { return pfn }
      return noFragment ? nil : steal(order, type)
    case .single:
      return single(order, type, noFragment: noFragment)
    case .moveAndRetry:
      preconditionFailure("judged by its recordings alone")
    }
  }

  /// Rule A3.15.
  private mutating func smallest(_ order: Int, _ type: MigrateType) -> Int? {
    for current in order...maxOrder {
      guard let pfn = lists[current][type]!.first else { continue }
      return cut(pfn, from: current, to: order, listed: type)
    }
    return nil
  }

  private mutating func cut(_ pfn: Int, from: Int, to: Int, listed type: MigrateType) -> Int {
    lists[from][type]!.removeAll { $0 == pfn }
    putBack(pfn, from: from, to: to, type)
    account(-(1 << to), type)
    return pfn
  }

  private mutating func putBack(_ pfn: Int, from: Int, to: Int, _ type: MigrateType) {
    for order in (to..<max(from, to)).reversed() {
      lists[order][type]!.insert(pfn + 1 << order, at: 0)
    }
  }

  /// Rule A3.16.
  private static let table: [MigrateType: [MigrateType]] = [
    .unmovable: [.reclaimable, .movable], .movable: [.reclaimable, .unmovable],
    .reclaimable: [.unmovable, .movable],
  ]

  /// Rule A3.18.
  private func suitable(_ order: Int, _ type: MigrateType) -> (MigrateType, claimable: Bool)? {
    guard let found = Self.table[type]!.first(where: { !lists[order][$0]!.isEmpty }) else {
      return nil
    }
    return (found, order >= 4 || type != .movable)
  }

  /// Rule A3.21.
  private mutating func claim(_ order: Int, _ type: MigrateType, noFragment: Bool) -> Int? {
    for current in ((order < 9 && noFragment ? 9 : order)...maxOrder).reversed() {
      guard let (other, claimable) = suitable(current, type) else { continue }
      guard claimable else { return nil }
      let block = lists[current][other]![0]
      if let pfn = claim(block, current, order, type, from: other) { return pfn }
    }
    return nil
  }

  /// Rule A3.22.
  private mutating func claim(
    _ block: Int, _ current: Int, _ order: Int, _ type: MigrateType, from other: MigrateType
  ) -> Int? {
    if current >= 9 {
      lists[current][other]!.removeAll { $0 == block }
      account(-(1 << current), other)
      for at in stride(from: block, to: block + 1 << current, by: 512) { types[at >> 9] = type }
      putBack(block, from: current, to: order, type)
      account(1 << current - 1 << order, type)
      return block
    }
    let pageblock = block & ~511..<(block & ~511) + 512
    guard zone.contains(pageblock.lowerBound), pageblock.upperBound <= zone.upperBound else {
      return nil
    }
    var inside: [(pfn: Int, order: Int)] = []
    for order in 0..<9 {
      for pfn in lists[order][other]! where pageblock.contains(pfn) { inside.append((pfn, order)) }
    }
    let free = inside.reduce(0) { $0 + 1 << $1.order }
    let movable = pageblock.count { isMovable[$0] }
    let alike = type == .movable ? movable : other == .movable ? 512 - free - movable : 0
    guard free + alike >= 256 else { return nil }
    // Rule A3.17: ascending, to the tails, without merging.
    for (pfn, order) in inside.sorted(by: { $0.pfn < $1.pfn }) {
      lists[order][other]!.removeAll { $0 == pfn }
      lists[order][type]!.append(pfn)
      account(-(1 << order), other)
      account(1 << order, type)
    }
    types[block >> 9] = type
    return smallest(order, type)
  }

  /// Rule A3.24.
  private mutating func steal(_ order: Int, _ type: MigrateType) -> Int? {
    for current in order...maxOrder {
      guard let (other, _) = suitable(current, type) else { continue }
      return cut(lists[current][other]![0], from: current, to: order, listed: other)
    }
    return nil
  }

  /// Rule A3.25.
  private mutating func single(_ order: Int, _ type: MigrateType, noFragment: Bool) -> Int? {
    for current in ((order < 9 && noFragment ? 9 : order)...maxOrder).reversed() {
      guard let (other, claimable) = suitable(current, type) else { continue }
      // Only whole pageblocks and claimable blocks may change hands; the rest is taken as it is.
      if !claimable, type == .movable { return steal(order, type) }
      let block = lists[current][other]![0]
      if claimable || current >= 9,
        let pfn = claim(block, current, order, type, from: other)
      {
        return pfn
      }
      return cut(block, from: current, to: order, listed: other)
    }
    return nil
  }

  // MARK: Comparison

  /// The first list, pageblock type or counter in which the machine differs; nil for none.
  public func difference(from machine: borrowing Machine, zone id: Int) -> String? {
    for order in 0...maxOrder {
      for type in MigrateType.allCases {
        let real = machine.freeBlocks(id, order: order, type)
        if real != lists[order][type]! {
          return "list \(order)/\(type.name): the model has \(real), plain arrays "
            + "\(lists[order][type]!)"
        }
      }
    }
    for block in zone.lowerBound >> 9..<(zone.upperBound + 511) >> 9 {
      let real = machine.frames.migrateType(PFN(block << 9))
      if real != types[block] {
        return "pageblock \(block << 9): the model says \(real.name), arrays \(types[block].name)"
      }
    }
    let source = machine.zone(id)
    let local = machine.perCPUPages(zone: id, cpu: 0)
    if (source.freePages, local.freeDiff) != (free.global, free.pending) {
      return "NR_FREE_PAGES: the model has \(source.freePages)+\(local.freeDiff), "
        + "arrays \(free.global)+\(free.pending)"
    }
    if (source.freeCMAPages, local.freeCMADiff) != (freeCMA.global, freeCMA.pending) {
      return "NR_FREE_CMA_PAGES: the model has \(source.freeCMAPages)+\(local.freeCMADiff), "
        + "arrays \(freeCMA.global)+\(freeCMA.pending)"
    }
    return nil
  }
}

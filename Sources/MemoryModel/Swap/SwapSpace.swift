// Invariant: a slot is free when nothing uses it and the swap cache has no page for it. `cluster` counts
// the slots of each cluster that are not free, `used` those of all. `slots[frame]` is the slot of a folio
// in the swap cache plus 1, kept for its first frame; the folio's pages have consecutive slots, each of
// which names its page.

/// One page of swap space.
package struct SwapSlot: BitwiseCopyable {
  /// Entries of page tables and of shmem files; the top bit says that the page had been written (P4.21).
  var uses: UInt32 = 0
  /// The frame of the page in the swap cache plus 1, or 0.
  var frame: UInt32 = 0

  static let writtenBit: UInt32 = 0x8000_0000

  var count: Int { Int(uses & ~Self.writtenBit) }
  var isFree: Bool { count == 0 && frame == 0 }
}

/// The swap space of a machine: one device that writes at once, as zram does.
///
/// Kernel: `struct swap_info_struct`, `swapper_spaces`.
package struct SwapSpace: ~Copyable {
  package let count: Int
  var table: Arena<SwapSlot>
  private var clusters: Arena<UInt16>
  var slots: Arena<UInt32>
  package private(set) var extent = Extent()

  /// What is not in the tables.
  package struct Extent: Sendable, Equatable, Hashable, Codable {
    /// Slots that are not free.
    var used = 0
    /// Pages in the swap cache.
    var cached = 0
    /// The cluster that single pages are taken from, and the slot behind the last one.
    var current = 0
    var next = 0
  }

  /// SWAPFILE_CLUSTER.
  static let clusterSlots = 512

  init(count: Int, frameCount: Int) throws(MemoryError) {
    let table = try Arena<SwapSlot>(count: count)
    let clusters = try Arena<UInt16>(count: (count + Self.clusterSlots - 1) / Self.clusterSlots)
    let slots = try Arena<UInt32>(count: count == 0 ? 0 : frameCount)
    self.count = count
    self.table = table
    self.clusters = clusters
    self.slots = slots
  }

  mutating func assign(from other: borrowing SwapSpace, goesOn: () -> Bool) {
    table.assign(from: other.table, goesOn: goesOn)
    clusters.assign(from: other.clusters, goesOn: goesOn)
    slots.assign(from: other.slots, goesOn: goesOn)
    extent = other.extent
  }

  func readTables(_ reader: inout some TableReader) throws {
    try reader.read("swap slots", table, used: table.count)
    try reader.read("swap clusters", clusters, used: clusters.count)
    try reader.read("slots of frames", slots, used: slots.count)
  }

  mutating func writeTables(_ writer: inout some TableWriter) throws {
    try writer.write("swap slots", &table)
    try writer.write("swap clusters", &clusters)
    try writer.write("slots of frames", &slots)
  }

  /// Whether an element that was read from a file is inside of what it is an index of.
  func isPossible(_ name: String, _ index: Int, frames: Int) -> Bool {
    switch name {
    case "swap slots": Int(table[index].frame) <= frames
    case "swap clusters": Int(clusters[index]) <= Self.clusterSlots
    default: Int(slots[index]) <= count
    }
  }

  /// Whether the numbers beside the tables can be.
  var hasPossibleExtent: Bool {
    (0...count).contains(extent.used) && (0...count).contains(extent.cached)
      && (0...count).contains(extent.next) && (0...clusters.count).contains(extent.current)
  }

  mutating func note(in journal: Journal?) {
    table.note(in: journal)
    clusters.note(in: journal)
    slots.note(in: journal)
  }

  mutating func restore(_ extent: Extent) { self.extent = extent }

  package var used: Int { extent.used }
  package var cached: Int { extent.cached }
  package var free: Int { count - extent.used }

  // MARK: Slots

  /// The first of as many consecutive free slots, 1 or a whole cluster; nil without any.
  ///
  /// Single pages fill a cluster from its start, then an empty cluster, then whatever has room.
  ///
  /// Kernel: `folio_alloc_swap()`, `cluster_alloc_swap_entry()`.
  mutating func allocate(pages: Int) -> Int? {
    guard free >= pages else { return nil }
    guard pages == 1 else {
      guard pages == Self.clusterSlots, let cluster = firstCluster({ $0 == 0 }, whole: true) else {
        return nil
      }
      take(cluster * Self.clusterSlots, pages)
      return cluster * Self.clusterSlots
    }
    if let slot = freeSlot(in: extent.current) {
      take(slot, 1)
      return slot
    }
    guard
      let cluster = firstCluster({ $0 == 0 }, whole: false)
        ?? firstCluster({ $0 < Self.clusterSlots }, whole: false),
      let slot = freeSlot(in: cluster)
    else { return nil }
    extent.current = cluster
    take(slot, 1)
    return slot
  }

  private func firstCluster(_ isWanted: (Int) -> Bool, whole: Bool) -> Int? {
    (0..<clusters.count).first { cluster in
      let size = min(Self.clusterSlots, count - cluster * Self.clusterSlots)
      if size <= 0 || whole && size < Self.clusterSlots { return false }
      let taken = Int(clusters[cluster])
      return taken < size && isWanted(taken)
    }
  }

  private func freeSlot(in cluster: Int) -> Int? {
    let first = cluster * Self.clusterSlots
    let end = min(first + Self.clusterSlots, count)
    guard first < end, Int(clusters[cluster]) < end - first else { return nil }
    // Behind the last one first, then from the start.
    let hint = (first..<end).contains(extent.next) ? extent.next : first
    return firstFree(hint..<end) ?? firstFree(first..<hint)
  }

  private func firstFree(_ range: Range<Int>) -> Int? {
    if range.isEmpty { return nil }
    let taken = table.countPassing(from: range.lowerBound, step: 1, limit: range.count) { slot, _ in
      !slot.isFree
    }
    return taken < range.count ? range.lowerBound + taken : nil
  }

  private mutating func take(_ slot: Int, _ pages: Int) {
    if pages == 1 { extent.next = slot + 1 }
    extent.used += pages
    clusters[slot / Self.clusterSlots] += UInt16(pages)
  }

  /// Counts a slot as free.
  ///
  /// - Precondition: Nothing uses it any more.
  private mutating func release(_ slot: Int) {
    table[slot] = SwapSlot()
    extent.used -= 1
    clusters[slot / Self.clusterSlots] -= 1
  }

  /// Gives slots back that nothing has been put into.
  mutating func giveBack(_ slot: Int, _ pages: Int) {
    for index in slot..<slot + pages { release(index) }
  }

  /// Adds one entry that names the slot.
  mutating func addUse(_ slot: Int) { table[slot].uses += 1 }

  /// Takes one away; a slot that nothing names and the cache does not hold is free.
  mutating func dropUse(_ slot: Int) {
    table[slot].uses -= 1
    if table[slot].isFree { release(slot) }
  }

  // MARK: The swap cache

  /// Puts a folio's pages into the cache, from a slot on.
  mutating func cache(_ folio: Folio, at slot: Int) {
    slots[folio.head.index] = UInt32(slot + 1)
    for offset in 0..<folio.pages {
      table[slot + offset].frame = folio.head.rawValue + UInt32(offset) + 1
    }
    extent.cached += folio.pages
  }

  /// Takes them out; slots that nothing names are free then.
  mutating func uncache(_ folio: Folio, at slot: Int) {
    slots[folio.head.index] = 0
    extent.cached -= folio.pages
    for index in slot..<slot + folio.pages {
      table[index].frame = 0
      if table[index].isFree { release(index) }
    }
  }

  /// Lets the cache name another folio, or the pages that one was broken up into.
  mutating func move(_ source: Folio, to destination: PFN, breaking: Bool = false) {
    if cached == 0 { return }
    let first = slots[source.head.index]
    if first == 0 { return }
    slots[source.head.index] = 0
    slots[destination.index] = first
    for offset in 0..<source.pages {
      table[Int(first) - 1 + offset].frame = destination.rawValue + UInt32(offset) + 1
      if breaking { slots[destination.index + offset] = first + UInt32(offset) }
    }
  }

  /// The slots that are not free, for the check.
  func countUsed(cluster: Int) -> (counted: Int, found: Int) {
    let first = cluster * Self.clusterSlots
    let found = (first..<min(first + Self.clusterSlots, count)).reduce(0) {
      $0 + (table[$1].isFree ? 0 : 1)
    }
    return (Int(clusters[cluster]), found)
  }

  var clusterCount: Int { clusters.count }
}

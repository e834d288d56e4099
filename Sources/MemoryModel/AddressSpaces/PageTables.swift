// Invariant: table t holds entries 512·t ..< 512·t + 512. Table 0 is never used, so that an entry
// of zero is "none". A table that is not in use is all zero but for its first entry, which links
// the free ones. Each table occupies a frame, as in the kernel; `frames` says which (0: a table
// whose frame the model was not told, as in a recorded state).

/// The page tables of all address spaces, 4 KiB each.
public struct PageTables: ~Copyable {
  package var entries: Arena<UInt64>
  package var frames: Arena<UInt32>
  /// Of each PMD table, the frames of PTE tables that wait for the splits of its leaves.
  package var deposits: Arena<TableDeposits>
  /// Tables ever used.
  private(set) var used = 1
  private var firstFree = 0

  static let entriesPerTable = 512
  /// 8 TiB of guest memory in 4 KiB pages; 16 GiB of address space here.
  static let capacityLimit = 1 << 22

  init(frameCount: Int) throws(MemoryError) {
    let capacity = min(Self.capacityLimit, max(frameCount, 64))
    let entries = try Arena<UInt64>(count: capacity * Self.entriesPerTable)
    let frames = try Arena<UInt32>(count: capacity)
    let deposits = try Arena<TableDeposits>(count: capacity)
    self.entries = entries
    self.frames = frames
    self.deposits = deposits
  }

  mutating func assign(from other: borrowing PageTables, goesOn: () -> Bool) {
    let prefix = max(used, other.used)
    entries.assign(from: other.entries, prefix: prefix * Self.entriesPerTable, goesOn: goesOn)
    frames.assign(from: other.frames, prefix: prefix, goesOn: goesOn)
    deposits.assign(from: other.deposits, prefix: prefix, goesOn: goesOn)
    extent = other.extent
  }

  mutating func note(in journal: Journal?) {
    entries.note(in: journal)
    frames.note(in: journal)
    deposits.note(in: journal)
  }

  /// What is not in the tables.
  var extent: TableExtent {
    get { TableExtent(used: used, firstFree: firstFree) }
    set {
      used = newValue.used
      firstFree = newValue.firstFree
    }
  }

  /// An empty table, or nil when the model's room for tables is used up.
  mutating func add(frame: UInt32) -> Int? {
    if firstFree != 0 {
      let table = firstFree
      firstFree = Int(entries[table * Self.entriesPerTable])
      entries[table * Self.entriesPerTable] = 0
      frames[table] = frame
      return table
    }
    guard used < frames.count else { return nil }
    defer { used += 1 }
    frames[used] = frame
    return used
  }

  /// Prepares for this many new tables that will be full.
  mutating func expectDenseUse(tables: Int) {
    let end = min(used + tables, frames.count)
    entries.expectDenseUse(of: used * Self.entriesPerTable..<end * Self.entriesPerTable)
  }

  /// How many entries from `slot` on are none, at most `limit`.
  func countNone(from slot: Int, limit: Int) -> Int {
    entries.countPassing(from: slot, step: 1, limit: limit) { entry, _ in entry == 0 }
  }

  /// Lets consecutive entries show the pages of a run.
  mutating func show(_ run: PFNRun, from slot: Int, _ flags: PageTableEntry.Flags) {
    let first = run.first.index
    let step = run.step
    entries.update(slot..<slot + run.count) {
      UInt64(UInt32(truncatingIfNeeded: first &+ ($0 &- slot) &* step)) << 32
        | UInt64(flags.rawValue)
    }
  }

  /// Lets consecutive entries show other pages, with the flags that they have.
  mutating func move(_ slot: Int, to run: PFNRun) {
    let first = run.first.index
    let step = run.step
    entries.noteWrite(of: slot..<slot + run.count)
    let view = entries.view()
    for offset in 0..<run.count {
      let pfn = UInt64(UInt32(truncatingIfNeeded: first &+ offset &* step))
      view[slot &+ offset] = view[slot &+ offset] & 0xFFFF_FFFF | pfn << 32
    }
  }

  mutating func clear(_ slot: Int, count: Int) { entries.fill(slot..<slot + count, with: 0) }

  /// Gives a table back; all of its entries must be none.
  mutating func remove(_ table: Int) {
    entries[table * Self.entriesPerTable] = UInt64(firstFree)
    frames[table] = 0
    firstFree = table
  }

  subscript(_ slot: Int) -> PageTableEntry {
    get { PageTableEntry(rawValue: entries[slot]) }
    set { entries[slot] = newValue.rawValue }
  }

  /// Whether every entry of a table is none.
  func isEmpty(_ table: Int) -> Bool {
    let first = table * Self.entriesPerTable
    for slot in first..<first + Self.entriesPerTable where entries[slot] != 0 { return false }
    return true
  }

  /// The position of a page's entry at `level` in the tables under `root`, if tables reach that far.
  func slot(_ root: Int, page: Int, level: PageTableLevel) -> Int? {
    var table = root
    var current = PageTableLevel.pgd.rawValue
    while true {
      let slot = table * Self.entriesPerTable + page >> (9 * current) & 511
      if current == level.rawValue { return slot }
      let entry = PageTableEntry(rawValue: entries[slot])
      guard entry.isTable else { return nil }
      table = entry.table
      current -= 1
    }
  }

  /// The entry that maps a page, at whichever level its leaf is, or the first that is no table.
  func leaf(_ root: Int, page: Int) -> (entry: PageTableEntry, slot: Int, level: PageTableLevel) {
    var table = root
    var level = PageTableLevel.pgd
    while true {
      let slot = table * Self.entriesPerTable + page >> (9 * level.rawValue) & 511
      let entry = PageTableEntry(rawValue: entries[slot])
      guard entry.isTable, let lower = PageTableLevel(rawValue: level.rawValue - 1) else {
        return (entry, slot, level)
      }
      table = entry.table
      level = lower
    }
  }
}

/// How far a growing table is used, and the first of its free parts.
struct TableExtent: Hashable, Sendable, Codable {
  var used: Int
  var firstFree: Int
}

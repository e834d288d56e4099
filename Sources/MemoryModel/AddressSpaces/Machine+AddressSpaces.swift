extension Machine {
  /// A new process without areas; nil when no frame is left for its top table.
  ///
  /// Kernel: `mm_alloc()`, `pgd_alloc()`.
  ///
  /// - Parameter charged: Whether the top table takes a frame; false for a process of a recorded
  ///   state, whose tables exist already.
  package mutating func createSpace(name: String, charged: Bool = true) -> Int? {
    var frame: UInt32 = 0
    if charged {
      // Not through `pagetable_alloc()`: no __GFP_COMP, and not in NR_PAGETABLE (0x400dc0).
      guard
        let pfn = allocatePages(order: 0, gfp: .pageTable.subtracting(.comp)).pfn
      else { return nil }
      frame = pfn.rawValue
      var state = frames.head(pfn)
      state.owner = UInt8(ascii: "K")
      frames.setHead(pfn, state)
    }
    guard let root = pageTables.add(frame: frame) else {
      if frame != 0 { freeFolio(Folio(PFN(frame), order: 0)) }
      return nil
    }
    let id = spaces.count
    spaces.append(AddressSpace(id: id, name: name, root: root))
    return id
  }

  /// Leaves the frame of a process's top table allocated when the process ends.
  package mutating func keepTopTable(of space: Int) { pageTables.frames[spaces[space].root] = 0 }

  package func root(_ space: Int) -> Int { spaces[space].root }

  /// Whether a frame holds the top table of a process that lives.
  package func isTopTable(_ pfn: PFN) -> Bool {
    spaces.contains { $0.isAlive && pageTables.frames[$0.root] == pfn.rawValue }
  }

  // MARK: Tables

  /// Allocates a frame for a table, and the table; nil when either is not to be had.
  ///
  /// Kernel: `pagetable_alloc()`; NR_PAGETABLE.
  package mutating func addTable(
    charged: Bool = true, gfp: GFPFlags = .pageTable, inPinScope: Bool = false
  ) -> Int? {
    var frame: UInt32 = 0
    if charged {
      guard let charged = allocateTableFrame(gfp: gfp, inPinScope: inPinScope) else { return nil }
      frame = charged
    }
    if let table = pageTables.add(frame: frame) { return table }
    if charged { freeTableFrame(frame) }
    return nil
  }

  /// A frame for a table, without the table; a deposit needs no more.
  ///
  /// Kernel: `pte_alloc_one()`.
  package mutating func allocateTableFrame(
    gfp: GFPFlags = .pageTable, inPinScope: Bool = false
  ) -> UInt32? {
    guard let pfn = allocatePages(order: 0, gfp: gfp, inPinScope: inPinScope).pfn else {
      return nil
    }
    claimTable(pfn)
    return pfn.rawValue
  }

  /// Marks a frame as a page table's.
  mutating func claimTable(_ pfn: PFN) {
    var state = frames.head(pfn)
    state.owner = UInt8(ascii: "T")
    frames.setHead(pfn, state)
    count(.pageTable, 1, at: pfn)
  }

  /// Gives the frame of a table back; a frame of 0 was never charged.
  package mutating func freeTableFrame(_ frame: UInt32) {
    guard frame != 0 else { return }
    let pfn = PFN(frame)
    count(.pageTable, -1, at: pfn)
    freeFolio(Folio(pfn, order: 0))
  }

  /// The table that holds the entries of `level` for a page, with every table on the way to it.
  ///
  /// Tables are made from the top down, as `__pmd_alloc()` and `__pte_alloc()` do. Nil when a frame
  /// is not to be had, or when a leaf lies in the way.
  ///
  /// - Parameter charged: See ``createSpace(name:charged:)``.
  package mutating func makeTable(
    _ space: Int, page: Int, level: PageTableLevel, inPinScope: Bool = false, charged: Bool = true
  ) -> Int? {
    var table = spaces[space].root
    var current = PageTableLevel.pgd.rawValue
    while current > level.rawValue {
      let slot = table * PageTables.entriesPerTable + page >> (9 * current) & 511
      let entry = pageTables[slot]
      if entry.isTable {
        table = entry.table
      } else {
        guard entry.isNone,
          let lower = addTable(charged: charged, inPinScope: inPinScope)
        else { return nil }
        pageTables[slot] = PageTableEntry(table: lower)
        table = lower
      }
      current -= 1
    }
    return table
  }

  /// The entry of a page at a level, if tables reach that far.
  package func entrySlot(_ space: Int, page: Int, level: PageTableLevel) -> Int? {
    pageTables.slot(spaces[space].root, page: page, level: level)
  }

  /// The entry that maps a page, at whichever level it is a leaf.
  public func entry(
    _ space: Int, page: Int
  ) -> (entry: PageTableEntry, slot: Int, level: PageTableLevel) {
    pageTables.leaf(spaces[space].root, page: page)
  }

  /// The frame that a page of a process shows now; nil when nothing is present.
  public func frame(_ space: Int, page: Int) -> PFN? {
    let (entry, _, level) = entry(space, page: page)
    guard entry.isPresent else { return nil }
    return entry.pfn + page & ((1 << level.order) - 1)
  }

  package subscript(entry slot: Int) -> PageTableEntry {
    get { pageTables[slot] }
    set { pageTables[slot] = newValue }
  }
}

extension GFPFlags {
  /// GFP_PGTABLE_USER with the __GFP_COMP of 6.12's `pagetable_alloc()`: 0x440dc0.
  public static let pageTable: GFPFlags = [.kernelAccount, .zero, .comp]
}

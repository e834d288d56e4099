// Nothing is kept per frame for this: whoever asks pays for a search of the records and tables.

/// What a page is for that no folio explains: whose table it is, or which call took it.
public enum KernelUse: Sendable, Hashable {
  /// A page table of a process, or the frame of one that waits for the split of a leaf.
  case pageTable(space: Int)
  /// The top page table of a process.
  case topTable(space: Int)
  /// What `pressure` took: its number.
  case pressure(Int)
  /// A powerpc guest's hash page table (rule P5.21).
  case hashTable(space: Int)
  /// The reverse map of a hash page table.
  case reverseMap(space: Int)
  /// What `cma_alloc()` handed out: the buffer's number.
  case cmaBuffer(Int)
}

extension Machine {
  /// Who has the kernel's pages of a range, as far as a record says so.
  ///
  /// Costs a walk over all tables, and over the records of what was allocated.
  public func kernelUses(in range: PFNRange) -> [PFN: KernelUse] {
    var uses: [PFN: KernelUse] = [:]
    for space in spaces where space.isAlive {
      addTables(of: space.id, space.root, .pgd, in: range, to: &uses)
      if let table = space.hashTable {
        let whole = PFNRange(table.pfn.index, table.pfn.index + table.pages)
        let inside = whole.intersection(range)
        for frame in inside.start..<inside.end { uses[PFN(frame)] = .hashTable(space: space.id) }
        for run in table.reverseMap {
          for offset in 0..<run.count {
            if range.contains(run[offset]) { uses[run[offset]] = .reverseMap(space: space.id) }
          }
        }
      }
    }
    for record in pressures {
      for pfn in record.pages where range.contains(pfn) { uses[pfn] = .pressure(record.id) }
    }
    for buffer in cmaBuffers {
      let inside = buffer.range.intersection(range)
      for frame in inside.start..<inside.end { uses[PFN(frame)] = .cmaBuffer(buffer.id) }
    }
    return uses
  }

  private func addTables(
    of space: Int, _ table: Int, _ level: PageTableLevel, in range: PFNRange,
    to uses: inout [PFN: KernelUse]
  ) {
    func add(_ frame: UInt32) {
      guard frame != 0, range.contains(PFN(frame)) else { return }
      uses[PFN(frame)] = level == .pgd ? .topTable(space: space) : .pageTable(space: space)
    }
    add(pageTables.frames[table])
    guard let below = PageTableLevel(rawValue: level.rawValue - 1) else { return }
    if level == .pmd {
      let deposits = pageTables.deposits[table]
      if deposits.next != 0 {
        add(deposits.next)
        for pfn in frames.blocks(deposits.others) { add(pfn.rawValue) }
      }
    }
    for index in 0..<PageTables.entriesPerTable {
      let entry = pageTables[table * PageTables.entriesPerTable + index]
      if !entry.isNone, entry.isTable {
        addTables(of: space, entry.table, below, in: range, to: &uses)
      }
    }
  }

  /// A use in words: "vm0's page tables", "pressure #1".
  public func describe(_ use: KernelUse) -> String {
    switch use {
    case .pageTable(let space): "\(spaces[space].name)'s page tables"
    case .topTable(let space): "\(spaces[space].name)'s top page table"
    case .pressure(let id): "pressure #\(id)"
    case .hashTable(let space): "\(spaces[space].name)'s hash page table"
    case .reverseMap(let space): "the reverse map of \(spaces[space].name)'s hash page table"
    case .cmaBuffer(let id):
      if let buffer = cmaBuffers.first(where: { $0.id == id }) {
        "a buffer of cma_alloc, \(buffer.pages) pages at \(buffer.pfn) of area "
          + cmaAreas[buffer.area].name
      } else {
        "a buffer of cma_alloc"
      }
    }
  }
}

// Copying a process (rule P2.20). Invariant: while the entries of a copy-on-write area are copied,
// the parent's `writeProtectSequence` is odd, so a fast walker does not keep a pin it takes then.

extension Machine {
  /// A child without areas; ENOMEM when its top table is not to be had.
  ///
  /// Kernel: `dup_mm()`, `mm_init()`.
  package mutating func beginFork(_ parent: Int, name: String) -> Result<Int, Refusal> {
    guard let child = createSpace(name: name) else {
      return .failure(Refusal(.ENOMEM, "no memory for the top table of \(name)", rule: "P2.20"))
    }
    spaces[child].memlockLimit = spaces[parent].memlockLimit
    spaces[child].ram = spaces[parent].ram
    spaces[child].homeNode = spaces[parent].homeNode
    spaces[child].oomScoreAdjustment = spaces[parent].oomScoreAdjustment
    return .success(child)
  }

  /// Gives the child an area of its parent, without entries; nil for one that is not inherited.
  ///
  /// Kernel: `dup_mmap()`.
  ///
  /// - Returns: Whether its entries have to be copied: those of shared memory come back by faults.
  package mutating func forkArea(_ child: Int, _ area: MemoryArea) -> Bool {
    if area.flags.contains(.dontCopy) { return false }
    var copy = area
    copy.flags.remove(.locked)
    // The child is promised nothing of a private mapping (`hugetlb_dup_vma_private()`).
    copy.reservation = nil
    spaces[child].areas.append(copy)
    if let file = area.file {
      files[file].users += 1
      if !files[file].spaces.contains(child) { files[file].spaces.append(child) }
    }
    if let region = area.region, !regions[region].spaces.contains(child) {
      regions[region].spaces.append(child)
    }
    return area.region != nil || !area.flags.isDisjoint(with: [.io, .pfnMap])
  }

  /// Raises the sequence at the start and at the end of a copy-on-write area.
  package mutating func countForkSequence(_ parent: Int, _ area: MemoryArea) {
    if area.isCopyOnWrite { spaces[parent].writeProtectSequence += 1 }
  }

  /// Copies the entries of an area from `page` on, up to `limit` entries.
  ///
  /// Kernel: `copy_page_range()`, `copy_pte_range()`, `copy_huge_pmd()`.
  ///
  /// - Returns: The page to go on at.
  package mutating func copyEntries(
    _ parent: Int, _ child: Int, _ area: MemoryArea, from start: Int, limit: Int,
    isPinned: Bool? = nil
  ) -> Result<Int, Refusal> {
    if isHugetlb(area) {
      return copyHugetlbEntries(parent, child, area, from: start, limit: limit)
    }
    var page = start
    var left = limit
    while page < area.end, left > 0 {
      let (entry, slot, level) = pageTables.leaf(spaces[parent].root, page: page)
      let next = min((page & ~((1 << level.order) - 1)) + 1 << level.order, area.end)
      // The child gets every table that its parent has, empty or not.
      guard var table = makeTable(child, page: page, level: level) else {
        return .failure(forkNeedsMemory)
      }
      left -= 1
      if entry.isNone {
        page = next
        continue
      }
      if level > .pte {
        switch copyLeaf(parent, child, area, entry, slot, level, table: table, isPinned) {
        case .success(true):
          page = next
          continue
        case .failure(let refusal): return .failure(refusal)
        case .success(false): break
        }
        // Maybe pinned: page by page.
        splitLeaf(parent, page: page)
        guard let lower = makeTable(child, page: page, level: .pte),
          let source = pageTables.slot(spaces[parent].root, page: page, level: .pte)
        else { return .failure(forkNeedsMemory) }
        table = lower
        for index in 0..<512 {
          let target = table * PageTables.entriesPerTable + index
          if let refusal = copyEntry(parent, child, area, page + index, source + index, target, nil)
          {
            return .failure(refusal)
          }
        }
        page = next
        continue
      }
      let target = table * PageTables.entriesPerTable + page & 511
      if let refusal = copyEntry(parent, child, area, page, slot, target, isPinned) {
        return .failure(refusal)
      }
      page += 1
    }
    return .success(page)
  }

  private var forkNeedsMemory: Refusal {
    Refusal(.ENOMEM, "no memory for a page table of the child", rule: "P2.20")
  }

  /// Shares one PTE, or copies its page when the parent may have pinned it.
  ///
  /// Kernel: `copy_present_ptes()`, `copy_nonpresent_pte()`.
  private mutating func copyEntry(
    _ parent: Int, _ child: Int, _ area: MemoryArea, _ page: Int, _ slot: Int, _ target: Int,
    _ isPinned: Bool?
  ) -> Refusal? {
    let entry = pageTables[slot]
    if entry.isNone { return nil }
    var flags = entry.flags
    if entry.isSwap {
      // Kernel: `swap_duplicate()`; two processes have the page now.
      flags.remove(.exclusive)
      pageTables[slot].flags = flags
      pageTables[target] = PageTableEntry(entry.pfn, flags)
      swap.addUse(entry.pfn.index)
      spaces[child].swapEntries += 1
      return nil
    }
    if area.isCopyOnWrite { flags.remove(.write) }
    guard entry.isPresent || entry.isMigration, !flags.contains(.special),
      let folio = folio(of: entry.pfn)
    else {
      pageTables[slot].flags = flags
      pageTables[target] = PageTableEntry(entry.pfn, flags.subtracting(.young))
      return nil
    }
    let isAnonymous = folios.owner(folio).mapping.isAnonymous
    if entry.isPresent, isAnonymous, isPinned ?? mustCopy(parent, folio, entry) {
      guard let copy = allocateUserPage(isZeroed: false, inPinScope: false) else {
        return Refusal(.ENOMEM, "no memory for the child's copy of a pinned page", rule: "P2.20")
      }
      installCopy(child, area, page, copy, of: folio, target)
      return nil
    }
    if isAnonymous { flags.remove(.exclusive) }
    pageTables[slot].flags = flags
    var childFlags = flags.subtracting(.young)
    if area.flags.contains(.shared) { childFlags.remove(.dirty) }
    pageTables[target] = PageTableEntry(entry.pfn, childFlags)
    if entry.isPresent {
      addReferences(folio, 1)
      addPageMapping(entry.pfn, of: folio, 1)
    }
    countResident(child, folio, 1)
    return nil
  }

  /// Whether a fork would copy what a page shows instead of sharing it; nil where that is no question.
  package func needsCopy(_ parent: Int, _ area: MemoryArea, page: Int) -> Bool? {
    let entry = pageTables.leaf(spaces[parent].root, page: page).entry
    guard area.isCopyOnWrite, entry.isPresent, !entry.flags.contains(.special),
      let folio = folio(of: entry.pfn), folios.owner(folio).mapping.isAnonymous
    else { return nil }
    return mustCopy(parent, folio, entry)
  }

  /// Kernel: `folio_try_dup_anon_rmap_pte()`, `folio_needs_cow_for_dma()`.
  func mustCopy(_ parent: Int, _ folio: Folio, _ entry: PageTableEntry) -> Bool {
    spaces[parent].hasPinned && entry.flags.contains(.exclusive) && maybePinned(folio)
  }

  /// Kernel: `copy_present_page()`.
  private mutating func installCopy(
    _ child: Int, _ area: MemoryArea, _ page: Int, _ copy: Folio, of source: Folio, _ target: Int
  ) {
    var state: FrameState.Flags = newFolioFlags.union(.swapBacked)
    if frames.head(source.head).flags.contains(.written) { state.insert(.written) }
    setFlags(copy.head, insert: state)
    if let region = area.region {
      folios.setOwner(copy, .anonymous(region), index: page - regions[region].base)
    }
    addPageMapping(copy.head, of: copy, 1)
    queue(copy, .add)
    var flags: PageTableEntry.Flags = [.present, .young, .dirty, .exclusive]
    if area.flags.contains(.write) { flags.insert(.write) }
    pageTables[target] = PageTableEntry(copy.head, flags)
    spaces[child].anonymousPages += 1
  }

  /// Shares a leaf; false when the parent may have pinned it, so that it must be split.
  ///
  /// Kernel: `copy_huge_pmd()`; leaves of files come back by faults.
  private mutating func copyLeaf(
    _ parent: Int, _ child: Int, _ area: MemoryArea, _ entry: PageTableEntry, _ slot: Int,
    _ level: PageTableLevel,
    table: Int, _ isPinned: Bool?
  ) -> Result<Bool, Refusal> {
    let target = table * PageTables.entriesPerTable + slot % PageTables.entriesPerTable
    var flags = entry.flags
    if area.isCopyOnWrite { flags.remove(.write) }
    if flags.contains(.device) {
      pageTables[slot].flags = flags
      pageTables[target] = PageTableEntry(entry.pfn, flags.subtracting(.young))
      return .success(true)
    }
    guard area.backing == .anonymous else { return .success(true) }
    guard let deposit = allocateTableFrame() else { return .failure(forkNeedsMemory) }
    if !flags.contains(.special), let folio = folio(of: entry.pfn) {
      if entry.isPresent, isPinned ?? mustCopy(parent, folio, entry) {
        freeTableFrame(deposit)
        return .success(false)
      }
      flags.remove(.exclusive)
      if entry.isPresent {
        addReferences(folio, 1)
        addEntireMapping(folio, 1)
      }
      countResident(child, folio, 512)
    }
    depositTable(deposit, slot: target)
    pageTables[slot].flags = flags
    pageTables[target] = PageTableEntry(entry.pfn, flags.subtracting(.young))
    return .success(true)
  }
}

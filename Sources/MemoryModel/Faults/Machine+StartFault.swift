// The first step of a fault: what kind it is, and the memory that it needs.

extension Machine {
  mutating func startFault(_ fault: inout PageFault) -> FaultProgress {
    let space = fault.space
    guard spaces[space].isAlive, let index = spaces[space].areaIndex(fault.page) else {
      refuse(&fault, .EFAULT, "nothing is mapped there", "P2.13")
      return .finished
    }
    let area = spaces[space].areas[index]
    let needed: MemoryArea.Flags = fault.access == .write ? [.write] : [.read, .write]
    guard !area.flags.isDisjoint(with: needed) else {
      refuse(
        &fault, .EFAULT, "the mapping does not allow the \(fault.access)", "P2.13")
      return .finished
    }
    count(.pgfault, 1)
    if isHugetlb(area) {
      if let head = startHugetlbFault(&fault, area, index) { return .waiting(head) }
    } else {
      let (entry, slot, level) = pageTables.leaf(spaces[space].root, page: fault.page)
      if entry.isMigration { return .waiting(folio(of: entry.pfn)?.head ?? entry.pfn) }
      if entry.isNone {
        startMissing(&fault, area, index, level)
      } else if entry.isSwap {
        startSwapIn(&fault, area, entry, slot)
      } else {
        startPresent(&fault, area, index, entry, slot, level)
      }
    }
    return fault.phase == .done ? .finished : .running
  }

  /// Whether the task's allocations for this area may not be movable: in a pin, or by the advice of
  /// the proposals (rules P2.33, P9.20, P9.22).
  func isScoped(_ fault: PageFault, _ area: MemoryArea) -> Bool {
    fault.inPinScope || isAdvisedScope(area, page: fault.page)
  }

  // MARK: Nothing there

  private mutating func startMissing(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int, _ level: PageTableLevel
  ) {
    switch area.backing {
    case .anonymous: startAnonymous(&fault, area, index, level)
    case .file: startFileFault(&fault, area, index, level)
    case .device(let first):
      guard
        let table = makeTable(fault.space, page: fault.page, level: .pte)
      else { return refuseMemory(&fault, "a page table") }
      let slot = table * PageTables.entriesPerTable + fault.page & 511
      var flags: PageTableEntry.Flags = [.present, .special, .device, .young]
      if area.flags.contains(.write) { flags.formUnion([.write, .dirty]) }
      pageTables[slot] = PageTableEntry(PFN(first + fault.page - area.start), flags)
      finish(&fault, .mapped)
    }
  }

  /// Kernel: `do_huge_pmd_anonymous_page()`, `do_anonymous_page()`.
  private mutating func startAnonymous(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int, _ level: PageTableLevel
  ) {
    let space = fault.space
    let page = fault.page
    if level >= .pmd, mayHaveHugePage(area, page) {
      guard let pmd = makeTable(space, page: page, level: .pmd) else {
        return refuseMemory(&fault, "a page table")
      }
      _ = prepareRegion(space, area: index)
      let slot = pmd * PageTables.entriesPerTable + page >> 9 & 511
      if fault.access != .write && settings.usesHugeZeroPage {
        guard let table = allocateTableFrame() else {
          return refuseMemory(&fault, "a page table")
        }
        if let zero = sharedHugeZeroPage() {
          depositTable(table, slot: slot)
          pageTables[slot] = PageTableEntry(zero, [.present, .special, .leaf, .young])
          return finish(&fault, .mapped)
        }
        freeTableFrame(table)
        count(.thpFaultFallback, 1)
      } else if let head = allocateHugePage(
        isAdvised: area.flags.contains(.hugePage), inPinScope: isScoped(fault, area))
      {
        let folio = Folio(head, order: 9)
        makeFolio(folio, .none, index: 0, owner: UInt8(ascii: "A"), [])
        guard let table = allocateTableFrame() else {
          putReferences(folio, 1)
          return refuseMemory(&fault, "a page table")
        }
        fault.phase = .install(folio, slot: slot, expected: .none, source: nil, table: table)
        return
      } else {
        count(.thpFaultFallback, 1)
      }
    }
    startSmallPage(&fault, area, index)
  }

  /// Kernel: `do_anonymous_page()`.
  mutating func startSmallPage(_ fault: inout PageFault, _ area: MemoryArea, _ index: Int) {
    let space = fault.space
    let page = fault.page
    guard let table = makeTable(space, page: page, level: .pte) else {
      return refuseMemory(&fault, "a page table")
    }
    let slot = table * PageTables.entriesPerTable + page & 511
    if fault.access != .write {
      pageTables[slot] = PageTableEntry(sharedZeroPage(), [.present, .special, .young])
      return finish(&fault, .mapped)
    }
    _ = prepareRegion(space, area: index)
    guard let folio = allocateUserPage(isZeroed: true, inPinScope: isScoped(fault, area)) else {
      return refuseMemory(&fault, "the page")
    }
    fault.phase = .install(folio, slot: slot, expected: .none, source: nil, table: 0)
  }

  /// Whether a huge page may be tried at a page of anonymous memory (rule P2.10).
  ///
  /// Kernel: `thp_vma_allowable_order()`, `thp_vma_suitable_order()`.
  func mayHaveHugePage(_ area: MemoryArea, _ page: Int) -> Bool {
    guard settings.transparentHugePages, geometry.maxOrder >= 9,
      !area.flags.contains(.noHugePage),
      area.flags.contains(.hugePage) || !settings.hugePagesOnlyAdvised
    else { return false }
    let start = page & ~511
    return start >= area.start && start + 512 <= area.end
  }

  // MARK: Something there

  private mutating func startPresent(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int, _ entry: PageTableEntry,
    _ slot: Int, _ level: PageTableLevel
  ) {
    let needsWrite = fault.access == .write && !entry.flags.contains(.write)
    let needsOwn =
      fault.access == .unshare && !entry.flags.contains(.exclusive) && area.isCopyOnWrite
    guard needsWrite || needsOwn else {
      pageTables[slot].flags.insert(fault.access == .write ? [.young, .dirty] : .young)
      if fault.writes { markWritten(entry.pfn) }
      return finish(&fault, .mapped)
    }
    if level == .pmd {
      if area.backing == .anonymous, !entry.flags.contains(.special),
        reuseLeaf(&fault, area, entry, slot)
      {
        return
      }
      // Kernel: VM_FAULT_FALLBACK: the same fault goes on one level down.
      splitLeaf(fault.space, page: fault.page)
      let (lower, lowerSlot, lowerLevel) = pageTables.leaf(
        spaces[fault.space].root, page: fault.page)
      if lower.isNone { return startMissing(&fault, area, index, lowerLevel) }
      return startPresent(&fault, area, index, lower, lowerSlot, lowerLevel)
    }
    startWriteProtect(&fault, area, index, entry, slot)
  }

  /// Makes a PMD leaf writable when nobody else holds the folio.
  ///
  /// Kernel: `do_huge_pmd_wp_page()`.
  private mutating func reuseLeaf(
    _ fault: inout PageFault, _ area: MemoryArea, _ entry: PageTableEntry, _ slot: Int
  ) -> Bool {
    let folio = Folio(entry.pfn, order: 9)
    guard entry.flags.contains(.exclusive) || references(folio) == 1 else { return false }
    var flags = entry.flags.union(.exclusive)
    if fault.access == .write {
      flags.formUnion([.young, .dirty])
      if area.flags.contains(.write) { flags.insert(.write) }
      if fault.writes { setFlags(folio.head, insert: .written) }
    }
    pageTables[slot] = PageTableEntry(entry.pfn, flags)
    finish(&fault, .mapped)
    return true
  }

  /// Kernel: `do_wp_page()` (rule P2.21).
  mutating func startWriteProtect(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int, _ entry: PageTableEntry, _ slot: Int
  ) {
    let folio = entry.flags.contains(.special) ? nil : folio(of: entry.pfn)
    if area.flags.contains(.shared) {
      // Write-notify of a file with dirty tracking, or memory without pages.
      pageTables[slot].flags.insert([.write, .dirty, .young])
      count(.pgreuse, 1)
      if let folio { markDirty(folio) }
      return finish(&fault, .mapped)
    }
    if let folio, folios.owner(folio).mapping.isAnonymous,
      entry.flags.contains(.exclusive) || canReuse(folio)
    {
      if fault.access == .unshare {
        pageTables[slot].flags.insert(.exclusive)
      } else {
        var flags = entry.flags.union([.exclusive, .young, .dirty])
        if area.flags.contains(.write) { flags.insert(.write) }
        pageTables[slot].flags = flags
        count(.pgreuse, 1)
        if fault.writes { setFlags(folio.head, insert: .written) }
      }
      return finish(&fault, .mapped)
    }
    if let folio { addReferences(folio, 1) }
    _ = prepareRegion(fault.space, area: index)
    guard
      let copy = allocateUserPage(isZeroed: folio == nil, inPinScope: isScoped(fault, area))
    else {
      if let folio { putReferences(folio, 1) }
      return refuseMemory(&fault, "the copy")
    }
    fault.phase = .install(copy, slot: slot, expected: entry, source: folio, table: 0)
  }

  /// Whether an anonymous page can be kept because only its mapping refers to it (rule P2.21).
  ///
  /// Kernel: `wp_can_reuse_anon_folio()`.
  private mutating func canReuse(_ folio: Folio) -> Bool {
    if folio.order > 0 || references(folio) > 3 { return false }
    if !frames.head(folio.head).isLRU { drainLRU(cpu: currentCPU) }
    if swapSlot(of: folio) != nil {
      if references(folio) > 2 { return false }
      freeSwap(folio)
    }
    return references(folio) == 1
  }

  mutating func markWritten(_ pfn: PFN) {
    if let folio = folio(of: pfn) { setFlags(folio.head, insert: .written) }
  }

  /// Kernel: `folio_mark_dirty()`: shmem has no dirty accounting.
  mutating func markDirty(_ folio: Folio) {
    let state = frames.head(folio.head)
    if state.flags.contains(.dirty) { return }
    setFlags(folio.head, insert: .dirty)
    if !state.flags.contains(.swapBacked), !state.flags.contains(.hugetlb) {
      count(.dirty, folio.pages, at: folio.head)
    }
  }
}

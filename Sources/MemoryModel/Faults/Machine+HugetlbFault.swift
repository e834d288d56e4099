// Faults of hugetlb mappings. The pool is behind one function, so that nothing else of a fault knows
// how it is kept.

extension Machine {
  /// A huge page of the pool for a page of a hugetlb area; nil when the pool has none that may serve.
  ///
  /// Kernel: `alloc_hugetlb_folio()` (rule P2.36).
  ///
  /// - Parameter filePage: The page of the file, for its reservation; nil for a private copy.
  mutating func takeHugePage(
    order: Int, inPinScope: Bool, file: Int, filePage: Int?
  ) -> PFN? { nil }

  /// Kernel: `hugetlb_fault()`, `hugetlb_no_page()`, `hugetlb_wp()`.
  mutating func startHugetlbFault(_ fault: inout PageFault, _ area: MemoryArea, _ index: Int) {
    guard let file = area.file else { return }
    let order = files[file].hugeOrder
    let level: PageTableLevel = order == 9 ? .pmd : .pud
    let first = fault.page & ~((1 << order) - 1)
    guard let table = makeTable(fault.space, page: fault.page, level: level) else {
      return refuseMemory(&fault, "a page table")
    }
    let slot = table * PageTables.entriesPerTable + fault.page >> level.order & 511
    let entry = pageTables[slot]
    if entry.isPresent {
      return touchHugePage(&fault, area, index, entry, slot, order: order)
    }
    let filePage = area.filePage(first)
    let isShared = area.flags.contains(.shared)
    if isShared, filePage >= files[file].pages {
      return refuse(&fault, .EFAULT, "behind the end of the file (SIGBUS)", "P2.13")
    }
    var folio = cachedFrame(file, page: filePage).map { Folio($0, order: order) }
    let isCached = folio != nil
    if folio == nil {
      guard
        let head = takeHugePage(
          order: order, inPinScope: isScoped(fault, area), file: file, filePage: filePage)
      else {
        return refuse(&fault, .EFAULT, "the pool has no huge page for it (SIGBUS)", "P2.36")
      }
      let new = Folio(head, order: order)
      makeFolio(new, .none, index: 0, owner: UInt8(ascii: "H"), .hugetlb)
      if isShared, !addToCache(new, file, page: filePage) {
        putReferences(new, 1)
        return refuseMemory(&fault, "the file's cache")
      }
      folio = new
    }
    guard let folio else { return }
    // The entry takes the reference that a new folio came with.
    if isCached { addReferences(folio, 1) }
    var flags: PageTableEntry.Flags = [.present, .leaf, .young]
    let isWrite = fault.access == .write
    if isShared || isCached {
      if isShared, area.flags.contains(.write) { flags.formUnion([.write, .dirty]) }
    } else {
      let region = prepareRegion(fault.space, area: index)
      folios.setOwner(folio, .anonymous(region), index: first - regions[region].base)
      flags.insert(.exclusive)
      if isWrite { flags.formUnion([.write, .dirty]) }
    }
    if fault.writes { setFlags(folio.head, insert: .written) }
    addEntireMapping(folio, 1)
    pageTables[slot] = PageTableEntry(folio.head, flags)
    if isWrite, !flags.contains(.write) {
      return touchHugePage(&fault, area, index, pageTables[slot], slot, order: order)
    }
    finish(&fault, .mapped)
  }

  /// An access to a huge page that is mapped: a write to a shared private page copies it.
  private mutating func touchHugePage(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int, _ entry: PageTableEntry,
    _ slot: Int, order: Int
  ) {
    let folio = Folio(entry.pfn, order: order)
    var flags = entry.flags.union(.young)
    let needsOwn =
      area.isCopyOnWrite && !entry.flags.contains(.exclusive) && fault.access != .read
    if needsOwn, !canReuseHugePage(folio), let file = area.file {
      guard
        let head = takeHugePage(
          order: order, inPinScope: isScoped(fault, area), file: file, filePage: nil)
      else {
        return refuse(&fault, .EFAULT, "the pool has no huge page for a copy (SIGBUS)", "P2.36")
      }
      let copy = Folio(head, order: order)
      makeFolio(copy, .none, index: 0, owner: UInt8(ascii: "H"), .hugetlb)
      let region = prepareRegion(fault.space, area: index)
      let first = fault.page & ~((1 << order) - 1)
      folios.setOwner(copy, .anonymous(region), index: first - regions[region].base)
      addEntireMapping(copy, 1)
      flags.insert(.exclusive)
      if fault.access == .write { flags.formUnion([.write, .dirty]) }
      pageTables[slot] = PageTableEntry(head, flags)
      addEntireMapping(folio, -1)
      putReferences(folio, 1)
      return finish(&fault, .mapped)
    }
    if needsOwn { flags.insert(.exclusive) }
    if fault.access == .write { flags.formUnion([.write, .dirty]) }
    pageTables[slot].flags = flags
    if fault.writes { setFlags(folio.head, insert: .written) }
    finish(&fault, .mapped)
  }

  private func canReuseHugePage(_ folio: Folio) -> Bool {
    folios.owner(folio).mapping.isAnonymous && folios.mappings(folio) == 1
  }
}

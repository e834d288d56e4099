extension Machine {
  /// Copies leaves of a private hugetlb area that may hold pages of its own, from `start` on.
  ///
  /// Kernel: `copy_hugetlb_page_range()`, mm/hugetlb.c.
  ///
  /// - Returns: The page to go on at; ENOSPC when a pinned page has to be copied and the pool has no
  ///   page that nobody was promised, which is all that a child may take.
  mutating func copyHugetlbEntries(
    _ parent: Int, _ child: Int, _ area: MemoryArea, from start: Int, limit: Int
  ) -> Result<Int, Refusal> {
    let order = area.file.map { files[$0].hugeOrder } ?? geometry.hugeOrder
    var page = start
    var left = limit
    while page < area.end, left > 0 {
      left -= 1
      defer { page += 1 << order }
      guard let slot = entrySlot(parent, page: page, level: leafLevel(order)) else { continue }
      guard let table = makeTable(child, page: page, level: leafLevel(order)) else {
        return .failure(
          Refusal(.ENOMEM, "no memory for a page table of the child", rule: "P2.20"))
      }
      let target = table * PageTables.entriesPerTable + page >> order & 511
      if let refusal = copyHugetlbEntry(parent, child, area, page, slot, target) {
        return .failure(refusal)
      }
    }
    return .success(page)
  }

  private mutating func copyHugetlbEntry(
    _ parent: Int, _ child: Int, _ area: MemoryArea, _ page: Int, _ slot: Int, _ target: Int
  ) -> Refusal? {
    let entry = pageTables[slot]
    guard entry.isPresent || entry.isMigration, let folio = folio(of: entry.pfn) else { return nil }
    var flags = entry.flags
    let isAnonymous = folios.owner(folio).mapping.isAnonymous
    if entry.isPresent, isAnonymous, mustCopy(parent, folio, entry) {
      return copyPinnedHuge(child, page, folio, target)
    }
    if isAnonymous { flags.remove(.exclusive) }
    if area.isCopyOnWrite { flags.remove(.write) }
    pageTables[slot].flags = flags
    pageTables[target] = PageTableEntry(entry.pfn, flags)
    if entry.isPresent {
      addReferences(folio, 1)
      addEntireMapping(folio, 1)
      spaces[child].hugetlbPages += folio.pages
    }
    return nil
  }

  private mutating func copyPinnedHuge(
    _ child: Int, _ page: Int, _ source: Folio, _ target: Int
  ) -> Refusal? {
    guard let index = spaces[child].areaIndex(page) else { return nil }
    let area = spaces[child].areas[index]
    switch allocateHugePage(for: area, page: page, inPinScope: false) {
    case .failure(let refusal): return refusal
    case .success(let copy):
      if frames.head(source.head).flags.contains(.written) {
        setFlags(copy.head, insert: .written)
      }
      showOwnHuge(
        child, index, page, copy, target,
        [.present, .leaf, .young, .exclusive, .write, .dirty])
      spaces[child].hugetlbPages += copy.pages
      return nil
    }
  }
}

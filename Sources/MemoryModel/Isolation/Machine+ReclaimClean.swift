// The one kind of reclaim that a contiguous allocation does: a clean page of a file is cheaper to read
// again than to move.

extension Machine {
  /// Frees the clean pages of files among isolated folios (rule P5.11).
  ///
  /// Kernel: `reclaim_clean_pages_from_list()`, `shrink_folio_list()`, mm/vmscan.c.
  ///
  /// - Parameter list: What could not be freed comes first afterwards, last tried first.
  /// - Returns: Pages freed.
  package mutating func reclaimClean(_ list: inout [PFN]) -> Int {
    var kept: [PFN] = []
    var others: [PFN] = []
    var freed = 0
    for head in list {
      let state = frames.head(head)
      let folio = Folio(head, order: state.order)
      guard state.flags.isDisjoint(with: [.hugetlb, .swapBacked, .dirty, .unevictable]),
        folios.owner(folio).mapping.isFile
      else {
        others.append(head)
        continue
      }
      setFlags(head, remove: .active)
      if reclaim(folio) { freed += folio.pages } else { kept.insert(head, at: 0) }
    }
    list = kept + others
    return freed
  }

  /// Unmaps a clean folio, takes it out of its file and frees it; false when somebody is in the way.
  private mutating func reclaim(_ folio: Folio) -> Bool {
    if !frames.head(folio.head).flags.isDisjoint(with: [.locked, .writeback]) { return false }
    switch releaseClean(folio) {
    case .freed:
      count(.isolatedFile, -folio.pages, at: folio.head)
      return true
    case .mapped:
      setFlags(folio.head, insert: .active)
      count(.pgactivate, folio.pages)
      return false
    case .held: return false
    }
  }

  enum CleanRelease {
    case freed
    /// Somebody has more references than the file and the caller.
    case held
    /// A mapping stays, or dirtied it.
    case mapped
  }

  /// Frees a folio of a file that the caller has taken off the LRU, if nobody is in the way.
  ///
  /// Kernel: `try_to_unmap()` and `__remove_mapping()`, as `shrink_folio_list()` calls them.
  mutating func releaseClean(_ folio: Folio) -> CleanRelease {
    guard unmapFile(folio), !frames.head(folio.head).flags.contains(.dirty) else { return .mapped }
    let (mapping, index) = folios.owner(folio)
    guard let file = mapping.fileIndex, folios.references(folio) == folio.pages + 1 else {
      return .held
    }
    count(.filePages, -folio.pages, at: folio.head)
    removeFromCache(folio, file, page: index)
    setFlags(folio.head, remove: .isolated)
    putReferences(folio, 1)
    return .freed
  }

  /// Takes a folio of a file out of all page tables; false where one keeps it.
  mutating func unmapFile(_ folio: Folio) -> Bool {
    if folios.mappings(folio) == 0 { return true }
    for place in mappings(of: folio) {
      if spaces[place.space].area(place.page)?.flags.contains(.locked) == true {
        mlock(folio)
        return false
      }
      unmap(place, folio)
    }
    return folios.mappings(folio) == 0
  }

  /// Kernel: `try_to_unmap_one()`, mm/rmap.c, for a page of a file.
  private mutating func unmap(_ place: Mapping, _ folio: Folio) {
    if place.level != .pte { return splitLeaf(place.space, page: place.page) }
    let entry = pageTables[place.slot]
    if entry.flags.contains(.dirty) { markDirty(folio) }
    pageTables[place.slot] = .none
    countResident(place.space, folio, -1)
    addPageMapping(entry.pfn, of: folio, -1)
    putReferences(folio, 1)
  }
}

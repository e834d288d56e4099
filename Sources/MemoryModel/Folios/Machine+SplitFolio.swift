extension Machine {
  /// What came of a split (rule P4.20).
  package enum SplitResult: Sendable, Equatable {
    /// The pieces but the head, last page first, as the kernel puts them on its list.
    case split([PFN])
    /// A reference is in the way.
    case again
    case busy
  }

  /// Breaks a locked large folio into pages, each with a reference for the caller's list.
  ///
  /// Kernel: `split_folio_to_list()`, `split_huge_page_to_list_to_order()`, mm/huge_memory.c (rules
  /// P4.20, P4.21).
  package mutating func splitFolio(_ folio: Folio) -> SplitResult {
    let flags = frames.head(folio.head).flags
    if flags.contains(.writeback) || folio.head == hugeZeroPage { return .busy }
    let isPMDSized = folio.order == geometry.pageblockOrder
    let (mapping, index) = folios.owner(folio)
    let isCached = mapping.isFile || swapSlot(of: folio) != nil
    let cacheReferences = isCached ? folio.pages : 0
    guard !flags.contains(.hugetlb),
      folios.references(folio) == folios.mappings(folio) + cacheReferences + 1
    else {
      if isPMDSized { count(.thpSplitPageFailed, 1) }
      return .again
    }
    for place in mappings(of: folio) where place.level == .pmd {
      splitLeaf(place.space, page: place.page)
    }
    let places = mappings(of: folio)
    for place in places { _ = beginMigrationEntry(place, of: folio) }
    if flags.contains(.partiallyMapped) { deferredSplits.removeAll { $0 == folio.head } }
    let pieces = breakUp(folio, mapping, index: index)
    remap(places, folio, isAnonymous: mapping.isAnonymous, flags)
    // The reference that the split folio had for each tail while it was broken up is gone by now;
    // what is left is the list's, and the mappings'.
    if isPMDSized { count(.thpSplitPage, 1) }
    return .split(pieces)
  }

  /// Makes every page of a frozen folio one of its own, with one reference, plus the cache's.
  private mutating func breakUp(_ folio: Folio, _ mapping: MappingID, index: Int) -> [PFN] {
    let whole = frames.head(folio.head)
    frames.clearHead(folio.head, order: folio.order)
    folios.clear(folio)
    if let file = mapping.fileIndex {
      files[file].cachedPages -= folio.pages
      // Chunks of a huge folio become chunks of pages below.
      for chunk in 0..<folio.pages >> 9 { files[file].chunks[index >> 9 + chunk] = 0 }
    }
    let slot = swapSlot(of: folio)
    swap.move(folio, to: folio.head, breaking: true)
    var pieces: [PFN] = []
    pieces.reserveCapacity(folio.pages - 1)
    for offset in (0..<folio.pages).reversed() {
      let piece = Folio(folio.head + offset, order: 0)
      folios.frames[piece.head.index] = FrameCounts()
      var state = FrameState(.allocated, order: 0)
      state.owner = whole.owner
      state.flags = whole.flags.subtracting([.partiallyMapped, .referenced])
      frames.setHead(piece.head, state)
      folios.addReferences(piece, slot == nil ? 1 : 2)
      folios.setOwner(piece, mapping, index: index + offset)
      if whole.flags.contains(.referenced) { setReferenced(piece) }
      if let file = mapping.fileIndex { _ = addToCache(piece, file, page: index + offset) }
      if offset > 0 { pieces.append(piece.head) }
    }
    if mapping.isFile && whole.flags.contains(.swapBacked) {
      count(.shmemTHPs, -folio.pages, at: folio.head)
    }
    return pieces
  }

  /// Lets the entries show the pieces; pages that nobody wrote become the zero page (rule P4.21).
  ///
  /// Kernel: `remap_page()`, `try_to_map_unused_to_zeropage()`.
  private mutating func remap(
    _ places: [Mapping], _ folio: Folio, isAnonymous: Bool, _ flags: FrameState.Flags
  ) {
    for place in places {
      var entry = pageTables[place.slot]
      let piece = Folio(entry.pfn, order: 0)
      entry.flags.remove(.part)
      pageTables[place.slot] = entry
      let isEmpty = isAnonymous && !frames.head(piece.head).flags.contains(.written)
      if isEmpty, !flags.contains(.mlocked),
        spaces[place.space].area(place.page)?.flags.contains(.locked) != true
      {
        pageTables[place.slot] = PageTableEntry(sharedZeroPage(), [.present, .special, .young])
        spaces[place.space].anonymousPages -= 1
        continue
      }
      endMigrationEntry(place, from: piece, to: piece)
    }
  }
}

// Writing pages to swap space. The device writes at once, so a folio that is written can be freed in the
// same pass, and stays in the swap cache only where somebody holds it.

extension Machine {
  /// Whether reclaim may look at anonymous memory at all.
  ///
  /// Kernel: `can_reclaim_anon_pages()`.
  var canSwap: Bool { swap.free > 0 }

  /// Swaps a folio of anonymous memory out, and frees it when nobody else holds it (rules A7.37, P9.1).
  ///
  /// Kernel: the part of `shrink_folio_list()` behind the look at the references.
  ///
  /// - Parameter rest: Gets the pages of a huge page that had to be broken up first, last page first.
  mutating func swapOut(
    _ whole: Folio, _ control: inout ReclaimControl, rest: inout [Folio]
  ) -> Eviction {
    var folio = whole
    if swapSlot(of: folio) == nil {
      // Who may be pinned gets no slot: its page could be written while it is on its way out.
      guard control.gfp.contains(.io), !maybePinned(folio) else { return .kept }
      if folio.order > 0 {
        guard references(folio) == folios.mappings(folio) + 1 else { return activate(folio) }
        if frames.head(folio.head).flags.contains(.partiallyMapped) {
          guard let head = breakUp(folio, &control, rest: &rest) else { return activate(whole) }
          folio = head
        }
      }
      var slot = swap.allocate(pages: folio.pages)
      if slot == nil, folio.order > 0 {
        guard let head = breakUp(folio, &control, rest: &rest) else { return activate(whole) }
        count(.thpSwapOutFallback, 1)
        folio = head
        slot = swap.allocate(pages: 1)
      }
      guard let slot else { return activate(folio) }
      addToSwapCache(folio, slot)
      setFlags(folio.head, insert: .dirty)
    }
    guard let slot = swapSlot(of: folio) else { return .kept }
    guard unmapToSwap(folio, slot) else { return giveSwapUp(folio) }
    if maybePinned(folio) { return giveSwapUp(folio) }
    // The cache's references, and the caller's.
    guard references(folio) == folio.pages + 1 else { return .kept }
    if frames.head(folio.head).flags.contains(.dirty) {
      // Nobody wants it any more: it goes with the last reference.
      if freeSwap(folio) {
        setFlags(folio.head, remove: .dirty)
        return .kept
      }
      writeToSwap(folio)
    }
    rememberWritten(folio, slot)
    removeFromSwapCache(folio, slot)
    setFlags(folio.head, remove: .isolated)
    putReferences(folio, 1)
    control.reclaimed += folio.pages
    return .freed
  }

  /// Kernel: `activate_locked` of `shrink_folio_list()`: no candidate for swapping gives its slots back
  /// when they are scarce.
  private mutating func giveSwapUp(_ folio: Folio) -> Eviction {
    if isSwapFull || frames.head(folio.head).flags.contains(.mlocked) { freeSwap(folio) }
    return frames.head(folio.head).flags.contains(.mlocked) ? .activated : activate(folio)
  }

  /// Breaks a huge page up; its head goes on, and the others come later.
  private mutating func breakUp(
    _ folio: Folio, _ control: inout ReclaimControl, rest: inout [Folio]
  ) -> Folio? {
    setFlags(folio.head, insert: .locked)
    let result = splitFolio(folio)
    guard case .split(let pieces) = result else {
      setFlags(folio.head, remove: .locked)
      return nil
    }
    setFlags(folio.head, remove: .locked)
    for piece in pieces {
      setFlags(piece, remove: .locked)
      rest.append(Folio(piece, order: 0))
    }
    control.scanned -= folio.pages - 1
    return Folio(folio.head, order: 0)
  }

  /// Lets every entry that maps a folio name its slots; false when one has to stay.
  ///
  /// Kernel: `try_to_unmap_one()` for an anonymous page.
  private mutating func unmapToSwap(_ folio: Folio, _ slot: Int) -> Bool {
    if folios.mappings(folio) == 0 { return true }
    if folios.entireMappings(folio) > 0 {
      for place in mappings(of: folio) where place.level == .pmd {
        splitLeaf(place.space, page: place.page)
      }
    }
    for place in mappings(of: folio) {
      if spaces[place.space].area(place.page)?.flags.contains(.locked) == true {
        mlock(folio)
        return false
      }
      let entry = pageTables[place.slot]
      guard entry.isPresent else { continue }
      // A pin that came after the look at it (rule P4.5).
      if entry.flags.contains(.exclusive), maybePinned(folio) { return false }
      if entry.flags.contains(.dirty) { setFlags(folio.head, insert: .dirty) }
      let target = slot + entry.pfn.index - folio.head.index
      swap.addUse(target)
      pageTables[place.slot] = PageTableEntry(
        PFN(target), entry.flags.intersection(.exclusive).union(.swap))
      countResident(place.space, folio, -1)
      spaces[place.space].swapEntries += 1
      addPageMapping(entry.pfn, of: folio, -1)
      folios.addReferences(folio, -1)
    }
    return folios.mappings(folio) == 0
  }

  /// Kernel: `pageout()`, `swap_writepage()`.
  private mutating func writeToSwap(_ folio: Folio) {
    setFlags(folio.head, remove: .dirty)
    count(.swapOut, folio.pages)
    if folio.order == 9 { count(.thpSwapOut, 1) }
    count(.vmscanWrite, folio.pages, at: folio.head)
    count(.written, folio.pages, at: folio.head)
  }

  private mutating func rememberWritten(_ folio: Folio, _ slot: Int) {
    guard frames.head(folio.head).flags.contains(.written) else { return }
    for index in slot..<slot + folio.pages { swap.table[index].uses |= SwapSlot.writtenBit }
  }

  // MARK: Shmem

  /// Swaps a folio of a shmem file out; its places in the file name its slots then.
  ///
  /// Kernel: `shmem_writepage()`, called by `pageout()`.
  mutating func swapOutShmem(
    _ whole: Folio, _ control: inout ReclaimControl, rest: inout [Folio]
  ) -> Eviction {
    var folio = whole
    guard let file = folios.owner(folio).mapping.fileIndex else { return .kept }
    guard unmapFile(folio) else {
      return frames.head(folio.head).flags.contains(.mlocked) ? .activated : activate(folio)
    }
    if maybePinned(folio) { return activate(folio) }
    // Nobody has written it: it is all zeros, and needs no slot.
    let isDirty = frames.head(folio.head).flags.contains(.dirty)
    if isDirty, !control.gfp.contains(.io) { return .kept }
    guard references(folio) == folio.pages + 1 else { return .kept }
    if isDirty {
      var slot = swap.allocate(pages: folio.pages)
      if slot == nil, folio.order > 0 {
        guard let head = breakUp(folio, &control, rest: &rest) else { return activate(whole) }
        folio = head
        slot = swap.allocate(pages: 1)
      }
      guard let slot else { return activate(folio) }
      let page = folios.owner(folio).index
      let isHuge = folio.order >= 9
      uncountCached(folio)
      removeFromCache(folio, file, page: page)
      guard showSwapped(file, page, slot, folio.pages) else {
        // No room in the model's cache for single pages: as if there were no slot.
        _ = addToCache(folio, file, page: page)
        count(.filePages, folio.pages, at: folio.head)
        count(.shmem, folio.pages, at: folio.head)
        if isHuge { count(.shmemTHPs, folio.pages, at: folio.head) }
        swap.giveBack(slot, folio.pages)
        return activate(folio)
      }
      writeToSwap(folio)
      for index in slot..<slot + folio.pages { swap.addUse(index) }
      rememberWritten(folio, slot)
    } else {
      let page = folios.owner(folio).index
      uncountCached(folio)
      removeFromCache(folio, file, page: page)
    }
    setFlags(folio.head, remove: .isolated)
    putReferences(folio, 1)
    control.reclaimed += folio.pages
    return .freed
  }

  /// Lets places of a file name slots.
  private mutating func showSwapped(_ file: Int, _ page: Int, _ slot: Int, _ pages: Int) -> Bool {
    if files[file].chunks[page >> 9] == 0 {
      guard let chunk = pageCache.add() else { return false }
      files[file].chunks[page >> 9] = UInt32(chunk + 1)
    }
    let first = (Int(files[file].chunks[page >> 9]) - 1) << 9 | page & 511
    for offset in 0..<pages {
      pageCache.entries[first + offset] = PageCache.swapBit | UInt32(slot + offset)
    }
    files[file].swappedPages += pages
    return true
  }

  /// The slot of a page of a shmem file that is swapped out.
  public func swappedSlot(_ file: Int, page: Int) -> Int? {
    if swap.used == 0 { return nil }
    guard let place = cacheSlot(file, page: page) else { return nil }
    let entry = pageCache.entries[place]
    return entry & PageCache.swapBit != 0 ? Int(entry & ~PageCache.swapBit) : nil
  }

  /// Empties the place of a page that is swapped out, and gives its slot back.
  mutating func dropSwapped(_ file: Int, page: Int, _ slot: Int) {
    guard let place = cacheSlot(file, page: page) else { return }
    pageCache.entries[place] = 0
    files[file].swappedPages -= 1
    dropSwapEntry(slot)
  }
}

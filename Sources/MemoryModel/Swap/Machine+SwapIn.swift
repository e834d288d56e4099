// Pages come back from swap space one at a time: nothing is read ahead.

extension Machine {
  /// Finds the page of an entry in the swap cache, or allocates one and reads it.
  ///
  /// A page that one entry alone names is read past the swap cache; others share what is read.
  ///
  /// Kernel: the first half of `do_swap_page()`, mm/memory.c; `alloc_swap_folio()`,
  /// `read_swap_cache_async()`.
  mutating func startSwapIn(
    _ fault: inout PageFault, _ area: MemoryArea, _ entry: PageTableEntry, _ slot: Int
  ) {
    let place = entry.pfn.index
    if let pfn = swapCachedFrame(place), let folio = folio(of: pfn) {
      addReferences(folio, 1)
      fault.phase = .swapIn(folio, slot: slot, expected: entry, isCached: true)
      return
    }
    guard let folio = allocateUserPage(isZeroed: false, inPinScope: isScoped(fault, area)) else {
      return refuseMemory(&fault, "the page")
    }
    setFlags(folio.head, insert: readFlags(place))
    let isCached = swap.table[place].count > 1
    if isCached { addToSwapCache(folio, place) }
    queue(folio, .add)
    count(.swapIn, 1)
    count(.pgmajfault, 1)
    fault.phase = .swapIn(folio, slot: slot, expected: entry, isCached: isCached)
  }

  private func readFlags(_ slot: Int) -> FrameState.Flags {
    let wasWritten = swap.table[slot].uses & SwapSlot.writtenBit != 0
    return newFolioFlags.union(wasWritten ? [.swapBacked, .written] : .swapBacked)
  }

  /// Shows the page, and gives the slot back that its entry named.
  ///
  /// Kernel: the second half of `do_swap_page()`.
  mutating func swapIn(
    _ fault: inout PageFault, _ folio: Folio, slot: Int, expected: PageTableEntry, isCached: Bool
  ) {
    let space = fault.space
    let place = expected.pfn.index
    guard let index = spaces[space].areaIndex(fault.page), pageTables[slot] == expected,
      !isCached || swapCachedFrame(place).map(folio.contains) == true
    else {
      putReferences(folio, 1)
      return finish(&fault, .mapped)
    }
    let area = spaces[space].areas[index]
    let isWrite = fault.access == .write
    if isCached, isWrite, !frames.head(folio.head).isLRU { drainLRU(cpu: currentCPU) }
    let pfn = isCached ? swapCachedFrame(place) ?? folio.head : folio.head
    swap.dropUse(place)
    if isCached, mayFreeSwap(folio, area, isWrite: isWrite) { freeSwap(folio) }
    let region = prepareRegion(space, area: index)
    if folio.order == 0 {
      folios.setOwner(folio, .anonymous(region), index: fault.page - regions[region].base)
    }
    var flags: PageTableEntry.Flags = [.present, .young]
    if folio.order > 0 { flags.insert(.part) }
    var isDone = !isWrite
    if expected.flags.contains(.exclusive) || !isCached || references(folio) == 1 {
      flags.insert(.exclusive)
      if area.flags.contains(.write) { flags.insert(.write) }
      if isWrite {
        flags.insert(.dirty)
        isDone = true
        if fault.writes { setFlags(folio.head, insert: .written) }
      }
    }
    spaces[space].swapEntries -= 1
    spaces[space].anonymousPages += 1
    addPageMapping(pfn, of: folio, 1)
    let entry = PageTableEntry(pfn, flags)
    pageTables[slot] = entry
    if area.flags.contains(.locked), folio.order == 0 { mlock(folio) }
    if isDone { return finish(&fault, .mapped) }
    startWriteProtect(&fault, area, index, entry, slot)
  }

  /// Whether a page that is back gives up its slots at once.
  ///
  /// Kernel: `should_try_to_free_swap()`.
  private func mayFreeSwap(_ folio: Folio, _ area: MemoryArea, isWrite: Bool) -> Bool {
    if isSwapFull || area.flags.contains(.locked) { return true }
    if frames.head(folio.head).flags.contains(.mlocked) { return true }
    return isWrite && references(folio) == 1 + folio.pages
  }

  /// Brings a page of a shmem file back.
  ///
  /// Kernel: `shmem_swapin_folio()`, mm/shmem.c.
  ///
  /// - Parameter isFault: Reads and writes of the file count no major fault.
  mutating func swapInShmem(
    _ file: Int, _ page: Int, _ slot: Int, isFault: Bool, inPinScope: Bool
  ) -> Result<PFN, Refusal> {
    guard let pfn = allocatePages(order: 0, gfp: .userPage, inPinScope: inPinScope).pfn else {
      return .failure(
        Refusal(.ENOMEM, "no memory for page \(page) of \(files[file].name)", rule: "P2.12"))
    }
    let folio = Folio(pfn, order: 0)
    let flags = readFlags(slot)
    count(.swapIn, 1)
    if isFault { count(.pgmajfault, 1) }
    dropSwapped(file, page: page, slot)
    guard addFilePage(folio, file, page) else { return .failure(cacheIsFull) }
    setFlags(folio.head, insert: flags.union(.dirty).subtracting(.active))
    return .success(pfn)
  }
}

// The second step of a fault: under the page-table lock, the entry appears.

extension Machine {
  /// Installs a new anonymous folio where the entry is still what the first step saw.
  ///
  /// Kernel: the second half of `do_anonymous_page()`, `__do_huge_pmd_anonymous_page()` and
  /// `wp_page_copy()`.
  mutating func install(
    _ fault: inout PageFault, _ folio: Folio, slot: Int, expected: PageTableEntry, source: Folio?,
    table: UInt32
  ) {
    let space = fault.space
    guard let index = spaces[space].areaIndex(fault.page), pageTables[slot] == expected else {
      dropUnmapped(folio, source: source, table: table)
      return finish(&fault, .mapped)
    }
    let area = spaces[space].areas[index]
    let first = fault.page & ~(folio.pages - 1)
    let region = prepareRegion(space, area: index)
    var state: FrameState.Flags = newFolioFlags.union(.swapBacked)
    if fault.writes { state.insert(.written) }
    if let source, frames.head(source.head).flags.contains(.written) { state.insert(.written) }
    setFlags(folio.head, insert: state)
    folios.setOwner(folio, .anonymous(region), index: first - regions[region].base)
    var flags: PageTableEntry.Flags = [.present, .young, .exclusive]
    if fault.access != .unshare {
      flags.insert(.dirty)
      if area.flags.contains(.write) { flags.insert(.write) }
    }
    if folio.order > 0 {
      flags.insert(.leaf)
      addEntireMapping(folio, 1)
      depositTable(table, slot: slot)
      count(.thpFaultAlloc, 1)
    } else {
      addPageMapping(folio.head, of: folio, 1)
    }
    pageTables[slot] = PageTableEntry(folio.head, flags)
    spaces[space].anonymousPages += folio.pages
    if let source {
      countResident(space, source, -1)
      addPageMapping(expected.pfn, of: source, -1)
      notePartialMapping(source, expected.pfn, pages: 1)
      freeSwapOfUnmapped(source)
      putReferences(source, 2)
    }
    fault.phase = .queue(folio)
  }

  // MARK: Where pages come from

  /// A folio of one page for user memory, with one reference and not mapped yet; nil without memory.
  ///
  /// Kernel: `folio_prealloc()`: 0x140dca when it is to be zeroed, else 0x140cca; without 0x8 in a
  /// pin (rule P2.32).
  mutating func allocateUserPage(isZeroed: Bool, inPinScope: Bool) -> Folio? {
    let gfp: GFPFlags = isZeroed ? .zeroedUserPage : .userPage
    guard let pfn = allocatePages(order: 0, gfp: gfp, inPinScope: inPinScope).pfn else {
      return nil
    }
    let folio = Folio(pfn, order: 0)
    makeFolio(folio, .none, index: 0, owner: UInt8(ascii: "A"), [])
    return folio
  }

  /// A block for a huge page of user memory: first at home without effort, then, if the area asked
  /// for huge pages, anywhere with direct reclaim (rule P2.32).
  ///
  /// Kernel: `vma_thp_gfp_mask()` with `defrag` at its default, `alloc_pages_mpol()`: 0x3d20ca.
  mutating func allocateHugePage(isAdvised: Bool, inPinScope: Bool) -> PFN? {
    let gfp: GFPFlags = isAdvised ? .transHuge : .transHugeLight
    let atHome = gfp.union([.thisNode, .noRetry])
    if let pfn = allocatePages(order: 9, gfp: atHome, inPinScope: inPinScope).pfn { return pfn }
    return isAdvised ? allocatePages(order: 9, gfp: gfp, inPinScope: inPinScope).pfn : nil
  }

  /// The 4 KiB page of zeros that every read of empty memory shares (rule P2.11).
  ///
  /// It lies in the kernel's image, so in frames that boot kept back; nobody counts it.
  package mutating func sharedZeroPage() -> PFN {
    if let zeroPage { return zeroPage }
    let kept = reserved.flatMap { range in memory.map { $0.intersection(range) } }
    let pfn = PFN(kept.last { !$0.isEmpty }.map { $0.end - 1 } ?? 0)
    zeroPage = pfn
    return pfn
  }

  /// The 2 MiB page of zeros, allocated at its first use and kept from then on.
  ///
  /// Kernel: `get_huge_zero_folio()`.
  package mutating func sharedHugeZeroPage() -> PFN? {
    if let hugeZeroPage { return hugeZeroPage }
    let gfp = GFPFlags.transHuge.union(.zero).subtracting(.movable)
    guard let pfn = allocatePages(order: 9, gfp: gfp).pfn else {
      count(.thpZeroPageAllocFailed, 1)
      return nil
    }
    var state = frames.head(pfn)
    state.owner = UInt8(ascii: "K")
    frames.setHead(pfn, state)
    hugeZeroPage = pfn
    _ = sharedZeroPage()
    count(.thpZeroPageAlloc, 1)
    return pfn
  }
}

extension GFPFlags {
  /// GFP_HIGHUSER_MOVABLE with the __GFP_COMP that every folio has: 0x140cca.
  static let userPage: GFPFlags = [.highUserMovable, .comp]
  /// 0x140dca.
  package static let zeroedUserPage: GFPFlags = [.highUserMovable, .comp, .zero]
}

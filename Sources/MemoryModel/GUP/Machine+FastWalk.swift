// The walker that all speed depends on. Invariant: after each page the counts, the words and the
// counters agree, so that it may stop anywhere.

extension Machine {
  /// Pins what page tables show, without faults and without looking at areas (rules P3.30 to
  /// P3.33).
  ///
  /// Kernel: `gup_fast_pgd_range()` and below, mm/gup.c.
  ///
  /// - Returns: The page at which it stopped, `pages.upperBound` when it got all.
  package mutating func walkFast(
    _ space: Int, _ pages: Range<Int>, _ flags: GUPFlags, _ out: inout PinCursor,
    _ costs: inout OperationCosts
  ) -> Int {
    var page = pages.lowerBound
    // Upper levels are read once per table and call (rule P8.2).
    costs.entryReads += 2
    let root = spaces[space].root
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(root, page: page)
      if level == .pte {
        costs.entryReads += 1
        let last = min(pages.upperBound, (page | 511) + 1)
        let end = walkFastTable(slot - page & 511, page, last, flags, &out, &costs)
        if end < last { return end }
        page = last
      } else {
        guard entry.isLeaf, isAccessible(entry, flags, fast: true) else { return page }
        let pagesHere = min(pages.upperBound, (page | ((1 << level.order) - 1)) + 1) - page
        let first = entry.pfn + page & ((1 << level.order) - 1)
        guard grabFast(first, pagesHere, entry, flags, &out) else { return page }
        costs.entryReads += 2
        costs.pinAtomics += 2
        costs.lookups += flags.contains(.longTerm) ? 1 : 0
        costs.arrayWrites += pagesHere
        page += pagesHere
      }
    }
    return page
  }

  private func isAccessible(_ entry: PageTableEntry, _ flags: GUPFlags, fast: Bool) -> Bool {
    guard entry.isPresent, !entry.flags.contains(.special), !entry.flags.contains(.device) else {
      return false
    }
    if entry.flags.contains(.protNone) { return false }
    return !flags.contains(.write) || entry.flags.contains(.write)
  }

  /// Which pageblocks the fast walk refuses for a long-term pin, see ``FrameTable/pinClass(_:)``.
  private func fastRefusals(_ flags: GUPFlags) -> UInt16 {
    guard flags.contains(.longTerm) else { return 0 }
    switch kernel.pinning.fastCheck {
    case .absent: return 0
    case .cma: return refusals(.cmaBlock)
    case .same: return refusals(kernel.pinning.check)
    }
  }

  private mutating func walkFastTable(
    _ table: Int, _ first: Int, _ last: Int, _ flags: GUPFlags, _ out: inout PinCursor,
    _ costs: inout OperationCosts
  ) -> Int {
    let wantsWrite = flags.contains(.write)
    let bias = flags.contains(.get) ? UInt32(1) : UInt32(FolioTable.pinBias)
    let access = PageTableEntry.Flags([.present, .write])
    let wanted = UInt64((wantsWrite ? access : .present).rawValue)
    let looked = UInt64(
      (wantsWrite ? access : PageTableEntry.Flags.present).union([
        .special, .protNone, .device, .migration, .swap, .part,
      ]).rawValue)
    let refused = fastRefusals(flags)
    let looksAtOwner = !wantsWrite || flags.contains(.longTerm)
    var page = first
    var lastBlock = -1
    var run = 0
    var counted = 0
    while page < last {
      let raw = pageTables.entries[table + page & 511]
      let entry = PageTableEntry(rawValue: raw)
      if raw & looked != wanted {
        guard entry.flags.contains(.part), isAccessible(entry, flags, fast: true),
          grabFast(entry.pfn, 1, entry, flags, &out)
        else { break }
        page += 1
        continue
      }
      let pfn = entry.pfn
      if pfn.index >> 9 != lastBlock {
        if refused >> frames.pinClass(pfn) & 1 != 0 { break }
        // The counter belongs to a node, and a pageblock belongs to one node.
        if nodeCount > 1 && bias != 1 && counted < run {
          count(.pinAcquired, run - counted, at: PFN(lastBlock << 9))
          counted = run
        }
        lastBlock = pfn.index >> 9
      }
      var counts = folios.frames[pfn.index]
      if looksAtOwner && counts.mapping & 0x8000_0000 == 0
        && !mayPinFast(MappingID(rawValue: counts.mapping), flags)
      {
        break
      }
      if !wantsWrite && bias != 1 && counts.mapping & 0x8000_0000 != 0
        && !entry.flags.contains(.exclusive)
      {
        break
      }
      if counts.references &+ bias > UInt32(Int32.max) { break }
      counts.references += bias
      counts.mappings |= FolioTable.referencedBit
      folios.frames[pfn.index] = counts
      pinWords.words[out.position] = pfn.rawValue
      out.position += 1
      page += 1
      run += 1
    }
    out.pages += run
    if bias != 1 && counted < run {
      count(.pinAcquired, run - counted, at: PFN(lastBlock << 9))
    }
    costs.entryReads += 3 * (page - first)
    costs.pinAtomics += 2 * run
    costs.arrayWrites += run
    if flags.contains(.longTerm) { costs.lookups += run }
    return page
  }

  /// Whether the fast walk may pin a page of a file, or of nothing.
  ///
  /// Kernel: `gup_fast_folio_allowed()` (rule P3.30, step 6) and `gup_must_unshare()` without an
  /// area.
  private func mayPinFast(_ mapping: MappingID, _ flags: GUPFlags) -> Bool {
    guard let file = mapping.fileIndex else { return false }
    if !flags.contains(.write) {
      // A long-term read of a page-cache page may need a copy, which only the area tells.
      return !flags.isSuperset(of: [.longTerm, .pin]) && files[file].kind != .secret
    }
    return !flags.contains(.longTerm) || files[file].isMemory
  }

  /// Pins pages of one large folio at once.
  private mutating func grabFast(
    _ first: PFN, _ pages: Int, _ entry: PageTableEntry, _ flags: GUPFlags, _ out: inout PinCursor
  ) -> Bool {
    guard let folio = folio(of: first) else { return false }
    if fastRefusals(flags) >> frames.pinClass(folio.head) & 1 != 0 { return false }
    let mapping = folios.owner(folio).mapping
    if mapping.isAnonymous {
      if !flags.contains(.write) && flags.contains(.pin) && !entry.flags.contains(.exclusive) {
        return false
      }
    } else if !mayPinFast(mapping, flags) {
      return false
    }
    guard grab(folio, pages, flags) else { return false }
    setFlags(folio.head, insert: .referenced)
    write(first, pages, &out)
    return true
  }

  /// Takes references or pins on a folio (rule P3.23); false when its count is used up.
  ///
  /// Kernel: `try_grab_folio()`.
  package mutating func grab(_ folio: Folio, _ pages: Int, _ flags: GUPFlags) -> Bool {
    let added = flags.contains(.pin) && folio.order == 0 ? pages * FolioTable.pinBias : pages
    guard folios.references(folio) + added <= Int(Int32.max) else { return false }
    if flags.contains(.pin) { addPins(folio, pages) } else { addReferences(folio, pages) }
    return true
  }

  /// Writes down pages that follow each other and belong to one large folio.
  package mutating func write(_ first: PFN, _ pages: Int, _ out: inout PinCursor) {
    pinWords.words[out.position] = PinWords.runBit | UInt32(pages)
    pinWords.words[out.position + 1] = first.rawValue
    out.position += 2
    out.pages += pages
  }
}

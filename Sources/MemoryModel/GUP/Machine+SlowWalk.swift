extension Machine {
  /// Takes what page tables show in one area, up to the first page that needs more than a look
  /// (rules P3.20, P3.21, P3.23).
  ///
  /// Kernel: `follow_page_mask()` and the loop of `__get_user_pages()`, mm/gup.c.
  ///
  /// - Parameter pages: Within `area`.
  /// - Parameter single: Look at one leaf only, for those who watch.
  /// - Returns: The page at which it stopped, and why, or nil when it got all it was to get.
  package mutating func walkSlow(
    _ space: Int, _ pages: Range<Int>, _ area: MemoryArea, _ flags: GUPFlags, single: Bool,
    _ out: inout PinCursor, _ costs: inout OperationCosts
  ) -> (page: Int, stop: WalkStop?) {
    var page = pages.lowerBound
    let root = spaces[space].root
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(root, page: page)
      if level == .pte {
        let last = single ? page + 1 : min(pages.upperBound, (page | 511) + 1)
        let (end, stop) = walkSlowTable(slot - page & 511, page, last, area, flags, &out, &costs)
        if stop != nil { return (end, stop) }
        page = end
      } else {
        guard entry.isLeaf else {
          costs.walks += 1
          costs.entryReads += 4
          return (page, .absent)
        }
        if level == .pmd, page & 511 == 0, !single, kernel.pinning.slowBatch,
          !kernel.pinning.slowGrabChecksZone, flags.isSuperset(of: [.write, .pin]),
          !queuesAccesses(flags)
        {
          // Touching to write makes an entry's folio dirty; one that is dirty needs no second look.
          let isTouching = flags.contains(.touch)
          let done = grabLeaves(
            slot, min(512 - page >> 9 & 511, (pages.upperBound - page) >> 9),
            wanted: isTouching ? [.present, .write, .dirty] : [.present, .write], .none, flags,
            accessed: isTouching, &out)
          if done > 0 {
            costs.walks += done
            costs.entryReads += 4 * done
            let isScatter = kernel.pinning.writesScatterList
            costs.pinAtomics += (isScatter ? 2 : 4) * done
            costs.arrayWrites += isScatter ? 0 : done << 9
            page += done << 9
            continue
          }
        }
        if let stop = stop(entry, flags, area) {
          costs.walks += 1
          costs.entryReads += 4
          return (page, stop)
        }
        let order = level.order
        let pagesHere = min(pages.upperBound, (page | ((1 << order) - 1)) + 1) - page
        let first = entry.pfn + page & ((1 << order) - 1)
        if let stop = grabSlow(first, pagesHere, entry, area, flags, &out, &costs) {
          return (page, stop)
        }
        page += pagesHere
      }
      if single { return (page, nil) }
    }
    return (page, nil)
  }

  /// Why an entry cannot be used for this access, or nil.
  ///
  /// Kernel: `follow_page_pte()`, `can_follow_write_pte()`.
  private func stop(
    _ entry: PageTableEntry, _ flags: GUPFlags, _ area: MemoryArea
  ) -> WalkStop? {
    guard entry.isPresent else { return .absent }
    if entry.flags.contains(.protNone),
      flags.contains(.honorNUMAFault) || flags.contains(.write)
    {
      return .absent
    }
    if flags.contains(.write) && !entry.flags.contains(.write) {
      // FOLL_FORCE may write through a private copy that is there already.
      let isForced =
        flags.contains(.force) && area.isCopyOnWrite && !area.flags.contains(.write)
        && entry.flags.contains(.exclusive)
      if !isForced { return .absent }
    }
    if entry.flags.contains(.device) { return .noStructPage }
    return nil
  }

  /// Whether a private copy must be made before a page may be pinned for reading (rule P3.14).
  ///
  /// Kernel: `gup_must_unshare()`, mm/internal.h.
  private func mustUnshare(
    _ entry: PageTableEntry, _ mapping: MappingID, _ area: MemoryArea, _ flags: GUPFlags
  ) -> Bool {
    if flags.contains(.write) || !flags.contains(.pin) || entry.flags.contains(.write) {
      return false
    }
    if !mapping.isAnonymous {
      return unshares(anonymous: false) && flags.contains(.longTerm) && area.isCopyOnWrite
    }
    return unshares(anonymous: true) && !entry.flags.contains(.exclusive)
  }

  /// Whether this kernel makes a private copy before a read pin.
  func unshares(anonymous: Bool) -> Bool { kernel.pinning.unshares(anonymous: anonymous) }

  /// Whether a long-term pin may write a shared file that is not memory: from 6.5 on not (rule P3.13).
  ///
  /// Kernel: `writable_file_mapping_allowed()`, mm/gup.c.
  package func mayWriteForLong(_ kind: MemoryFile.Kind) -> Bool {
    kind != .regular || !kernel.pinning.refusesDirtyTracking
  }

  /// Whether the walk may put pages into a batch, which no loop over many does.
  private func queuesAccesses(_ flags: GUPFlags) -> Bool {
    !settings.usesGenerations && flags.contains(.touch)
  }

  private mutating func walkSlowTable(
    _ table: Int, _ first: Int, _ last: Int, _ area: MemoryArea, _ flags: GUPFlags,
    _ out: inout PinCursor, _ costs: inout OperationCosts
  ) -> (page: Int, stop: WalkStop?) {
    // A writable entry of an order-0 page needs no second look; touching it to write makes it dirty.
    let isDirtying = flags.isSuperset(of: [.touch, .write])
    let wanted = PageTableEntry.Flags([.present, .write]).union(isDirtying ? .dirty : [])
    let looked = wanted.union(.notPlain)
    var owner = PinOwner.anonymous
    var page = first
    while page < last {
      let done =
        queuesAccesses(flags)
        ? 0
        : grabPlain(
          table + page & 511, last - page, looked: looked, wanted: wanted, .none, owner, flags,
          accessed: flags.contains(.touch), &out)
      // Each page is a walk of its own from the top (rule P8.1).
      costs.walks += done
      costs.entryReads += 4 * done
      costs.pinAtomics += done
      costs.arrayWrites += kernel.pinning.writesScatterList ? 0 : done
      page += done
      if page == last { break }
      let entry = pageTables[table + page & 511]
      if let stop = stop(entry, flags, area) {
        costs.walks += 1
        costs.entryReads += 4
        return (page, stop)
      }
      if let stop = grabSlow(entry.pfn, 1, entry, area, flags, &out, &costs) {
        return (page, stop)
      }
      page += 1
      owner = plainFile(entry).map(PinOwner.file) ?? .anonymous
    }
    return (page, nil)
  }

  /// Takes pages of one leaf, or one page by the long way.
  private mutating func grabSlow(
    _ first: PFN, _ pages: Int, _ entry: PageTableEntry, _ area: MemoryArea, _ flags: GUPFlags,
    _ out: inout PinCursor, _ costs: inout OperationCosts
  ) -> WalkStop? {
    costs.walks += 1
    costs.entryReads += 4
    if entry.flags.contains(.special) {
      guard first == zeroPage || first == hugeZeroPage else { return .noStructPage }
      if mustUnshare(entry, .none, area, flags) { return .mustUnshare }
    }
    if first == zeroPage {
      // Never counted (rule P1.5).
      write(Folio(first, order: 0), first, pages, &out)
      costs.arrayWrites += pages
      return nil
    }
    guard let folio = folio(of: first) else { return .noStructPage }
    if mustUnshare(entry, folios.owner(folio).mapping, area, flags) { return .mustUnshare }
    guard grab(folio, 1, flags) else { return .overflow }
    let perGrab = flags.contains(.pin) && folio.order > 0 ? 2 : 1
    costs.pinAtomics += perGrab
    if pages > 1 {
      if kernel.pinning.slowBatch {
        // Rule P3.23: 6.6 to 6.9 look at the zone only here.
        if kernel.pinning.slowGrabChecksZone, flags.contains(.longTerm),
          !isLongTermPinnable(folio)
        {
          drop(folio, 1, flags)
          return .grabRefused
        }
        guard grab(folio, pages - 1, flags) else { return .overflow }
        // A walker that writes a scatter list grabs all of a leaf at once (rule P3.60).
        if !kernel.pinning.writesScatterList { costs.pinAtomics += perGrab }
      } else {
        guard grab(folio, pages - 1, flags) else { return .overflow }
        // A walk of its own for each page.
        costs.walks += pages - 1
        costs.entryReads += 4 * (pages - 1)
        costs.pinAtomics += perGrab * (pages - 1)
      }
    }
    if flags.contains(.touch) {
      markAccessed(folio)
      if flags.contains(.write) && !entry.flags.contains(.dirty) {
        setFlags(folio.head, insert: .dirty)
      }
    }
    write(folio, first, pages, &out)
    if !kernel.pinning.writesScatterList { costs.arrayWrites += pages }
    return nil
  }

  /// The end of the pages from the start of a range on that have no entry at all.
  package func absentEnd(_ space: Int, _ pages: Range<Int>) -> Int {
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(spaces[space].root, page: page)
      guard entry.isNone else { return page }
      if level > .pte {
        page = (page | ((1 << level.order) - 1)) + 1
        continue
      }
      let last = min(pages.upperBound, (page | 511) + 1)
      var next = slot
      while page < last, pageTables[next].isNone {
        page += 1
        next += 1
      }
      if page < last { return page }
    }
    return pages.upperBound
  }

  /// Gives back what ``grab(_:_:_:)`` took.
  package mutating func drop(_ folio: Folio, _ pages: Int, _ flags: GUPFlags) {
    if flags.contains(.pin) { dropPins(folio, pages) } else { putReferences(folio, pages) }
  }

  /// With MGLRU, an access only sets a flag; without, the second access of an inactive folio makes it
  /// active, which waits in a batch with a reference (rule P1.27).
  ///
  /// Kernel: `folio_mark_accessed()`, mm/swap.c.
  package mutating func markAccessed(_ folio: Folio) {
    if settings.usesGenerations || !isReferenced(folio) { return setReferenced(folio) }
    let state = frames.head(folio.head)
    if !state.flags.isDisjoint(with: [.unevictable, .active]) { return }
    if state.isLRU {
      queue(folio, .activate)
    } else if lruBatch(cpu: currentCPU).contains(folio.head) {
      setFlags(folio.head, insert: .active)
    }
    clearReferenced(folio)
  }

  /// What new user memory is born with: under MGLRU, faults bring folios to the youngest generation.
  ///
  /// Kernel: `lru_gen_in_fault()` of `folio_add_lru()`.
  var newFolioFlags: FrameState.Flags { settings.usesGenerations ? .active : [] }

  /// Kernel: `folio_set_referenced()`.
  mutating func setReferenced(_ folio: Folio) {
    if folio.order == 0 {
      folios.frames[folio.head.index].mappings |= FolioTable.referencedBit
    } else {
      setFlags(folio.head, insert: .referenced)
    }
  }

  mutating func clearReferenced(_ folio: Folio) {
    if folio.order == 0 {
      folios.frames[folio.head.index].mappings &= FolioTable.mappingsMask
    } else {
      setFlags(folio.head, remove: .referenced)
    }
  }

  /// Whether a folio was accessed since its flag was last taken.
  public func isReferenced(_ folio: Folio) -> Bool {
    folio.order == 0
      ? folios.frames[folio.head.index].mappings & FolioTable.referencedBit != 0
      : frames.head(folio.head).flags.contains(.referenced)
  }
}

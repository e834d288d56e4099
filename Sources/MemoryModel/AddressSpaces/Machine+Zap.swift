// Taking pages out of the tables (rules P2.22, P2.23), and tables out of a process.

extension Machine {
  /// Unmaps the pages of one area and gathers them.
  ///
  /// Kernel: `unmap_page_range()`, mm/memory.c.
  ///
  /// - Parameter keepsPrivate: Private copies stay, as a hole in the file leaves them
  ///   (`should_zap_folio()`).
  /// - Parameter isPart: More of the same area follows, so that a flush that is due at the end of a
  ///   page table may wait.
  package mutating func zap(
    _ area: MemoryArea, _ pages: Range<Int>, keepsPrivate: Bool = false,
    _ gather: inout PageGather, isPart: Bool = false
  ) {
    let space = gather.space
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(spaces[space].root, page: page)
      let span = 1 << level.order
      let start = page & ~(span - 1)
      let end = min(start + span, pages.upperBound)
      if level > .pte {
        if !entry.isNone {
          if level == .pmd, !isHugetlb(area), end - page < span {
            splitLeaf(space, page: page)
            continue
          }
          zapLeaf(area, start, entry, slot, level, &gather)
        }
        page = end
        continue
      }
      let tableEnd = min((page | 511) + 1, pages.upperBound)
      page = zapTable(area, page..<tableEnd, slot, keepsPrivate: keepsPrivate, &gather)
      if gather.mustFlush, page & 511 == 0 || page == pages.upperBound && !isPart {
        flush(&gather)
      }
    }
  }

  func isHugetlb(_ area: MemoryArea) -> Bool {
    area.file.map { files[$0].isHugetlb } ?? false
  }

  /// Unmaps a PMD or PUD leaf.
  ///
  /// Kernel: `zap_huge_pmd()`, `__unmap_hugepage_range()`.
  private mutating func zapLeaf(
    _ area: MemoryArea, _ page: Int, _ entry: PageTableEntry, _ slot: Int, _ level: PageTableLevel,
    _ gather: inout PageGather
  ) {
    let space = gather.space
    pageTables[slot] = .none
    if entry.flags.contains(.special) {
      if entry.flags.contains(.device) { return }
      return freeTableFrame(withdrawTable(slot: slot))
    }
    guard let folio = folio(of: entry.pfn) else { return }
    let mapping = folios.owner(folio).mapping
    if entry.isPresent {
      addEntireMapping(folio, -1)
      notePartialMapping(folio, folio.head, pages: folio.pages)
    }
    if !isHugetlb(area) {
      if mapping.isAnonymous { freeTableFrame(withdrawTable(slot: slot)) }
      countResident(space, folio, -(1 << level.order))
      if entry.flags.contains(.dirty), mapping.isFile { setFlags(folio.head, insert: .dirty) }
    } else if entry.isPresent {
      if entry.flags.contains(.dirty) { setFlags(folio.head, insert: .dirty) }
      spaces[space].hugetlbPages -= folio.pages
      restorePromiseOnUnmap(area, page, folio)
    }
    guard entry.isPresent else { return }
    if area.flags.contains(.locked), frames.head(folio.head).flags.contains(.mlocked) {
      munlock(folio)
    }
    if self.gather(&gather, folio.head, order: folio.order) { flush(&gather) }
  }

  /// Unmaps pages of one PTE table, up to where the gather was full.
  ///
  /// Kernel: `zap_pte_range()`.
  ///
  /// - Parameter first: The slot of the first page.
  /// - Returns: The page to go on at.
  private mutating func zapTable(
    _ area: MemoryArea, _ pages: Range<Int>, _ first: Int, keepsPrivate: Bool,
    _ gather: inout PageGather
  ) -> Int {
    let space = gather.space
    var page = pages.lowerBound
    scan: while page < pages.upperBound {
      let slot = first + page - pages.lowerBound
      if !area.flags.contains(.locked), !keepsPrivate {
        let run = ZapLoop.plainRun(
          pageTables.entries.view(), from: slot,
          count: min(pages.upperBound - page, gather.room), folios.frames.view(),
          frames.stateView())
        if !run.isEmpty {
          zapPlain(space, run, slot, &gather)
          page += run.count
          if self.gather(&gather, run) {
            flush(&gather)
            break scan
          }
          continue
        }
      }
      let entry = pageTables[slot]
      if entry.isNone || keepsPrivate && isPrivate(entry) {
        page += 1
        continue
      }
      if !entry.isPresent || entry.flags.contains(.special) {
        pageTables[slot] = .none
        if entry.isMigration, let folio = folio(of: entry.pfn) { countResident(space, folio, -1) }
        if entry.isSwap {
          spaces[space].swapEntries -= 1
          dropSwapEntry(entry.pfn.index)
        }
        page += 1
        continue
      }
      // Neighbours of one large folio go together.
      let folio =
        entry.flags.contains(.part) ? self.folio(of: entry.pfn)! : Folio(entry.pfn, order: 0)
      var run = 1
      while folio.order > 0, page + run < pages.upperBound {
        let next = pageTables[slot + run]
        guard next.isPresent, next.flags.contains(.part), next.pfn == entry.pfn + run,
          folio.contains(next.pfn)
        else { break }
        run += 1
      }
      var isDirty = false
      for offset in 0..<run {
        isDirty = isDirty || pageTables[slot + offset].flags.contains(.dirty)
        pageTables[slot + offset] = .none
        addPageMapping(entry.pfn + offset, of: folio, -1)
      }
      countResident(space, folio, -run)
      if isDirty, folios.owner(folio).mapping.isFile {
        setFlags(folio.head, insert: .dirty)
        gather.isDelayed = true
        gather.mustFlush = true
      }
      if folio.order > 0 { notePartialMapping(folio, entry.pfn, pages: run) }
      if area.flags.contains(.locked), frames.head(folio.head).flags.contains(.mlocked) {
        munlock(folio)
      }
      page += run
      if self.gather(
        &gather, folio.head, order: folio.order, references: run, slots: run > 1 ? 2 : 1)
      {
        flush(&gather)
        break scan
      }
    }
    return page
  }

  private func isPrivate(_ entry: PageTableEntry) -> Bool {
    if entry.isSwap { return true }
    guard !entry.flags.contains(.special), let folio = folio(of: entry.pfn) else { return false }
    return folios.owner(folio).mapping.isAnonymous
  }

  /// Unmaps pages of order 0 that nobody else maps, all anonymous or all of one shmem file.
  private mutating func zapPlain(
    _ space: Int, _ run: PFNRun, _ slot: Int, _ gather: inout PageGather
  ) {
    let isAnonymous = folios.owner(Folio(run.first, order: 0)).mapping.isAnonymous
    if !isAnonymous, pageTables[slot].flags.contains(.dirty) {
      // Their folios are dirty already.
      gather.isDelayed = true
      gather.mustFlush = true
    }
    pageTables.clear(slot, count: run.count)
    folios.clearMappings(run)
    var left = run
    while !left.isEmpty {
      let piece = frames.zonePrefix(of: left)
      count(isAnonymous ? .anonMapped : .fileMapped, -piece.count, at: piece.first)
      left = left.dropFirst(piece.count)
    }
    if isAnonymous {
      spaces[space].anonymousPages -= run.count
    } else {
      spaces[space].shmemPages -= run.count
    }
  }

  /// Queues an anonymous folio for a deferred split when one of the pages just unmapped was mapped
  /// nowhere else, and others of the folio still are (rule P2.23).
  ///
  /// Kernel: `deferred_split_folio()` from `__folio_remove_rmap()`. Its queue also holds every new
  /// huge page, which matters to reclaim alone.
  package mutating func notePartialMapping(_ folio: Folio, _ first: PFN, pages: Int) {
    guard folio.order > 1, folios.owner(folio).mapping.isAnonymous,
      folios.entireMappings(folio) == 0, folios.mappings(folio) > 0
    else { return }
    let flags = frames.head(folio.head).flags
    if flags.contains(.partiallyMapped) || flags.contains(.hugetlb) { return }
    guard (0..<pages).contains(where: { folios.pageMappings(first + $0) == 0 }) else { return }
    setFlags(folio.head, insert: .partiallyMapped)
    deferredSplits.append(folio.head)
    if folio.order == 9 { count(.thpDeferredSplitPage, 1) }
  }

  /// Counts pages of a folio for or against its process.
  ///
  /// Kernel: `add_mm_counter()`, `mm_counter()`.
  package mutating func countResident(_ space: Int, _ folio: Folio, _ pages: Int) {
    if folios.owner(folio).mapping.isAnonymous {
      spaces[space].anonymousPages += pages
    } else if frames.head(folio.head).flags.contains(.swapBacked) {
      spaces[space].shmemPages += pages
    } else {
      spaces[space].filePages += pages
    }
  }

  // MARK: Splitting a leaf

  /// Lets 512 PTEs show what one PMD leaf shows; the folio stays whole (rule P2.22).
  ///
  /// A leaf of a file is unmapped instead: the next fault brings it back.
  /// Kernel: `__split_huge_pmd_locked()`.
  package mutating func splitLeaf(_ space: Int, page: Int) {
    guard let slot = entrySlot(space, page: page, level: .pmd) else { return }
    let entry = pageTables[slot]
    guard entry.isLeaf, !entry.flags.contains(.device) else { return }
    count(.thpSplitPMD, 1)
    if entry.flags.contains(.special) {
      let table = populateDeposited(slot)
      if let zero = zeroPage {
        for index in 0..<512 {
          pageTables[table + index] = PageTableEntry(zero, [.present, .special, .young])
        }
      }
      return
    }
    guard let folio = folio(of: entry.pfn) else { return }
    guard folios.owner(folio).mapping.isAnonymous else {
      pageTables[slot] = .none
      countResident(space, folio, -512)
      if entry.isPresent {
        if entry.flags.contains(.dirty) { setFlags(folio.head, insert: .dirty) }
        if entry.flags.contains(.young) { setFlags(folio.head, insert: .referenced) }
        addEntireMapping(folio, -1)
        putReferences(folio, 1)
      }
      return
    }
    let table = populateDeposited(slot)
    let flags = entry.flags.subtracting(.leaf).union(.part)
    for index in 0..<512 {
      pageTables[table + index] = PageTableEntry(entry.pfn + index, flags)
    }
    guard entry.isPresent else { return }
    if entry.flags.contains(.dirty) { setFlags(folio.head, insert: .dirty) }
    addReferences(folio, 511)
    addPageMappings(folio, 1)
    addEntireMapping(folio, -1)
  }

  /// Puts a deposited frame to use as the PTE table under a leaf's slot.
  ///
  /// - Returns: The first slot of the table.
  private mutating func populateDeposited(_ slot: Int) -> Int {
    let frame = withdrawTable(slot: slot)
    precondition(frame != 0, "a leaf without a deposited table")
    // Each table has a frame of its own, so the model has at least as much room for tables.
    guard let table = pageTables.add(frame: frame) else {
      preconditionFailure("no room for a table")
    }
    pageTables[slot] = PageTableEntry(table: table)
    return table * PageTables.entriesPerTable
  }

  // MARK: Tables

  /// The pages of a range whose tables no other area needs, or nil.
  ///
  /// - Parameter floor: Where the area below ends, 0 without one.
  /// - Parameter ceiling: Where the area above starts, or the end of user space.
  func tablePages(_ pages: Range<Int>, floor: Int, ceiling: Int) -> Range<Int>? {
    var start = pages.lowerBound & ~511
    if start < floor { start += 512 }
    let roof = ceiling & ~511
    let end = pages.upperBound > roof ? (pages.upperBound - 1) & ~511 : pages.upperBound
    return start < end ? start..<end : nil
  }

  /// Gathers the tables under a part of such a range, from its beginning on; upper tables go with the
  /// last of their pages.
  ///
  /// Kernel: `free_pgd_range()`, mm/memory.c.
  ///
  /// - Parameter end: Where the whole range ends.
  mutating func freeTables(
    _ pages: Range<Int>, until end: Int, floor: Int, ceiling: Int, _ gather: inout PageGather
  ) {
    freeTables(
      spaces[gather.space].root, .pgd, pages, until: end, floor: floor, ceiling: ceiling, &gather)
  }

  private mutating func freeTables(
    _ table: Int, _ level: PageTableLevel, _ pages: Range<Int>, until end: Int, floor: Int,
    ceiling: Int, _ gather: inout PageGather
  ) {
    guard let below = PageTableLevel(rawValue: level.rawValue - 1) else { return }
    let span = 1 << level.order
    var page = pages.lowerBound
    while page < pages.upperBound {
      let border = (page & ~(span - 1)) + span
      let next = min(border, pages.upperBound)
      let slot = table * PageTables.entriesPerTable + page >> level.order & 511
      let entry = pageTables[slot]
      if entry.isTable {
        let covers =
          page & ~(span - 1) >= floor && !(min(border, end) > ceiling & ~(span - 1))
        if below > .pte {
          freeTables(
            entry.table, below, page..<next, until: end, floor: floor, ceiling: ceiling, &gather)
        }
        if next == min(border, end), below == .pte || covers {
          pageTables[slot] = .none
          removeTable(entry.table, &gather)
        }
      }
      page = next
    }
  }

  private mutating func removeTable(_ table: Int, _ gather: inout PageGather) {
    let frame = pageTables.frames[table]
    pageTables.remove(table)
    guard frame != 0 else { return }
    count(.pageTable, -1, at: PFN(frame))
    if self.gather(&gather, PFN(frame), order: -1) { flush(&gather) }
  }
}

enum ZapLoop {
  /// The pages of consecutive entries, as long as they are pages of order 0 in consecutive frames, in
  /// either direction, that have no other mapping: all anonymous, or all of one shmem file and alike
  /// in being dirty; empty when the first is no such page.
  static func plainRun(
    _ entries: ArenaView<UInt64>, from slot: Int, count: Int, _ records: ArenaView<FrameCounts>,
    _ states: ArenaView<UInt32>
  ) -> PFNRun {
    let none = PFNRun(PFN(0), count: 0)
    let first = entries[slot]
    let present = UInt64(PageTableEntry.Flags.present.rawValue)
    guard count > 0, first & present != 0 else { return none }
    let start = Int(first >> 32)
    var looked = UInt64(PageTableEntry.Flags([.present, .special, .part, .device]).rawValue)
    var wanted = present
    var owner = PinOwner.anonymous
    // Without flags that are looked at: any state.
    var dirty: UInt32 = 0
    if first & looked != wanted { return none }
    if !owner.owns(records[start].mapping) {
      guard let file = MappingID(rawValue: records[start].mapping).fileIndex,
        FrameState(rawValue: states[start]).flags.contains(.swapBacked)
      else { return none }
      owner = .file(file)
      let isDirty = UInt64(PageTableEntry.Flags.dirty.rawValue)
      looked |= isDirty
      wanted |= first & isDirty
      // A dirty entry makes the folio dirty, which is nothing new where it is.
      if first & isDirty != 0 { dirty = FrameState.Flags.dirty.rawValue }
    }
    func isPlain(_ raw: UInt64, _ pfn: Int) -> Bool {
      if raw & looked != wanted { return false }
      return owner.owns(records[pfn].mapping)
        && records[pfn].mappings & FolioTable.mappingsMask == 1
        && (dirty == 0 || states[pfn] & dirty != 0)
    }
    guard isPlain(first, start) else { return none }
    var step = 1
    if count > 1, Int(entries[slot + 1] >> 32) == start - 1 { step = -1 }
    var done = 1
    while done < count {
      let raw = entries[slot &+ done]
      let pfn = start &+ step &* done
      if Int(raw >> 32) != pfn || !isPlain(raw, pfn) { break }
      done &+= 1
    }
    return PFNRun(PFN(start), count: done, descending: step < 0 && done > 1)
  }
}

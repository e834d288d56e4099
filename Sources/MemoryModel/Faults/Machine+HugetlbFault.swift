// Faults of hugetlb mappings. Invariant: from the first step to the last, a page taken from the pool
// is not migratable (rule P1.31); a shared one is in its file's cache at once, because the kernel
// holds the fault mutex of the page until it is.

extension Machine {
  /// The first step of a fault in a hugetlb area.
  ///
  /// Kernel: `hugetlb_fault()`, mm/hugetlb.c.
  ///
  /// - Returns: The folio whose lock it waits for, or nil.
  mutating func startHugetlbFault(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int
  ) -> PFN? {
    let order = area.file.map { files[$0].hugeOrder } ?? geometry.hugeOrder
    let first = hugeStart(fault.page, order)
    guard let table = makeTable(fault.space, page: first, level: leafLevel(order)) else {
      refuseMemory(&fault, "a page table")
      return nil
    }
    let slot = table * PageTables.entriesPerTable + first >> order & 511
    let entry = pageTables[slot]
    if entry.isMigration { return folio(of: entry.pfn)?.head ?? entry.pfn }
    if entry.isNone { return startMissingHuge(&fault, area, index, first) }
    let needsWrite = fault.access == .write && !entry.flags.contains(.write)
    let needsOwn = fault.access == .unshare && !entry.flags.contains(.write)
    if needsWrite || needsOwn { return breakHugeSharing(&fault, area, index, slot, entry) }
    pageTables[slot].flags.insert(fault.access == .write ? [.young, .dirty] : .young)
    if fault.writes { markWritten(entry.pfn) }
    finish(&fault, .mapped)
    return nil
  }

  func hugeStart(_ page: Int, _ order: Int) -> Int { page & ~((1 << order) - 1) }

  /// The level whose leaves show huge pages of an order.
  func leafLevel(_ order: Int) -> PageTableLevel { order == geometry.hugeOrder ? .pmd : .pud }

  /// Rule P2.36: without a page of the pool the fault is a SIGBUS, which GUP reports as EFAULT.
  private mutating func refuseHuge(_ fault: inout PageFault, _ text: String) {
    refuse(&fault, .EFAULT, text + " (SIGBUS)", "P2.36")
  }

  // MARK: Nothing there

  /// Kernel: `hugetlb_no_page()` up to its page-table lock.
  private mutating func startMissingHuge(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int, _ first: Int
  ) -> PFN? {
    guard let file = area.file else { return nil }
    let filePage = area.filePage(first)
    if area.flags.contains(.reserveLost) {
      refuseHuge(&fault, "the owner of the mapping took its huge page away")
      return nil
    }
    if let cached = cachedFrame(file, page: filePage) {
      let folio = Folio(cached, order: files[file].hugeOrder)
      if frames.head(folio.head).flags.contains(.locked) { return folio.head }
      addReferences(folio, 1)
      fault.phase = .showHuge(folio, isNew: false)
      return nil
    }
    guard filePage < files[file].pages else {
      refuseHuge(&fault, "page \(filePage) lies behind the end of \(files[file].name)")
      return nil
    }
    let isShared = area.flags.contains(.shared)
    if !isShared { _ = prepareRegion(fault.space, area: index) }
    switch allocateHugePage(for: area, page: first, inPinScope: isScoped(fault, area)) {
    case .failure(let refusal): refuseHuge(&fault, refusal.message)
    case .success(let folio):
      if isShared {
        addHugeToCache(folio, file, page: filePage)
        fault.phase = .showHuge(folio, isNew: true)
      } else {
        fault.phase = .installHuge(folio, expected: .none, source: nil)
      }
    }
    return nil
  }

  /// Kernel: `hugetlb_add_to_page_cache()`: the promise is spent for good.
  mutating func addHugeToCache(_ folio: Folio, _ file: Int, page: Int) {
    // A chunk of the cache is needed for smaller folios only.
    _ = addToCache(folio, file, page: page)
    setHugePageFlags(
      folio.head, hugePageFlags(folio.head).subtracting([.restoreReserve, .migratable]))
  }

  /// Lets a leaf show a page of the cache; a private write goes on to copy it.
  ///
  /// Kernel: the second half of `hugetlb_no_page()`.
  mutating func showHuge(_ fault: inout PageFault, _ folio: Folio, isNew: Bool) {
    guard let (area, index, slot) = hugeSlot(fault, folio.order), pageTables[slot].isNone else {
      if isNew { finishHugeFault(folio.head) }
      putReferences(folio, 1)
      return finish(&fault, .mapped)
    }
    var flags: PageTableEntry.Flags = [.present, .leaf, .young]
    if area.flags.isSuperset(of: [.shared, .write]) { flags.formUnion([.write, .dirty]) }
    if fault.writes, area.flags.contains(.shared) { setFlags(folio.head, insert: .written) }
    // The fault's reference becomes the entry's.
    pageTables[slot] = PageTableEntry(folio.head, flags)
    addEntireMapping(folio, 1)
    spaces[fault.space].hugetlbPages += folio.pages
    if isNew { finishHugeFault(folio.head) }
    if fault.access == .write, !area.flags.contains(.shared) {
      _ = breakHugeSharing(&fault, area, index, slot, pageTables[slot])
    } else {
      finish(&fault, .mapped)
    }
  }

  /// The area and the leaf's slot of a fault, unless an unmap took them away between two steps.
  private func hugeSlot(
    _ fault: PageFault, _ order: Int
  ) -> (area: MemoryArea, index: Int, slot: Int)? {
    guard spaces[fault.space].isAlive, let index = spaces[fault.space].areaIndex(fault.page),
      let slot = entrySlot(
        fault.space, page: hugeStart(fault.page, order), level: leafLevel(order))
    else { return nil }
    let area = spaces[fault.space].areas[index]
    guard area.file.map({ files[$0].hugeOrder }) == order else { return nil }
    return (area, index, slot)
  }

  // MARK: Something there

  /// Makes a leaf writable, or a page of its own: in place when nobody else maps it, else a copy.
  ///
  /// References do not count here, unlike for small pages. Kernel: `hugetlb_wp()`.
  ///
  /// - Returns: The folio whose lock it waits for, or nil.
  private mutating func breakHugeSharing(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int, _ slot: Int, _ entry: PageTableEntry
  ) -> PFN? {
    guard let old = folio(of: entry.pfn) else { return nil }
    if area.flags.contains(.shared) {
      makeHugeWritable(&fault, slot)
      return nil
    }
    let isAnonymous = folios.owner(old).mapping.isAnonymous
    if isAnonymous, frames.head(old.head).flags.contains(.locked) { return old.head }
    if isAnonymous, folios.mappings(old) == 1 {
      reuseHuge(&fault, slot)
      return nil
    }
    _ = prepareRegion(fault.space, area: index)
    let isOwnersCopy = area.reservation != nil && isAnonymous
    let first = hugeStart(fault.page, old.order)
    switch allocateHugePage(
      for: area, page: first, isOwnersCopy: isOwnersCopy, inPinScope: isScoped(fault, area))
    {
    case .success(let copy):
      addReferences(old, 1)
      fault.phase = .installHuge(copy, expected: entry, source: old)
    case .failure(let refusal):
      if isOwnersCopy {
        takeFromCopies(area, first, old, except: fault.space)
        if folios.mappings(old) == 1 {
          reuseHuge(&fault, slot)
          return nil
        }
      }
      refuseHuge(&fault, refusal.message)
    }
    return nil
  }

  private mutating func reuseHuge(_ fault: inout PageFault, _ slot: Int) {
    pageTables[slot].flags.insert(.exclusive)
    if fault.access == .unshare { return finish(&fault, .mapped) }
    makeHugeWritable(&fault, slot)
  }

  /// Kernel: `set_huge_ptep_writable()`.
  private mutating func makeHugeWritable(_ fault: inout PageFault, _ slot: Int) {
    pageTables[slot].flags.formUnion([.write, .dirty, .young])
    if fault.writes { markWritten(pageTables[slot].pfn) }
    finish(&fault, .mapped)
  }

  /// The owner of a private mapping always gets its page: the copies that forks made of the mapping
  /// lose theirs, and their next fault there kills them.
  ///
  /// Kernel: `unmap_ref_private()`.
  private mutating func takeFromCopies(
    _ area: MemoryArea, _ page: Int, _ folio: Folio, except owner: Int
  ) {
    guard let file = area.file else { return }
    let filePage = area.filePage(page)
    for space in files[file].spaces where space != owner && spaces[space].isAlive {
      for (index, other) in spaces[space].areas.enumerated()
      where other.file == file && !other.flags.contains(.shared) && other.reservation == nil {
        let start = other.start + filePage - other.filePage(other.start)
        guard other.contains(start), frame(space, page: start) == folio.head else { continue }
        spaces[space].areas[index].flags.insert(.reserveLost)
        var gather = PageGather(space: space)
        zap(other, start..<start + folio.pages, &gather)
        finish(&gather)
      }
    }
  }

  // MARK: A page of its own

  /// Installs a new page, or a copy, where the entry is still what the step before saw.
  ///
  /// Kernel: the ends of `hugetlb_no_page()` and of `hugetlb_wp()`.
  mutating func installHuge(
    _ fault: inout PageFault, _ folio: Folio, expected: PageTableEntry, source: Folio?
  ) {
    guard let (_, index, slot) = hugeSlot(fault, folio.order), pageTables[slot] == expected else {
      dropUnusedHuge(fault, folio, source)
      return finish(&fault, .mapped)
    }
    var flags: PageTableEntry.Flags = [.present, .leaf, .young, .exclusive]
    if fault.access == .write { flags.formUnion([.write, .dirty]) }
    let isCopyOfData =
      source.map { frames.head($0.head).flags.contains(.written) } ?? false
    if fault.writes || isCopyOfData { setFlags(folio.head, insert: .written) }
    showOwnHuge(fault.space, index, hugeStart(fault.page, folio.order), folio, slot, flags)
    if let source {
      addEntireMapping(source, -1)
      putReferences(source, 2)
    } else {
      spaces[fault.space].hugetlbPages += folio.pages
    }
    finish(&fault, .mapped)
  }

  /// Makes a page anonymous, with one leaf that shows it.
  ///
  /// Kernel: `hugetlb_add_new_anon_rmap()`, `hugetlb_install_folio()`.
  mutating func showOwnHuge(
    _ space: Int, _ index: Int, _ first: Int, _ folio: Folio, _ slot: Int,
    _ flags: PageTableEntry.Flags
  ) {
    let region = prepareRegion(space, area: index)
    folios.setOwner(folio, .anonymous(region), index: first - regions[region].base)
    addEntireMapping(folio, 1)
    pageTables[slot] = PageTableEntry(folio.head, flags)
    finishHugeFault(folio.head)
  }

  /// Gives back what a fault took and does not need, with the promise.
  mutating func dropUnusedHuge(_ fault: PageFault, _ folio: Folio, _ source: Folio?) {
    let area = spaces[fault.space].isAlive ? spaces[fault.space].area(fault.page) : nil
    restorePromise(area, hugeStart(fault.page, folio.order), folio)
    putReferences(folio, 1)
    if let source { putReferences(source, 1) }
  }
}

// Faults of file mappings: the page cache is filled, and the entry shows its page or a copy.

extension Machine {
  /// Kernel: `do_read_fault()`, `do_cow_fault()`, `do_shared_fault()`.
  mutating func startFileFault(
    _ fault: inout PageFault, _ area: MemoryArea, _ index: Int, _ level: PageTableLevel
  ) {
    guard case .file(let file, _) = area.backing else { return }
    let filePage = area.filePage(fault.page)
    // Empty upper tables first, as every fault makes them.
    guard makeTable(fault.space, page: fault.page, level: .pmd) != nil else {
      return refuseMemory(&fault, "a page table")
    }
    let isCopy = fault.access == .write && !area.flags.contains(.shared)
    var copy: Folio?
    if isCopy {
      _ = prepareRegion(fault.space, area: index)
      copy = allocateUserPage(isZeroed: false, inPinScope: isScoped(fault, area))
      if copy == nil { return refuseMemory(&fault, "the copy") }
    }
    // The table is allocated before the page, because the page is locked then.
    var table: UInt32 = 0
    if level >= .pmd {
      guard let frame = allocateTableFrame() else {
        if let copy { putReferences(copy, 1) }
        return refuseMemory(&fault, "a page table")
      }
      table = frame
    }
    if fault.access != .write, showAround(fault, area, table: &table) {
      if table != 0 { freeTableFrame(table) }
      return finish(&fault, .mapped)
    }
    switch cachePage(
      file, filePage, area: area, at: fault.page, inPinScope: isScoped(fault, area))
    {
    case .failure(let refusal):
      if let copy { putReferences(copy, 1) }
      if table != 0 { freeTableFrame(table) }
      finish(&fault, .refused(refusal))
    case .success(let pfn):
      guard let copy else {
        if let folio = folio(of: pfn) { addReferences(folio, 1) }
        fault.phase = .show(pfn, table: table)
        return
      }
      if let source = folio(of: pfn), frames.head(source.head).flags.contains(.written) {
        setFlags(copy.head, insert: .written)
      }
      guard let slot = pteSlot(fault.space, page: fault.page, table: &table) else {
        putReferences(copy, 1)
        return finish(&fault, .mapped)
      }
      fault.phase = .install(
        copy, slot: slot, expected: .none, source: nil, table: table)
    }
  }

  /// The PTE slot of a page; a table that is missing is made of the frame in `table`.
  ///
  /// Nil when a leaf lies there.
  ///
  /// Kernel: `pmd_install()`.
  mutating func pteSlot(_ space: Int, page: Int, table: inout UInt32) -> Int? {
    guard let pmd = entrySlot(space, page: page, level: .pmd) else { return nil }
    if pageTables[pmd].isNone {
      guard table != 0, let added = pageTables.add(frame: table) else { return nil }
      pageTables[pmd] = PageTableEntry(table: added)
      table = 0
    }
    guard pageTables[pmd].isTable else { return nil }
    return pageTables[pmd].table * PageTables.entriesPerTable + page & 511
  }

  /// Shows a page of the cache at the faulting page.
  ///
  /// Kernel: `finish_fault()`, `do_set_pmd()`.
  mutating func show(_ fault: inout PageFault, _ pfn: PFN, table: UInt32) {
    var table = table
    defer { if table != 0 { freeTableFrame(table) } }
    guard let folio = folio(of: pfn), let area = spaces[fault.space].area(fault.page) else {
      return finish(&fault, .mapped)
    }
    let isWrite = fault.access == .write
    if isWrite { markDirty(folio) }
    if fault.writes { setFlags(folio.head, insert: .written) }
    if showLeaf(fault.space, fault.page, area, folio, isWrite: isWrite) {
      return finish(&fault, .mapped)
    }
    guard let slot = pteSlot(fault.space, page: fault.page, table: &table) else {
      putReferences(folio, 1)
      return finish(&fault, .mapped)
    }
    // Shmem shows a large folio whole where it fits.
    var first = fault.page
    var pages = 1
    if folio.order > 0, isShmem(area) {
      let start = fault.page - (pfn.index - folio.head.index)
      if start >= area.start, start + folio.pages <= area.end,
        start >> 9 == (start + folio.pages - 1) >> 9
      {
        let from = slot - (fault.page - start)
        if (0..<folio.pages).allSatisfy({ pageTables[from + $0].isNone }) {
          first = start
          pages = folio.pages
        }
      }
    }
    let from = slot - (fault.page - first)
    guard pages > 1 || pageTables[slot].isNone else {
      putReferences(folio, 1)
      return finish(&fault, .mapped)
    }
    addReferences(folio, pages - 1)
    for offset in 0..<pages {
      setFileEntry(
        area, folio, pfn + (first - fault.page + offset), slot: from + offset, isWrite: isWrite)
    }
    countResident(fault.space, folio, pages)
    finish(&fault, .mapped)
  }

  private func isShmem(_ area: MemoryArea) -> Bool {
    area.file.map { files[$0].kind == .shmem } ?? false
  }

  /// Maps a huge folio by one entry, with a reference that the caller gives; false when it does not
  /// fit.
  ///
  /// Kernel: `do_set_pmd()`.
  private mutating func showLeaf(
    _ space: Int, _ page: Int, _ area: MemoryArea, _ folio: Folio, isWrite: Bool
  ) -> Bool {
    let start = page & ~511
    guard folio.order == 9, !area.flags.contains(.noHugePage), start >= area.start,
      start + 512 <= area.end, area.filePage(start) & 511 == 0,
      let slot = entrySlot(space, page: page, level: .pmd), pageTables[slot].isNone
    else { return false }
    var flags = fileFlags(area, isWrite: isWrite)
    flags.insert(.leaf)
    pageTables[slot] = PageTableEntry(folio.head, flags)
    addEntireMapping(folio, 1)
    countResident(space, folio, 512)
    count(.thpFileMapped, 1)
    return true
  }

  private mutating func setFileEntry(
    _ area: MemoryArea, _ folio: Folio, _ pfn: PFN, slot: Int, isWrite: Bool
  ) {
    var flags = fileFlags(area, isWrite: isWrite)
    if folio.order > 0 { flags.insert(.part) }
    pageTables[slot] = PageTableEntry(pfn, flags)
    addPageMapping(pfn, of: folio, 1)
  }

  /// Shared memory without dirty tracking comes out writable even for a read (rule P2.13).
  private func fileFlags(_ area: MemoryArea, isWrite: Bool) -> PageTableEntry.Flags {
    var flags: PageTableEntry.Flags = [.present, .young]
    let isTracked = area.file.map { files[$0].kind == .regular } ?? false
    if area.flags.isSuperset(of: [.shared, .write]), !isTracked || isWrite { flags.insert(.write) }
    if isWrite { flags.insert(.dirty) }
    return flags
  }

  /// Shows the cached pages in the 64 KiB around a read; whether the faulting page was among them.
  ///
  /// Kernel: `do_fault_around()`, `filemap_map_pages()`.
  private mutating func showAround(
    _ fault: PageFault, _ area: MemoryArea, table: inout UInt32
  ) -> Bool {
    guard let file = area.file, files[file].kind == .shmem || files[file].kind == .regular else {
      return false
    }
    let page = fault.page
    let first = max(page & ~15, area.start)
    let end = min(page & ~15 + 16, area.end)
    var isShown = false
    for other in first..<end where area.filePage(other) < files[file].pages {
      guard let pfn = cachedFrame(file, page: area.filePage(other)), let folio = folio(of: pfn),
        !frames.head(folio.head).flags.contains(.locked)
      else { continue }
      if showLeaf(fault.space, other, area, folio, isWrite: false) {
        addReferences(folio, 1)
        return true
      }
      guard let slot = pteSlot(fault.space, page: other, table: &table) else { return isShown }
      guard pageTables[slot].isNone else { continue }
      addReferences(folio, 1)
      setFileEntry(area, folio, pfn, slot: slot, isWrite: false)
      countResident(fault.space, folio, 1)
      if other == page { isShown = true }
    }
    return isShown
  }

  // MARK: The cache

  /// The frame of a file's page, which is allocated if the cache lacks it.
  ///
  /// Kernel: `shmem_get_folio_gfp()`, `filemap_fault()`.
  ///
  /// - Parameter area: The faulting area and page, or nil for write() and fallocate().
  package mutating func cachePage(
    _ file: Int, _ page: Int, area: MemoryArea?, at faultPage: Int, inPinScope: Bool
  ) -> Result<PFN, Refusal> {
    guard page < files[file].pages else {
      return .failure(
        Refusal(
          .EFAULT, "page \(page) lies behind the end of \(files[file].name) (SIGBUS)",
          rule: "P2.13"))
    }
    if let pfn = cachedFrame(file, page: page) { return .success(pfn) }
    if let slot = swappedSlot(file, page: page) {
      return swapInShmem(file, page, slot, isFault: area != nil, inPinScope: inPinScope)
    }
    if files[file].kind == .shmem, mayHaveHugePage(file, page, area: area, at: faultPage) {
      if let head = allocateHugePage(
        isAdvised: area?.flags.contains(.hugePage) ?? false, inPinScope: inPinScope)
      {
        let folio = Folio(head, order: 9)
        guard addFilePage(folio, file, page & ~511) else { return .failure(cacheIsFull) }
        count(.thpFileAlloc, 1)
        return .success(head + page & 511)
      }
      count(.thpFileFallback, 1)
    }
    let gfp: GFPFlags =
      switch files[file].kind {
      case .secret: [.highUser, .zero, .comp]
      case .guestMemory: .highUser
      default: .userPage
      }
    guard let pfn = allocatePages(order: 0, gfp: gfp, inPinScope: inPinScope).pfn else {
      return .failure(
        Refusal(.ENOMEM, "no memory for page \(page) of \(files[file].name)", rule: "P2.12"))
    }
    // read() is no fault.
    if files[file].kind == .regular, area != nil { count(.pgmajfault, 1) }
    guard addFilePage(Folio(pfn, order: 0), file, page, isActive: area != nil) else {
      return .failure(cacheIsFull)
    }
    return .success(pfn)
  }

  var cacheIsFull: Refusal {
    Refusal(.ENOMEM, "the model's room for page caches is used up", rule: "P2.12")
  }

  /// Makes an allocated block a page of a file and queues it for the LRU.
  mutating func addFilePage(
    _ folio: Folio, _ file: Int, _ page: Int, isActive: Bool = true
  ) -> Bool {
    let isShmem = files[file].kind == .shmem
    var flags: FrameState.Flags = isShmem ? newFolioFlags.union(.swapBacked) : []
    if isActive { flags.formUnion(newFolioFlags) }
    if [.secret, .guestMemory].contains(files[file].kind) {
      flags.insert(.unevictable)
      count(.unevictableCulled, folio.pages)
    }
    makeFolio(folio, .none, index: 0, owner: UInt8(ascii: "F"), flags)
    guard addToCache(folio, file, page: page) else {
      putReferences(folio, 1)
      return false
    }
    count(.filePages, folio.pages, at: folio.head)
    if isShmem {
      count(.shmem, folio.pages, at: folio.head)
      if folio.order >= 9 { count(.shmemTHPs, folio.pages, at: folio.head) }
    }
    queue(folio, .add)
    // The cache keeps its own references.
    putReferences(folio, 1)
    return true
  }

  /// Whether shmem may try a huge page for a page of a file (rule P2.12).
  ///
  /// Kernel: `shmem_allowable_huge_orders()`, `shmem_suitable_orders()`.
  func mayHaveHugePage(
    _ file: Int, _ page: Int, area: MemoryArea?, at faultPage: Int
  ) -> Bool {
    guard geometry.maxOrder >= 9 else { return false }
    let first = page & ~511
    if let area {
      let start = faultPage & ~511
      guard !area.flags.contains(.noHugePage), area.filePage(start) & 511 == 0,
        start >= area.start, start + 512 <= area.end
      else { return false }
    }
    switch files[file].hugePages {
    case .never, .deny: return false
    case .always, .force: break
    case .withinSize: guard first + 512 <= files[file].pages else { return false }
    case .advise: guard area?.flags.contains(.hugePage) ?? false else { return false }
    }
    // Another folio in the range would be in the way.
    return page >> 9 < files[file].chunks.count && isChunkEmpty(file, page >> 9)
  }

  private func isChunkEmpty(_ file: Int, _ chunk: Int) -> Bool {
    let value = files[file].chunks[chunk]
    if value == 0 { return true }
    if value & MemoryFile.hugeChunk != 0 { return false }
    let first = (Int(value) - 1) << 9
    return (0..<512).allSatisfy { pageCache.entries[first + $0] == 0 }
  }
}

extension Machine {
  /// Whether a folio is memfd_secret's, which nobody moves.
  ///
  /// Kernel: `secretmem_migrate_folio()`, which answers EBUSY.
  public func isSecret(_ folio: Folio) -> Bool {
    folios.owner(folio).mapping.fileIndex.map { files[$0].kind == .secret } ?? false
  }

  /// A new file; its creator holds it until ``dropUser(_:)``.
  ///
  /// - Parameter pages: Its size in pages.
  package mutating func createFile(
    _ kind: MemoryFile.Kind, name: String, pages: Int
  ) -> Result<Int, Refusal> {
    let unit = if case .hugetlb(let order) = kind { 1 << order } else { 1 }
    guard pages >= 0, pages <= Self.areaPagesLimit, pages % unit == 0 else {
      return .failure(
        Refusal(.EINVAL, "a file of \(pages) pages; ask for whole units of \(unit)", rule: "P2.2"))
    }
    files.append(MemoryFile(kind: kind, name: name, pages: pages))
    return .success(files.count - 1)
  }

  /// Writes pages of a file through its cache, as write() and fallocate() do; nothing is mapped.
  ///
  /// Kernel: `shmem_write_begin()`, `generic_perform_write()`; `SGP_FALLOC` without `writes`.
  ///
  /// - Returns: How many pages from the start are cached now, and why not all.
  package mutating func fillFile(
    _ file: Int, _ pages: Range<Int>, inPinScope: Bool = false, writes: Bool = true
  ) -> FaultRun {
    var run = FaultRun(done: 0)
    for page in pages {
      switch cachePage(file, page, area: nil, at: 0, inPinScope: inPinScope) {
      case .failure(let refusal):
        run.refusal = refusal
        return run
      case .success(let pfn):
        if let folio = folio(of: pfn), writes || files[file].kind == .shmem {
          markDirty(folio)
          if writes { setFlags(folio.head, insert: .written) }
        }
        run.done += 1
      }
    }
    return run
  }

  /// Frees pages of a file; mappings of them become empty, private copies stay.
  ///
  /// A folio that is only partly in the range stays, as one that cannot be split does.
  ///
  /// Kernel: `shmem_fallocate()` with FALLOC_FL_PUNCH_HOLE, `unmap_mapping_range()`.
  package mutating func punchHole(_ file: Int, _ pages: Range<Int>) -> Refusal? {
    let unit = 1 << files[file].hugeOrder
    guard !pages.isEmpty, pages.lowerBound >= 0, pages.lowerBound % unit == 0,
      pages.upperBound % unit == 0
    else {
      return Refusal(.EINVAL, "a hole of \(pages) in units of \(unit) pages", rule: "P2.12")
    }
    let end = min(pages.upperBound, files[file].chunks.count << 9)
    if pages.lowerBound >= end { return nil }
    for space in files[file].spaces where spaces[space].isAlive {
      for area in spaces[space].areas where area.file == file {
        let first = max(area.start, area.start + pages.lowerBound - area.filePage(area.start))
        let last = min(area.end, area.start + end - area.filePage(area.start))
        if first >= last { continue }
        drainLRU(cpu: currentCPU)
        var gather = PageGather(space: space)
        zap(area, first..<last, keepsPrivate: true, &gather)
        finish(&gather)
      }
    }
    truncate(file, pages.lowerBound..<end)
    return nil
  }

  /// Lets a descriptor or an area of a file go; with the last its pages go, too.
  ///
  /// Kernel: `iput()`, `shmem_evict_inode()`.
  package mutating func dropUser(_ file: Int) {
    files[file].users -= 1
    if files[file].users == 0 { truncate(file, 0..<files[file].chunks.count << 9) }
  }

  /// Takes cached pages out of a file, folio by folio, ascending.
  ///
  /// A folio that is only partly in the range stays. Nothing may map the pages.
  ///
  /// Kernel: `truncate_inode_pages_range()`.
  package mutating func truncate(_ file: Int, _ pages: Range<Int>) {
    if files[file].isHugetlb { return truncateHugetlb(file, pages) }
    drainLRU(cpu: currentCPU)
    var page = pages.lowerBound
    while page < pages.upperBound {
      guard files[file].chunks[page >> 9] != 0 else {
        page = (page | 511) + 1
        continue
      }
      let dropped = truncateRun(file, page..<min((page | 511) + 1, pages.upperBound))
      if dropped > 0 {
        page += dropped
        continue
      }
      guard let pfn = cachedFrame(file, page: page), let folio = folio(of: pfn) else {
        if let slot = swappedSlot(file, page: page) { dropSwapped(file, page: page, slot) }
        page += 1
        continue
      }
      let first = page - (pfn.index - folio.head.index)
      if first >= pages.lowerBound, first + folio.pages <= pages.upperBound {
        addReferences(folio, 1)
        uncountCached(folio)
        removeFromCache(folio, file, page: first)
        putReferences(folio, 1)
      }
      page = first + folio.pages
    }
  }

  /// Takes pages of order 0 that only a shmem file's cache holds out of it, as long as their frames
  /// follow each other.
  ///
  /// - Returns: How many; 0 when the first is no such page, or alone.
  private mutating func truncateRun(_ file: Int, _ pages: Range<Int>) -> Int {
    guard files[file].kind == .shmem, handlesRuns,
      let slot = cacheSlot(file, page: pages.lowerBound)
    else { return 0 }
    var run = pageCache.run(from: slot, limit: pages.count)
    if run.count < 2 { return 0 }
    run = run.prefix(folios.lastReferencePrefix(of: run))
    if run.count < 2 { return 0 }
    run = frames.zonePrefix(of: run)
    run = run.prefix(frames.samePrefix(of: run))
    let state = frames.head(run.first)
    guard run.count > 1, state.kind == .allocated, state.order == 0,
      state.flags.contains(.swapBacked), state.flags.isDisjoint(with: [.mlocked, .isolated])
    else { return 0 }
    count(.filePages, -run.count, at: run.first)
    count(.shmem, -run.count, at: run.first)
    pageCache.clear(slot, count: run.count)
    files[file].cachedPages -= run.count
    putReferences(run)
    return run.count
  }

  /// Takes a folio that leaves a cache out of the counters.
  mutating func uncountCached(_ folio: Folio) {
    let flags = frames.head(folio.head).flags
    count(.filePages, -folio.pages, at: folio.head)
    if flags.contains(.swapBacked) {
      count(.shmem, -folio.pages, at: folio.head)
      if folio.order >= 9 { count(.shmemTHPs, -folio.pages, at: folio.head) }
    } else if flags.contains(.dirty) {
      count(.dirty, -folio.pages, at: folio.head)
      setFlags(folio.head, remove: .dirty)
    }
  }
}

extension Machine {
  /// When a shmem file may use huge pages (rule P2.12).
  package mutating func setHugePolicy(_ file: Int, _ policy: MemoryFile.HugePolicy) {
    files[file].hugePages = policy
  }
}

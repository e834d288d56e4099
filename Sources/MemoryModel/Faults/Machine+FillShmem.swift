// Invariant: as in Machine+FaultRange.swift: what it leaves is what as many single faults leave.

extension Machine {
  /// Fills empty entries of one existing PTE table, and the empty places behind them of a shmem
  /// file's cache, with new pages, as write faults through a shared mapping would.
  ///
  /// Kernel: `do_shared_fault()`, `shmem_get_folio_gfp()` for each.
  ///
  /// - Returns: The number of pages; 0 when the first one needs a fault of its own.
  mutating func fillShmem(
    _ space: Int, _ area: MemoryArea, _ pages: Range<Int>, _ access: FaultAccess, inPinScope: Bool,
    writes: Bool, isLarge: Bool, _ run: inout FaultRun
  ) -> Int {
    guard access == .write, case .file(let file, _) = area.backing, files[file].kind == .shmem,
      area.flags.isSuperset(of: [.write, .shared]), !area.flags.contains(.locked),
      lruDisableCount == 0, failAllocation == 0,
      let slot = pageTables.slot(spaces[space].root, page: pages.lowerBound, level: .pte)
    else { return 0 }
    let filePage = area.filePage(pages.lowerBound)
    guard filePage < files[file].pages, let first = cacheSlot(file, page: filePage),
      !mayHaveHugePage(file, filePage, area: area, at: pages.lowerBound)
    else { return 0 }
    var wanted = min(pages.count, 512 - pages.lowerBound & 511, 512 - filePage & 511)
    wanted = min(wanted, files[file].pages - filePage)
    wanted = pageTables.countNone(from: slot, limit: wanted)
    wanted = pageCache.countNone(from: first, limit: wanted)
    guard wanted > 1, mayQueueRuns else { return 0 }
    // The hint is followed page by page, so no run has one answer.
    if area.flags.contains(.mightPin), !inPinScope { return 0 }
    var runs: [PFNRun] = []
    let filled = allocatePlainRuns(
      count: wanted, gfp: .userPage,
      inPinScope: inPinScope || isAdvisedScope(area, page: pages.lowerBound),
      into: &runs)
    if filled == 0 { return 0 }
    var done = 0
    for run in runs {
      if isLarge { expectDenseFolios(around: run) }
      pageTables.show(run, from: slot + done, .newShared)
      pageCache.show(run, from: first + done)
      done += run.count
      var left = run
      while !left.isEmpty {
        let piece = frames.zonePrefix(of: left)
        count(.filePages, piece.count, at: piece.first)
        count(.shmem, piece.count, at: piece.first)
        count(.fileMapped, piece.count, at: piece.first)
        left = left.dropFirst(piece.count)
      }
    }
    var state = FrameState(.allocated, order: 0)
    state.owner = UInt8(ascii: "F")
    state.flags = newFolioFlags.union([.folio, .swapBacked, .dirty])
    if writes { state.flags.insert(.written) }
    // One reference of the cache, one of the entry.
    queueNew(runs, state, .file(file), index: filePage, references: 2)
    files[file].cachedPages += filled
    spaces[space].shmemPages += filled
    count(.pgfault, filled)
    run.faults += filled
    return filled
  }
}

extension PageTableEntry.Flags {
  /// Of a page of shared memory that a write fault has just made.
  static let newShared: Self = [.present, .write, .dirty, .young]
}

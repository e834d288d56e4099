// Many single pages at once, the way back. The result is that of as many single calls, bit for bit.
//
// Why it can be: a page that goes onto a list changes nothing but that list until the list is so
// long that it is flushed, and then the oldest pages go first; pages that are freed one by one merge
// into the same blocks as the aligned blocks they make up.

extension Machine {
  /// Frees the single pages of `runs` in their order.
  ///
  /// The same as ``freePages(_:order:)`` for one page after the other (rules A5.10 to A5.20).
  ///
  /// - Throws: `.misuse` at the first page that is not an allocated single page; those before it are
  ///   free then.
  package mutating func freeRuns(_ runs: [PFNRun]) throws(MemoryError) {
    for run in runs { try freeRun(run) }
  }

  /// Frees the single pages of `run` in its order, as ``freeRuns(_:)`` does.
  package mutating func freeRun(_ run: PFNRun) throws(MemoryError) {
    var left = run
    while !left.isEmpty {
      var freed = left.count > 1 ? freeWithinPageblock(left) : 0
      if freed == 0 {
        try freePages(left.first, order: 0)
        freed = 1
      }
      left = left.dropFirst(freed)
    }
  }

  /// Drops one reference of each of these folios of order 0, in their order; the same as
  /// ``putReferences(_:_:)`` for each.
  ///
  /// Taking a page off its LRU list and freeing another one change nothing in common, so both go in
  /// runs.
  mutating func putReferences(_ run: PFNRun) {
    var left = run
    while !left.isEmpty {
      // Those that others hold, too, such as a cache.
      left = left.dropFirst(folios.dropReference(left))
      if left.isEmpty { break }
      // Somebody else's requests come between two frees.
      var piece = left.prefix(
        foreign.isWaiting ? 1 : folios.lastReferencePrefix(of: left))
      if piece.count > 1 { piece = frames.zonePrefix(of: piece) }
      if piece.count > 1 { piece = piece.prefix(frames.samePrefix(of: piece)) }
      let state = frames.head(left.first)
      if piece.count > 1, state.kind == .allocated, state.order == 0,
        state.flags.isDisjoint(with: [.mlocked, .partiallyMapped])
      {
        if state.isLRU { unlinkLRU(piece, state) }
        freeFolios(piece)
      } else {
        piece = left.prefix(1)
        putReferences(Folio(left.first, order: 0), 1)
      }
      left = left.dropFirst(piece.count)
    }
  }

  /// ``freeFolio(_:)`` for folios of order 0 that are on no list, all of one zone.
  mutating func freeFolios(_ run: PFNRun) {
    folios.clear(run)
    guard let zone = frames.zone(of: run.first) else { return }
    var left = run
    while !left.isEmpty {
      var freed = freeWithinPageblock(left, areForgotten: true)
      if freed == 0 {
        trace.append(TraceEvent(.pageFree, left.first, order: 0))
        frames.clearHead(left.first, order: 0)
        freePerCPU(zone, left.first, order: 0)
        freed = 1
      }
      left = left.dropFirst(freed)
    }
  }

  /// Frees the pages at the beginning of `run` that lie in one pageblock, up to the first flush, that
  /// one included.
  ///
  /// - Parameter areForgotten: They were folios, and counts and LRU lists know them no more; others
  ///   are freed only as far as they are none.
  /// - Returns: How many; 0 when the first page needs a single call.
  private mutating func freeWithinPageblock(_ run: PFNRun, areForgotten: Bool = false) -> Int {
    let pfn = run.first
    guard handlesRuns, !foreign.isWaiting, pfn.index < frames.count,
      let zone = frames.zone(of: pfn)
    else { return 0 }
    let type = frames.migrateType(pfn)
    if type == .isolate { return freeIsolated(zone, run, areForgotten: areForgotten) }
    let local = zone * cpuCount + currentCPU
    // Below the high mark and while the node reclaims, every page moves `pcp->high`.
    guard zoneTable[zone].flags.isDisjoint(with: [.belowHigh, .reclaimActive]) else { return 0 }
    let high = clamp(perCPU[local].high, perCPU[local].highMin, perCPU[local].highMax)
    let room = max(1, high - perCPU[local].count)
    let inside = pfn.index & (geometry.pageblockPages - 1)
    let inPageblock = run.isDescending ? inside + 1 : geometry.pageblockPages - inside
    var pages = min(room, inPageblock, run.count)
    if !areForgotten {
      pages = folios.unreferencedPrefix(of: run.prefix(pages))
      pages = frames.allocatedPrefix(of: run.prefix(pages))
    }
    guard pages > 0 else { return 0 }
    let freed = run.prefix(pages)

    let listed = type.isMergeable ? type : .movable
    let index = perCPUIndex(listed, order: 0)
    perCPU[local].allocFactor >>= pages
    count(.pgfree, pages)
    trace.append(
      TraceEvent(.pageFree, pfn, order: 0), run: pages, descending: run.isDescending)
    frames.pushHead(&perCPU[local].lists[index], run: freed)
    frames.setHeads(freed, FrameState(.perCPU, order: 0, listed: type))
    perCPU[local].count += pages
    perCPU[local].flags.remove(.previousFreeHighOrder)
    let limit = perCPU[local].batch << Self.batchScaleMax
    if perCPU[local].freeCount < limit {
      perCPU[local].freeCount = min(limit, perCPU[local].freeCount + pages)
    }
    // All but the last page only found the list short enough.
    flushIfFull(zone, local, index, freesHigh: false)
    return pages
  }

  /// Frees the pages at the beginning of `run` that lie in one isolated pageblock, which takes them at
  /// once, past the lists and the counters.
  ///
  /// - Returns: How many; 0 when the first page needs a single call.
  private mutating func freeIsolated(_ zone: Int, _ run: PFNRun, areForgotten: Bool) -> Int {
    guard drainsRuns, capture.order < 0 else { return 0 }
    let inside = run.first.index & (geometry.pageblockPages - 1)
    var freed = run.prefix(run.isDescending ? inside + 1 : geometry.pageblockPages - inside)
    if !areForgotten {
      freed = freed.prefix(folios.unreferencedPrefix(of: freed))
      freed = freed.prefix(frames.allocatedPrefix(of: freed))
    }
    if freed.isEmpty { return 0 }
    trace.append(
      TraceEvent(.pageFree, freed.first, order: 0), run: freed.count,
      descending: freed.isDescending)
    frames.setHeads(freed, FrameState())
    mergeAndInsert(zone, freed, .isolate)
    count(.pgfree, freed.count)
    return freed.count
  }
}

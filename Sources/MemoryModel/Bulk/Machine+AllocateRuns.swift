// Many single pages at once, as a fault handler needs them. The result is that of as many single
// calls, bit for bit: the same frames, lists, counters (fold by fold) and events.
//
// Why it can be: between two refills nothing moves a global counter, so all pages of a list pass the
// same watermark tests; within a refill the half rule can change only where a counter folds; and a
// free block that is split page by page goes out in ascending order.

extension Machine {
  /// Prepares the model's own tables for most frames of `range` being allocated one by one.
  ///
  /// It changes no state, only what the first touch of a table costs; a machine of which only
  /// little is used gets larger by it.
  package mutating func expectDenseUse(of range: PFNRange) { frames.expectDenseUse(of: range) }

  /// The same for the page tables that so many new pages will fill.
  package mutating func expectDenseTables(pages: Int) {
    pageTables.expectDenseUse(tables: pages >> 9)
  }

  /// The same for the frames around a run that a large population took, and their folio records:
  /// 8 GiB at once, so that the borders, where there are no huge pages, do not matter.
  package mutating func expectDenseFolios(around run: PFNRun) {
    let window = 1 << 21
    let start = run.first.index & ~(window - 1)
    let range = PFNRange(start, min(start + window, frames.count))
    frames.expectDenseUse(of: range)
    folios.frames.expectDenseUse(of: range.start..<range.end)
  }

  /// Allocates `count` single pages and appends them to `runs` in the order of their allocation.
  ///
  /// The same as `count` calls of ``allocatePages(order:gfp:node:inPinScope:)`` that stop at the
  /// first refusal (rules A4.1 to A4.4, A5.5 to A5.7). Not the kernel's `alloc_pages_bulk()`, which
  /// has rules of its own.
  ///
  /// - Parameter runs: A run that goes on as the one before is joined to it, but not to one that was
  ///   there before.
  /// - Returns: Why fewer than `count` pages were allocated; nil when all were.
  package mutating func allocateRuns(
    count: Int, gfp: GFPFlags, node: Int? = nil, inPinScope: Bool = false,
    into runs: inout [PFNRun]
  ) -> Refusal? {
    let first = runs.count
    let filtered = scoped(gfp, inPinScope, isSlow: false)
    let request =
      handlesRuns && isPlainScope(inPinScope)
      ? request(order: 0, gfp: filtered, node: node ?? cpuNodes[currentCPU]) : nil
    var left = count
    while left > 0 {
      // The injected failure counts calls.
      if let request, failAllocation == 0 {
        let taken = takeRuns(request, firstFlags(request), upTo: left, &runs, from: first)
        left -= taken
        if taken > 0 { continue }
      }
      switch allocatePages(order: 0, gfp: gfp, node: node, inPinScope: inPinScope) {
      case .page(let pfn): runs.append(joining: PFNRun(pfn, count: 1), from: first)
      case .refused(let refusal): return refusal
      }
      left -= 1
    }
    return nil
  }

  /// Allocates up to `count` single pages as ``allocateRuns(count:gfp:node:inPinScope:into:)`` does,
  /// but stops before the first that is not served from lists of its own type or of CMA.
  ///
  /// Only claiming and stealing look at pages that are in use (rule A3.22.5), so what else happens to
  /// pages may come before or after these allocations and leaves the same.
  ///
  /// - Returns: How many; 0 when the next page needs a single call.
  mutating func allocatePlainRuns(
    count: Int, gfp: GFPFlags, inPinScope: Bool = false, into runs: inout [PFNRun]
  ) -> Int {
    let filtered = scoped(gfp, inPinScope, isSlow: false)
    guard handlesRuns, isPlainScope(inPinScope), failAllocation == 0,
      let request = request(order: 0, gfp: filtered, node: cpuNodes[currentCPU])
    else { return 0 }
    let flags = firstFlags(request)
    let first = runs.count
    var left = count
    while left > 0 {
      guard servingZoneHasPlenty(request, flags) else { break }
      let taken = takeRuns(request, flags, upTo: left, &runs, from: first)
      if taken == 0 { break }
      left -= taken
    }
    return count - left
  }

  /// Whether the next page is on a per-CPU list, or the free lists hold more than a refill takes.
  private mutating func servingZoneHasPlenty(
    _ request: AllocationRequest, _ flags: AllocationFlags
  ) -> Bool {
    guard let zone = servingZone(request, flags) else { return false }
    let local = zone * cpuCount + currentCPU
    if !perCPU[local].lists[perCPUIndex(request.type, order: 0)].isEmpty { return true }
    let largest = perCPU[local].batch << Self.batchScaleMax
    var free = 0
    for order in (0...geometry.maxOrder).reversed() {
      free += Int(freeList(zone, order: order, request.type).count) << order
      if flags.contains(.cma) {
        free += Int(freeList(zone, order: order, .cma).count) << order
      }
      if free >= largest { return true }
    }
    return false
  }

  /// Whether runs are known to be the same as single calls: the kernels up to 6.9 account a refill
  /// as a whole and size it otherwise (rules A9.6, A9.7).
  var handlesRuns: Bool { kernel.typesFollowPageblocks && tunesPerCPULists }

  /// Whether the scope of a long-term pin shows in a request's flags alone.
  private func isPlainScope(_ inPinScope: Bool) -> Bool {
    !inPinScope || !kernel.pinning.scopeAvoidsCMA && !kernel.pinning.scopeStartsInSlowPath
  }

  /// Takes pages that one list hands out before anything else happens: what is on it, or else one
  /// refill.
  ///
  /// - Parameter runs: Gets the pages; only runs from index `first` on may grow.
  /// - Returns: How many; 0 when the next page is not a plain one and needs a single call.
  private mutating func takeRuns(
    _ request: AllocationRequest, _ flags: AllocationFlags, upTo limit: Int,
    _ runs: inout [PFNRun], from first: Int
  ) -> Int {
    // Somebody else's requests come between two calls.
    guard !foreign.isWaiting, let zone = servingZone(request, flags),
      !wakesForBoost(zone, flags)
    else { return 0 }
    let local = zone * cpuCount + currentCPU
    let index = perCPUIndex(request.type, order: 0)
    let allocated = FrameState(.allocated, order: 0)
    var taken = 0
    if perCPU[local].lists[index].isEmpty {
      guard canRefill(zone, request.type, flags) else { return 0 }
      var pieces: [PFNRun] = []
      let filled = refillRuns(zone, local, request.type, flags, &pieces)
      // A claim in the refill may have boosted the marks; the first page tells.
      countAllocation(zone, request, flags, pages: 0)
      taken = min(filled, limit)
      // The first page passed the watermarks of before, all others see those of after the refill.
      if taken > 1 && servingZone(request, flags) != zone { taken = 1 }
      var ahead = taken
      for piece in pieces {
        let out = piece.prefix(ahead)
        let kept = piece.dropFirst(ahead)
        ahead -= out.count
        frames.setHeads(out, allocated)
        frames.setHeads(kept, FrameState(.perCPU, order: 0, listed: lastTaken))
        frames.pushTail(&perCPU[local].lists[index], run: kept)
        if out.isEmpty { continue }
        traceAllocation(out, request)
        runs.append(joining: out, from: first)
      }
      perCPU[local].count += filled - taken
    } else {
      while taken < limit, !perCPU[local].lists[index].isEmpty {
        let run = frames.takeHead(&perCPU[local].lists[index], upTo: limit - taken)
        frames.setHeads(run, allocated)
        traceAllocation(run, request)
        runs.append(joining: run, from: first)
        taken += run.count
      }
      perCPU[local].count -= taken
    }
    perCPU[local].freeCount >>= taken
    countAllocation(zone, request, flags, pages: taken)
    return taken
  }

  /// Whether a refill's first page comes from a free list of its own type or of CMA.
  private func canRefill(_ zone: Int, _ type: MigrateType, _ flags: AllocationFlags) -> Bool {
    smallestFree(zone, type) != nil
      || flags.contains(.cma) && smallestFree(zone, .cma) != nil
  }

  private func smallestFree(_ zone: Int, _ type: MigrateType) -> Int? {
    for order in 0...geometry.maxOrder where !freeList(zone, order: order, type).isEmpty {
      return order
    }
    return nil
  }

  /// The refill of rule A5.7 with runs of pages, none of which is linked.
  ///
  /// Kernel: `rmqueue_bulk()` over `__rmqueue()` (rules A3.15, A3.19, A3.20).
  /// - Returns: How many pages.
  private mutating func refillRuns(
    _ zone: Int, _ local: Int, _ type: MigrateType, _ flags: AllocationFlags,
    _ pieces: inout [PFNRun]
  ) -> Int {
    let wanted = refillSize(zone, local, order: 0)
    var left = wanted
    var mode = TakeMode.normal
    // The rest of a block of each kind that is being handed out; its pages are on no list.
    var own = PFNRange(0, 0)
    var cma = PFNRange(0, 0)
    let mayUseCMA = flags.contains(.cma) && smallestFree(zone, .cma) != nil
    lastTaken = .cma
    while left > 0 {
      let prefersCMA =
        mayUseCMA && prefersCMA(zone)
      var source = MigrateType.cma
      if prefersCMA && open(&cma, zone, .cma) {
        // Before the stages, which it leaves alone.
      } else if mode == .normal && open(&own, zone, type) {
        source = type
      } else if mayUseCMA, mode.rawValue <= TakeMode.cma.rawValue, open(&cma, zone, .cma) {
        if fallbackHasStages { mode = .cma }
      } else {
        // Claiming and stealing look at all lists.
        close(&own, zone, type)
        close(&cma, zone, .cma)
        guard let pfn = take(zone, order: 0, type, flags, mode: &mode) else { break }
        pieces.append(joining: PFNRun(pfn, count: 1))
        left -= 1
        continue
      }
      var block = source == .cma ? cma : own
      var pages = min(left, block.count)
      // Until then the half rule says the same for every page.
      if mayUseCMA { pages = min(pages, pagesUntilFold(zone, source)) }
      let run = PFNRun(PFN(block.start), count: pages)
      block.start += pages
      if source == .cma { cma = block } else { own = block }
      account(zone, step: -1, times: pages, source)
      traceZoneLocked(run.first, order: 0, source, run: pages)
      pieces.append(joining: run)
      left -= pages
    }
    close(&own, zone, type)
    close(&cma, zone, .cma)
    return wanted - left
  }

  /// Takes the head of the smallest sufficient list to hand it out page by page, unless a block is
  /// at hand already.
  ///
  /// All smaller lists of the type are empty then, so the halves that single calls would put there
  /// are the next to be taken.
  private mutating func open(_ block: inout PFNRange, _ zone: Int, _ type: MigrateType) -> Bool {
    if !block.isEmpty { return true }
    guard let order = smallestFree(zone, type),
      let pfn = firstFree(zone, order: order, type)
    else { return false }
    removeFree(zone, pfn, order: order)
    block = PFNRange(pfn.index, pfn.index + 1 << order)
    return true
  }

  /// Puts the rest of an opened block on the lists, in the pieces that splitting leaves.
  private mutating func close(_ block: inout PFNRange, _ zone: Int, _ type: MigrateType) {
    while !block.isEmpty {
      let order = block.start.trailingZeroBitCount
      insertFree(zone, PFN(block.start), order: order, type, atTail: false)
      block.start += 1 << order
    }
  }
}

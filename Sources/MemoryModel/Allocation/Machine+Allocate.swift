extension Machine {
  /// Allocates a block of `1 << order` pages (rule A4.1).
  ///
  /// Kernel: `__alloc_pages_noprof()`, mm/page_alloc.c.
  ///
  /// - Parameter node: Whose zonelist to use; nil is the node of the running CPU.
  /// - Parameter inPinScope: `PF_MEMALLOC_PIN`: the task pins for long, so the request loses
  ///   `__GFP_MOVABLE` (rule A2.5).
  /// - Precondition: `gfp.contradiction` is nil and the order is not negative.
  public mutating func allocatePages(
    order: Int, gfp: GFPFlags, node: Int? = nil, inPinScope: Bool = false
  ) -> AllocationResult {
    serveForeign()
    if order > geometry.maxOrder {
      return .refused(
        Refusal(
          .ENOMEM, "order \(order) is above the largest block, order \(geometry.maxOrder)",
          rule: "A4.1"))
    }
    let filtered = scoped(gfp, inPinScope, isSlow: false)
    let home = node ?? cpuNodes[currentCPU]
    guard var request = request(order: order, gfp: filtered, node: home) else {
      return finish(
        nil, order, filtered,
        Refusal(.ENOMEM, "no zone of node \(home) may serve \(filtered.description)", rule: "A1.13")
      )
    }
    request.avoidsCMA = inPinScope && kernel.pinning.scopeAvoidsCMA
    if failAllocation > 0 {
      failAllocation -= 1
      if failAllocation == 0 {
        return finish(
          nil, order, filtered, Refusal(.ENOMEM, "injected allocation failure", rule: "H18"))
      }
    }
    if let pfn = allocateFromFreeLists(request, firstFlags(request)) {
      return finish(pfn, order, filtered, nil)
    }
    if inPinScope, kernel.pinning.scopeStartsInSlowPath,
      let slow = self.request(
        order: order, gfp: scoped(gfp, inPinScope, isSlow: true), node: home)
    {
      request = slow
    }
    let slow = allocateSlowPath(request)
    return finish(slow.pfn, order, filtered, slow.refusal)
  }

  /// What is left of a request's flags inside a long-term pin (rules P2.33, P2.34).
  ///
  /// Kernel: `current_gfp_context()`, include/linux/sched/mm.h.
  func scoped(_ gfp: GFPFlags, _ inPinScope: Bool, isSlow: Bool) -> GFPFlags {
    inPinScope && kernel.pinning.scopeDropsMovable(isSlow: isSlow)
      ? gfp.subtracting(.movable) : gfp
  }

  /// Whether a request may take blocks of CMA pageblocks (rule P2.30).
  func mayUseCMA(_ request: AllocationRequest) -> Bool {
    request.type == .movable && borrowsFromCMA && !request.avoidsCMA
  }

  /// The flags of the first attempt (rules A2.8, A2.9).
  func firstFlags(_ request: AllocationRequest) -> AllocationFlags {
    var flags: AllocationFlags = [.watermarkLow]
    if request.gfp.contains(.kswapdReclaim) { flags.insert(.kswapd) }
    if mayUseCMA(request) { flags.insert(.cma) }
    if avoidsFragmentation(request) { flags.insert(.noFragment) }
    return flags
  }

  func request(order: Int, gfp: GFPFlags, node: Int) -> AllocationRequest? {
    let highest = gfp.highestZone
    // Indexing both levels each time keeps no list, so nothing counts references.
    var preferred = 0
    while true {
      if preferred == zonelists[node].count { return nil }
      let zone = zonelists[node][preferred]
      if zoneTable[zone].indexRawValue <= highest.rawValue,
        !gfp.contains(.thisNode) || zoneTable[zone].node == node
      {
        break
      }
      preferred += 1
    }
    let raw = UInt8(gfp.intersection([.movable, .reclaimable]).rawValue >> 3)
    let type = isMobilityGroupingDisabled ? .unmovable : MigrateType(rawValue: raw)!
    return AllocationRequest(
      gfp: gfp, order: order, node: node, highest: highest, type: type, preferred: preferred)
  }

  /// Whether the first attempt refuses to mix types in a pageblock (rule A2.9).
  ///
  /// Kernel: `alloc_flags_nofragment()`.
  private func avoidsFragmentation(_ request: AllocationRequest) -> Bool {
    let zone = zonelists[request.node][request.preferred]
    guard zoneTable[zone].index == .normal, geometry.dma32End > 0 else { return false }
    return nodeCount == 1 || zoneTable[zone - 1].isPopulated
  }

  private mutating func finish(
    _ pfn: PFN?, _ order: Int, _ gfp: GFPFlags, _ refusal: Refusal?
  ) -> AllocationResult {
    trace.append(
      TraceEvent(
        .pageAlloc, pfn ?? PFN(0), order: order, gfp.rawValue, tracedType(gfp), failed: pfn == nil))
    if let pfn { return .page(pfn) }
    return .refused(
      refusal ?? Refusal(.ENOMEM, "no block of order \(order) is left", rule: "A4.24"))
  }

  /// The events of ``allocatePages(order:gfp:node:inPinScope:)`` for a run of pages.
  mutating func traceAllocation(_ run: PFNRun, _ request: AllocationRequest) {
    trace.append(
      TraceEvent(.pageAlloc, run.first, order: 0, request.gfp.rawValue, tracedType(request.gfp)),
      run: run.count, descending: run.isDescending)
  }

  private func tracedType(_ gfp: GFPFlags) -> UInt32 {
    isMobilityGroupingDisabled ? 0 : gfp.intersection([.movable, .reclaimable]).rawValue >> 3
  }

  /// Gives a block back (rule A3.14, its last reference).
  ///
  /// Kernel: `__free_pages()`, `free_unref_page()`.
  ///
  /// - Throws: `.misuse` when `pfn` is not the first frame of an allocated block of that order.
  public mutating func freePages(_ pfn: PFN, order: Int) throws(MemoryError) {
    guard pfn.index < frames.count, let zone = frames.zone(of: pfn) else {
      throw MemoryError(
        .misuse, "\(pfn) is outside memory, which ends at 0x\(hex(memory.last?.end ?? 0))")
    }
    let state = frames.head(pfn)
    guard state.kind == .allocated else {
      throw MemoryError(.misuse, notAllocated(pfn, state))
    }
    guard state.order == order else {
      throw MemoryError(
        .misuse,
        "\(pfn) was allocated with order \(state.order), not \(order); "
          + "free it with order \(state.order)")
    }
    guard hugePageFlags(pfn).isEmpty else {
      throw MemoryError(
        .misuse,
        "\(pfn) is a huge page in use; its last user returns it to the pool, and a smaller "
          + "nr_hugepages to the buddy")
    }
    guard state.owner != FrameState.cmaOwner else {
      throw MemoryError(
        .misuse, "\(pfn) is part of a cma_alloc buffer; release the whole buffer instead")
    }
    let folio = Folio(pfn, order: order)
    if folios.references(folio) > 0 {
      // The batches hold references, and whoever unmaps pages empties them first.
      if !batchesHolding(pfn).isEmpty { drainAllLRU() }
      if folios.references(folio) > 1 { return folios.addReferences(folio, -1) }
      return freeFolio(folio)
    }
    freeBlock(zone, pfn, order: order)
  }

  /// Frees a block that is known to be allocated.
  mutating func freeBlock(_ zone: Int, _ pfn: PFN, order: Int) {
    serveForeign()
    trace.append(TraceEvent(.pageFree, pfn, order: order))
    frames.clearHead(pfn, order: order)
    freePerCPU(zone, pfn, order: order)
  }

  /// Gives a block back to the buddy, whatever its order: who cannot have the lock of the per-CPU lists
  /// does not wait for it.
  ///
  /// Only an interrupt meets it locked by its own CPU, and that is where a recorded one differs from the
  /// model, in which nothing interrupts (docs/fidelity.md, learned rule 31).
  /// Kernel: `free_unref_page()` where `pcp_spin_trylock()` fails.
  package mutating func freePastLists(_ pfn: PFN, order: Int) {
    let state = frames.head(pfn)
    guard let zone = frames.zone(of: pfn), state.kind == .allocated, state.order == order,
      folios.references(Folio(pfn, order: order)) == 0
    else { return }
    trace.append(TraceEvent(.pageFree, pfn, order: order))
    frames.clearHead(pfn, order: order)
    freeOnePage(zone, pfn, order: order)
  }

  private func notAllocated(_ pfn: PFN, _ state: FrameState) -> String {
    switch state.kind {
    case .free: return "\(pfn) is free already (order \(state.order)): a double free?"
    case .perCPU: return "\(pfn) is free already, on a per-CPU list: a double free?"
    case .hugePool: return "\(pfn) is a free huge page of the pool; make nr_hugepages smaller"
    case .allocated, .none: break
    }
    if let (start, block) = block(containing: pfn) {
      return block.kind == .allocated
        ? "\(pfn) lies inside the block of order \(block.order) at \(start); free that"
        : "\(pfn) lies inside a free block of order \(block.order) at \(start)"
    }
    if isReserved(pfn) { return "\(pfn) is reserved since boot and was never allocated" }
    return "\(pfn) was not allocated"
  }

  func hex(_ value: Int) -> String { String(value, radix: 16) }
}

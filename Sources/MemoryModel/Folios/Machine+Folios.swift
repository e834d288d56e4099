extension Machine {
  /// The folio that a frame belongs to: the allocated block around it; nil when there is none.
  ///
  /// Kernel: `page_folio()`.
  public func folio(of pfn: PFN) -> Folio? {
    guard pfn.index < frames.count else { return nil }
    let state = frames.head(pfn)
    if state.kind == .allocated { return Folio(pfn, order: state.order) }
    if state.kind != .none { return nil }
    for order in 1...max(geometry.maxOrder, 18) {
      let start = pfn.roundedDown(toOrder: order)
      let head = frames.head(start)
      if head.kind == .none || head.order < order { continue }
      return head.kind == .allocated ? Folio(start, order: head.order) : nil
    }
    return nil
  }

  /// References as the kernel would count them; a block that is no folio has one.
  public func references(_ folio: Folio) -> Int {
    let state = frames.head(folio.head)
    if state.kind != .allocated { return 0 }
    return state.flags.contains(.folio)
      ? folios.references(folio) : max(folios.references(folio), 1)
  }

  public func mappings(_ folio: Folio) -> Int { folios.mappings(folio) }
  public func entireMappings(_ folio: Folio) -> Int { folios.entireMappings(folio) }
  public func pageMappings(_ page: PFN) -> Int { folios.pageMappings(page) }
  public func owner(_ folio: Folio) -> (mapping: MappingID, index: Int) { folios.owner(folio) }

  /// The pin count: exact for large folios, a lower bound's guess for order 0 (rule P1.4).
  public func pinCount(_ folio: Folio) -> Int { folios.pins(folio) }

  /// Whether it may be pinned for DMA (rule P1.4).
  ///
  /// Kernel: `folio_maybe_dma_pinned()`.
  public func maybePinned(_ folio: Folio) -> Bool { folios.pins(folio) > 0 }

  /// The references that mappings, caches and private data account for (rule P1.7).
  ///
  /// Kernel: `folio_expected_ref_count()`.
  public func expectedReferences(_ folio: Folio) -> Int {
    let mapping = folios.owner(folio).mapping
    return (mapping.isFile || swapSlot(of: folio) != nil ? folio.pages : 0)
      + folios.mappings(folio)
  }

  /// Makes an allocated block a folio with one reference.
  package mutating func makeFolio(
    _ folio: Folio, _ mapping: MappingID, index: Int, owner: UInt8, _ flags: FrameState.Flags
  ) {
    var state = FrameState(.allocated, order: folio.order)
    state.owner = owner
    state.flags = flags.union(.folio)
    frames.setHead(folio.head, state)
    folios.addReferences(folio, 1)
    folios.setOwner(folio, mapping, index: index)
  }

  package mutating func setFlags(
    _ head: PFN, insert: FrameState.Flags = [], remove: FrameState.Flags = []
  ) {
    var state = frames.head(head)
    state.flags = state.flags.subtracting(remove).union(insert)
    frames.setHead(head, state)
  }

  package mutating func addReferences(_ folio: Folio, _ count: Int) {
    if !frames.head(folio.head).flags.contains(.folio), folios.references(folio) == 0 {
      folios.addReferences(folio, 1)
    }
    folios.addReferences(folio, count)
  }

  /// Drops references, and the folio with the last one.
  ///
  /// Kernel: `folio_put_refs()`.
  package mutating func putReferences(_ folio: Folio, _ count: Int) {
    folios.addReferences(folio, -count)
    if folios.references(folio) == 0 { freeFolio(folio) }
  }

  /// Gives a folio without references back to the allocator.
  ///
  /// Kernel: `__folio_put()`, mm/swap.c.
  package mutating func freeFolio(_ folio: Folio) {
    let state = frames.head(folio.head)
    if state.isLRU { unlinkLRU(folio, state) }
    if state.flags.contains(.mlocked), let zone = frames.zone(of: folio.head) {
      countZoneItem(zone, 7, -folio.pages)
      count(.unevictableCleared, folio.pages)
    }
    if state.flags.contains(.partiallyMapped) { deferredSplits.removeAll { $0 == folio.head } }
    folios.clear(folio)
    if state.flags.contains(.hugetlb) {
      // Only a page in use carries the flag, which is all that could be misused.
      _ = try? returnHugePage(folio.head)
      return
    }
    serveForeign()
    trace.append(TraceEvent(.pageFree, folio.head, order: folio.order))
    frames.clearHead(folio.head, order: folio.order)
    if let zone = frames.zone(of: folio.head) { freePerCPU(zone, folio.head, order: folio.order) }
  }

  // MARK: Pins

  /// Adds pins to the folio of a page (rule P1.3); the zero page is never counted (rule P1.5).
  package mutating func addPins(_ folio: Folio, _ pins: Int) {
    folios.addPins(folio, pins, exactPins: true)
    count(.pinAcquired, pins, at: folio.head)
  }

  /// Drops pins, and the folio with its last reference (rule P3.80).
  ///
  /// Kernel: `gup_put_folio()`.
  package mutating func dropPins(_ folio: Folio, _ pins: Int) {
    count(.pinReleased, pins, at: folio.head)
    folios.addPins(folio, -pins, exactPins: true)
    if folios.references(folio) == 0 { freeFolio(folio) }
  }

}

// A page is free exactly when it is on a list of its pool: `FrameState.Kind.hugePool`. A page in use
// is an allocated block with the flag `hugetlb`; who uses it, and how often, is not known here.

extension Machine {
  /// The pool of one page size, or nil when there is no such size.
  public func hugePool(order: Int) -> HugePool? { hugePools.first { $0.order == order } }

  /// Both pools, gigantic pages first, as the kernel registers them.
  public var allHugePools: [HugePool] { hugePools }

  /// The free pages of a pool, those of node 0 first, the next to be taken first.
  public func freeHugePages(order: Int, node: Int? = nil) -> [PFN] {
    guard let pool = hugePool(order: order) else { return [] }
    return pool.nodes.indices.filter { node == nil || node == $0 }.flatMap {
      frames.blocks(pool.nodes[$0].list)
    }
  }

  /// What is remembered of the huge page that starts at `pfn`; empty for all other pages.
  public func hugePageFlags(_ pfn: PFN) -> HugePageFlags {
    guard pfn.isAligned(toOrder: geometry.hugeOrder), pfn.index < frames.count else { return [] }
    return HugePageFlags(rawValue: hugeFlags[pfn.index >> geometry.pageblockOrder])
  }

  mutating func setHugePageFlags(_ pfn: PFN, _ flags: HugePageFlags) {
    hugeFlags[pfn.index >> geometry.pageblockOrder] = flags.rawValue
  }

  func hugePoolIndex(order: Int) -> Int? { hugePools.firstIndex { $0.order == order } }

  /// How the pool asks the buddy: movable, because 2 MiB pages can be migrated (rule P2.32).
  ///
  /// Kernel: `htlb_alloc_mask()`. A gigantic page is asked for without __GFP_MOVABLE.
  func hugePageGFP(_ pool: Int) -> GFPFlags {
    let place: GFPFlags =
      hugePools[pool].order == geometry.hugeOrder ? .highUserMovable : .highUser
    return place.union([.comp, .noWarn])
  }

  // MARK: The lists

  /// Puts a page at the head of its node's list.
  ///
  /// Kernel: `enqueue_hugetlb_folio()`.
  mutating func enqueueHugePage(_ pool: Int, _ pfn: PFN) {
    let node = node(of: pfn)
    let order = hugePools[pool].order
    var state = FrameState(.hugePool, order: order)
    state.owner = UInt8(ascii: "h")
    frames.setHead(pfn, state)
    setHugePageFlags(pfn, .hugetlb)
    frames.pushHead(&hugePools[pool].nodes[node].list, pfn, order: order)
    hugePools[pool].nodes[node].free += 1
    hugePools[pool].free += 1
  }

  /// Takes a page off its list; it is in use afterwards.
  mutating func unlinkHugePage(_ pool: Int, _ pfn: PFN) {
    let node = node(of: pfn)
    let order = hugePools[pool].order
    frames.remove(&hugePools[pool].nodes[node].list, pfn, order: order)
    hugePools[pool].nodes[node].free -= 1
    hugePools[pool].free -= 1
    frames.setHead(pfn, Self.usedHugePage(order))
  }

  /// The state of a huge page in use.
  static func usedHugePage(_ order: Int) -> FrameState {
    var state = FrameState(.allocated, order: order)
    state.owner = UInt8(ascii: "H")
    state.flags = .hugetlb
    return state
  }

  /// Kernel: `__prep_account_new_huge_page()`.
  mutating func accountNewHugePage(_ pool: Int, _ pfn: PFN) {
    setHugePageFlags(pfn, .hugetlb)
    setFlags(pfn, insert: .hugetlb)
    hugePools[pool].total += 1
    hugePools[pool].nodes[node(of: pfn)].total += 1
  }

  /// Makes a page of the pool an ordinary block, which the caller frees.
  ///
  /// Kernel: `remove_hugetlb_folio()`.
  mutating func removeHugePage(_ pool: Int, _ pfn: PFN, adjustSurplus: Bool) {
    let node = node(of: pfn)
    if frames.head(pfn).kind == .hugePool { unlinkHugePage(pool, pfn) }
    if adjustSurplus {
      hugePools[pool].surplus -= 1
      hugePools[pool].nodes[node].surplus -= 1
    }
    setHugePageFlags(pfn, [])
    setFlags(pfn, remove: .hugetlb)
    hugePools[pool].total -= 1
    hugePools[pool].nodes[node].total -= 1
  }

  /// Hands the block of a removed page to the buddy.
  ///
  /// Kernel: `update_and_free_hugetlb_folio()`; no vmemmap is to be restored, since the model's
  /// kernels run with hugetlb_free_vmemmap=off, the default.
  mutating func freeRemovedHugePage(_ pool: Int, _ pfn: PFN) {
    let order = hugePools[pool].order
    if order > geometry.maxOrder { return freeGiganticPage(pfn, order: order) }
    freeBlock(frames.zone(of: pfn)!, pfn, order: order)
  }

  // MARK: Taking and returning

  /// Whether a task may pin this page for long where it lies.
  ///
  /// Kernel: `folio_is_longterm_pinnable()`, as far as huge pages can be concerned (rule P2.36).
  private func mayStayForLongPin(_ pfn: PFN) -> Bool {
    !kernel.pinning.scopeGuardsHugePool || unpinnableReason(pfn) == nil
  }

  /// The first free page of one node that the task may have.
  ///
  /// Isolated pageblocks are not skipped, so that a block that goes offline feeds its own migration
  /// (rule P6.3). Kernel: `dequeue_hugetlb_folio_node_exact()`.
  private mutating func takeHugePage(_ pool: Int, exactNode: Int, inPinScope: Bool) -> PFN? {
    let order = hugePools[pool].order
    var next = frames.first(hugePools[pool].nodes[exactNode].list)
    while let pfn = next {
      if !inPinScope || mayStayForLongPin(pfn) {
        unlinkHugePage(pool, pfn)
        return pfn
      }
      next = frames.next(pfn, order: order)
    }
    return nil
  }

  /// The free page of the pool that a migration on a node takes next, isolated or not.
  ///
  /// Kernel: `dequeue_hugetlb_folio_node_exact()`.
  public func nextHugePage(order: Int, node: Int) -> PFN? {
    guard let pool = hugePoolIndex(order: order), hugePools[pool].available > 0 else { return nil }
    return frames.first(hugePools[pool].nodes[node].list)
  }

  /// Whether the pool has a free page that nobody was promised, for a pin scope one that may be pinned
  /// for long (rule P2.36).
  public func hasFreeHugePage(order: Int, inPinScope: Bool = false) -> Bool {
    guard let pool = hugePoolIndex(order: order), hugePools[pool].available > 0 else {
      return false
    }
    return hugePools[pool].nodes.contains { node in
      frames.blocks(node.list).contains { !inPinScope || mayStayForLongPin($0) }
    }
  }

  /// Takes a free page out of the pool, from the nearest node that has one; promises are not looked
  /// at.
  ///
  /// Kernel: `dequeue_hugetlb_folio_nodemask()` (rule P2.36).
  ///
  /// - Parameter node: Whose zonelist to walk; nil is the node of the running CPU.
  /// - Parameter gfp: Bounds the zones whose nodes are asked; __GFP_THISNODE stays on `node`. Nil is
  ///   the pool's own mask.
  /// - Parameter inPinScope: `PF_MEMALLOC_PIN`: pages in CMA or isolated pageblocks and in
  ///   ZONE_MOVABLE are passed over.
  public mutating func takeHugePage(
    order: Int, node: Int? = nil, gfp: GFPFlags? = nil, inPinScope: Bool = false
  ) -> PFN? {
    guard let pool = hugePoolIndex(order: order) else { return nil }
    let mask = gfp ?? hugePageGFP(pool)
    let home = node ?? cpuNodes[currentCPU]
    var asked = -1
    for zone in zonelists[home] where zoneTable[zone].indexRawValue <= mask.highestZone.rawValue {
      let near = zoneTable[zone].node
      if near == asked || mask.contains(.thisNode) && near != home { continue }
      asked = near
      if let pfn = takeHugePage(pool, exactNode: near, inPinScope: inPinScope) { return pfn }
    }
    return nil
  }

  /// The huge page for a fault: from the pool, or else a surplus page from the buddy.
  ///
  /// Kernel: `alloc_hugetlb_folio()` without cgroups and subpools (rule P2.36).
  ///
  /// - Parameter usingReserve: The mapping was promised this page. The promise is used up, and comes
  ///   back if the page is returned before ``finishHugeFault(_:)``.
  /// - Returns: The page, in use; ENOSPC when there is none, for which the fault raises SIGBUS.
  public mutating func allocateHugePage(
    order: Int, node: Int? = nil, usingReserve: Bool, inPinScope: Bool = false
  ) -> AllocationResult {
    guard let pool = hugePoolIndex(order: order) else { return .refused(noSuchPool(order)) }
    var taken: PFN?
    if usingReserve || hugePools[pool].available > 0 {
      taken = takeHugePage(order: order, node: node, inPinScope: inPinScope)
    }
    if taken == nil {
      taken = allocateSurplusHugePage(pool, node: node, inPinScope: inPinScope)
    }
    guard let pfn = taken else {
      return .refused(
        Refusal(
          .ENOSPC,
          "no huge page of order \(order): \(hugePools[pool].free) free, \(hugePools[pool].reserved) "
            + "promised, \(hugePools[pool].surplus) of \(hugePools[pool].overcommit) surplus pages"
            + (inPinScope ? ", and none that may be pinned for long" : ""), rule: "P2.36"))
    }
    if usingReserve {
      hugePools[pool].reserved -= 1
      setHugePageFlags(pfn, [.hugetlb, .restoreReserve])
    }
    return .page(pfn)
  }

  /// Takes a promised page without remembering the promise, as memfd_pin_folios() fills a hole.
  ///
  /// That there is a promise only a kernel built for debugging makes sure of.
  /// Kernel: `alloc_hugetlb_folio_reserve()` (rule P3.70).
  public mutating func takeReservedHugePage(
    order: Int, node: Int? = nil, gfp: GFPFlags? = nil, inPinScope: Bool = false
  ) -> PFN? {
    guard let pool = hugePoolIndex(order: order),
      let pfn = takeHugePage(order: order, node: node, gfp: gfp, inPinScope: inPinScope)
    else { return nil }
    hugePools[pool].reserved -= 1
    return pfn
  }

  func noSuchPool(_ order: Int) -> Refusal {
    Refusal(
      .EINVAL,
      "no huge pages of order \(order); there are \(geometry.hugeOrder) and "
        + "\(geometry.giganticOrder)", rule: "P0.1")
  }

  /// The fault is over: the promise is spent for good, and migration may move the page (P1.31).
  ///
  /// Kernel: the end of `hugetlb_no_page()`.
  public mutating func finishHugeFault(_ pfn: PFN) {
    var flags = hugePageFlags(pfn)
    guard flags.contains(.hugetlb) else { return }
    flags.remove(.restoreReserve)
    flags.insert(.migratable)
    setHugePageFlags(pfn, flags)
  }

  /// Reserves a huge page in use for one isolator; its references are the caller's to count.
  ///
  /// Kernel: `isolate_hugetlb()` (rule P1.31).
  ///
  /// - Returns: Whether the page was there to be isolated.
  public mutating func isolateHugePage(_ pfn: PFN) -> Bool {
    var flags = hugePageFlags(pfn)
    guard flags.contains(.migratable), frames.head(pfn).kind == .allocated else { return false }
    flags.remove(.migratable)
    setHugePageFlags(pfn, flags)
    return true
  }

  /// Kernel: `folio_putback_active_hugetlb()` (rule P1.31).
  public mutating func putBackHugePage(_ pfn: PFN) {
    var flags = hugePageFlags(pfn)
    guard flags.contains(.hugetlb), frames.head(pfn).kind == .allocated else { return }
    flags.insert(.migratable)
    setHugePageFlags(pfn, flags)
  }

  /// The last user of a huge page is gone: back to the pool, or to the buddy if the page is temporary
  /// or its node has surplus pages.
  ///
  /// Kernel: `free_huge_folio()`.
  ///
  /// - Returns: Whether the page stays in the pool.
  /// - Throws: `.misuse` when `pfn` does not start a huge page in use.
  @discardableResult
  public mutating func returnHugePage(_ pfn: PFN) throws(MemoryError) -> Bool {
    let flags = hugePageFlags(pfn)
    guard flags.contains(.hugetlb), frames.head(pfn).kind == .allocated,
      let pool = hugePoolIndex(order: frames.head(pfn).order)
    else {
      throw MemoryError(
        .misuse,
        flags.contains(.hugetlb)
          ? "\(pfn) is in the pool already: a double free?"
          : "\(pfn) does not start a huge page in use; give the first frame of one")
    }
    if flags.contains(.restoreReserve) { hugePools[pool].reserved += 1 }
    let isSurplus = hugePools[pool].nodes[node(of: pfn)].surplus > 0
    guard flags.contains(.temporary) || isSurplus else {
      enqueueHugePage(pool, pfn)
      return true
    }
    if flags.contains(.restoreReserve) { hugePools[pool].homeless += 1 }
    removeHugePage(pool, pfn, adjustSurplus: !flags.contains(.temporary))
    freeRemovedHugePage(pool, pfn)
    return false
  }

  // MARK: From the buddy

  /// A new block for the pool, not yet counted.
  ///
  /// Kernel: `alloc_buddy_hugetlb_folio()`; a gigantic page comes from elsewhere.
  mutating func allocateFreshHugePage(
    _ pool: Int, _ gfp: GFPFlags, node: Int, inPinScope: Bool = false
  ) -> AllocationResult {
    let order = hugePools[pool].order
    if order > geometry.maxOrder { return allocateGiganticPage(order: order, gfp, node: node) }
    let result = allocatePages(order: order, gfp: gfp, node: node, inPinScope: inPinScope)
    guard let pfn = result.pfn else {
      count(.hugeAllocationFail, 1)
      return result
    }
    count(.hugeAllocation, 1)
    frames.setHead(pfn, Self.usedHugePage(order))
    return result
  }

  /// A page beyond the pool's size, if nr_overcommit_hugepages allows one more.
  ///
  /// Kernel: `alloc_surplus_hugetlb_folio()`.
  mutating func allocateSurplusHugePage(_ pool: Int, node: Int?, inPinScope: Bool) -> PFN? {
    guard hugePools[pool].order <= geometry.maxOrder,
      hugePools[pool].surplus < hugePools[pool].overcommit
    else { return nil }
    let home = node ?? cpuNodes[currentCPU]
    let gfp = hugePageGFP(pool).union(.retryMayFail)
    guard
      let pfn = allocateFreshHugePage(pool, gfp, node: home, inPinScope: inPinScope).pfn
    else { return nil }
    accountNewHugePage(pool, pfn)
    hugePools[pool].surplus += 1
    hugePools[pool].nodes[self.node(of: pfn)].surplus += 1
    return pfn
  }
}

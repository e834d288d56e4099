extension Machine {
  /// The page that a huge page is migrated to: a free one of the pool, or else a new one that exists
  /// only until the old one is freed.
  ///
  /// Kernel: `alloc_hugetlb_folio_nodemask()`, `alloc_migrate_hugetlb_folio()` (rule P4.15).
  ///
  /// - Parameter node: Where the target should lie; nil is the node of the running CPU.
  /// - Parameter gfp: Added to the pool's own mask: __GFP_THISNODE and __GFP_NOWARN count.
  /// - Parameter inPinScope: Only pages that may be pinned for long.
  /// - Parameter mayLeaveNode: A new page may lie elsewhere: memory hotplug, memory failure,
  ///   move_pages and mbind say so (rule P4.15).
  public mutating func allocateHugeMigrationTarget(
    order: Int, node: Int? = nil, gfp: GFPFlags = [], inPinScope: Bool, mayLeaveNode: Bool = false
  ) -> AllocationResult {
    guard let pool = hugePoolIndex(order: order) else { return .refused(noSuchPool(order)) }
    let home = node ?? cpuNodes[currentCPU]
    var mask = hugePageGFP(pool).union(gfp.intersection([.thisNode, .noWarn]))
    if hugePools[pool].available > 0,
      let pfn = takeHugePage(order: order, node: home, gfp: mask, inPinScope: inPinScope)
    {
      return .page(pfn)
    }
    guard order <= geometry.maxOrder else {
      return .refused(
        Refusal(.ENOMEM, "no gigantic page is made for a migration", rule: "P4.15"))
    }
    if !mayLeaveNode { mask.insert(.thisNode) }
    mask.insert(.retryMayFail)
    let result = allocateFreshHugePage(pool, mask, node: home, inPinScope: inPinScope)
    if let pfn = result.pfn {
      accountNewHugePage(pool, pfn)
      setHugePageFlags(pfn, [.hugetlb, .temporary])
    }
    return result
  }

  /// The contents have moved: if the new page was temporary, the old one is from now on, so that it is
  /// freed for real and the pool keeps its size.
  ///
  /// Kernel: `move_hugetlb_state()` (rule P4.15).
  public mutating func moveHugePageState(from old: PFN, to new: PFN) {
    let target = hugePageFlags(new)
    guard target.contains(.temporary),
      let pool = hugePoolIndex(order: frames.head(old).order)
    else { return }
    setHugePageFlags(old, hugePageFlags(old).union(.temporary))
    setHugePageFlags(new, target.subtracting(.temporary))
    let (from, to) = (node(of: old), node(of: new))
    if from != to, hugePools[pool].nodes[from].surplus > 0 {
      hugePools[pool].nodes[from].surplus -= 1
      hugePools[pool].nodes[to].surplus += 1
    }
  }

  // MARK: Emptying a range

  /// Puts a fresh page into the pool for the free one at `pfn`, which goes to the buddy.
  ///
  /// Kernel: `alloc_and_dissolve_hugetlb_folio()` (rule P5.13).
  ///
  /// - Returns: Nil when replaced; ENOMEM without a block on the same node, or for a gigantic page,
  ///   which ends the whole search of `cma_alloc()`.
  /// - Throws: `.misuse` when `pfn` does not start a free page of a pool.
  public mutating func replaceFreeHugePage(_ pfn: PFN) throws(MemoryError) -> Refusal? {
    let pool = try freePool(of: pfn)
    if hugePools[pool].order > geometry.maxOrder {
      return Refusal(.ENOMEM, "\(pfn) starts a gigantic page, which is not moved", rule: "P5.13")
    }
    let gfp = hugePageGFP(pool).union([.thisNode, .retryMayFail])
    switch allocateFreshHugePage(pool, gfp, node: node(of: pfn)) {
    case .refused(let refusal): return Refusal(.ENOMEM, refusal.message, rule: "P5.13")
    case .page(let fresh):
      removeHugePage(pool, pfn, adjustSurplus: false)
      addToHugePool(pool, [fresh])
      freeRemovedHugePage(pool, pfn)
      return nil
    }
  }

  /// Gives the free page at `pfn` to the buddy; the pool becomes smaller by one.
  ///
  /// Kernel: `dissolve_free_hugetlb_folio()` (rule P6.2).
  ///
  /// - Returns: Nil when done, also for a page that is not a huge one; EBUSY when it is in use, or when
  ///   every free page is promised.
  public mutating func dissolveFreeHugePage(_ pfn: PFN) -> Refusal? {
    guard hugePageFlags(pfn).contains(.hugetlb),
      let pool = hugePoolIndex(order: frames.head(pfn).order)
    else { return nil }
    guard frames.head(pfn).kind == .hugePool else {
      return Refusal(.EBUSY, "the huge page at \(pfn) is in use", rule: "P6.2")
    }
    guard hugePools[pool].available > 0 else {
      return Refusal(
        .EBUSY, "all \(hugePools[pool].free) free huge pages are promised", rule: "P6.2")
    }
    let isSurplus = hugePools[pool].nodes[node(of: pfn)].surplus > 0
    removeHugePage(pool, pfn, adjustSurplus: isSurplus)
    if !isSurplus { hugePools[pool].maximum -= 1 }
    freeRemovedHugePage(pool, pfn)
    return nil
  }

  private func freePool(of pfn: PFN) throws(MemoryError) -> Int {
    guard hugePageFlags(pfn).contains(.hugetlb), frames.head(pfn).kind == .hugePool,
      let pool = hugePoolIndex(order: frames.head(pfn).order)
    else {
      throw MemoryError(
        .misuse, "\(pfn) does not start a free huge page; give the first frame of one in the pool")
    }
    return pool
  }
}

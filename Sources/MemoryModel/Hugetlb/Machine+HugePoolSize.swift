// Growing and shrinking a pool takes one block at a time from or to the buddy, and others run in
// between. So it is a state machine: `advance()` does one block. The pool changes only at its ends:
// new pages enter it together, and pages to be freed have left it before the first is freed.

/// A write to nr_hugepages under way.
///
/// Kernel: `set_max_huge_pages()`, mm/hugetlb.c.
public struct HugePoolResize: Sendable, Hashable {
  let pool: Int
  let nodes: [Int]
  let count: Int
  var phase = Phase.growing
  /// Pages on their way into the pool, or out of it, in the order of taking.
  var batch: [PFN] = []
  var freed = 0
  /// Nodes that refused a page although it was asked for with __GFP_RETRY_MAYFAIL, by number.
  var exhausted: UInt32 = 0
  /// Nodes to ask before the page at hand is given up.
  var nodesLeft = 0

  enum Phase: Sendable, Hashable {
    case growing
    case shrinking
    case done
  }

  /// What one step did.
  public enum Step: Sendable, Equatable {
    case allocated(PFN)
    /// A node has no block to give. The write ends when all of its nodes said so.
    case refused(Refusal)
    case freed(PFN)
    case done
  }
}

extension Machine {
  /// Nodes with memory, ascending.
  ///
  /// Kernel: `node_states[N_MEMORY]`.
  var nodesWithMemory: [Int] { (0..<nodeCount).filter { !zonelists[$0].isEmpty } }

  /// Begins to set the size of a pool.
  ///
  /// - Parameter count: Pages that the pool, or its part on `node`, shall have.
  /// - Throws: `.misuse` for a size that does not exist, a negative count, or no such node.
  public mutating func beginHugePoolResize(
    order: Int, count: Int, node: Int? = nil
  ) throws(MemoryError) -> HugePoolResize {
    guard let pool = hugePoolIndex(order: order) else {
      throw MemoryError(.misuse, noSuchPool(order).message)
    }
    guard count >= 0 else {
      throw MemoryError(.misuse, "nr_hugepages = \(count) is not a number of pages; use 0 or more")
    }
    var wanted = count
    if let node {
      guard nodesWithMemory.contains(node) else {
        throw MemoryError(
          .misuse, "there is no node \(node) with memory; this machine has 0 to \(nodeCount - 1)")
      }
      let here = hugePools[pool].nodes[node]
      let sum = count.addingReportingOverflow(
        hugePools[pool].persistent - (here.total - here.surplus))
      wanted = sum.overflow ? .max : sum.partialValue
    }
    var resize = HugePoolResize(
      pool: pool, nodes: node.map { [$0] } ?? nodesWithMemory, count: wanted)
    resize.nodesLeft = resize.nodes.count
    while hugePools[pool].surplus > 0, wanted > hugePools[pool].persistent,
      adjustHugeSurplus(pool, resize.nodes, by: -1)
    {}
    return resize
  }

  /// Does one step of a write to nr_hugepages: one block allocated, refused or freed.
  public mutating func advance(_ resize: inout HugePoolResize) -> HugePoolResize.Step {
    switch resize.phase {
    case .growing:
      if resize.count > hugePools[resize.pool].persistent + resize.batch.count {
        return grow(&resize)
      }
      addToHugePool(&resize)
      beginShrinking(&resize)
      return advance(&resize)
    case .shrinking:
      if resize.freed < resize.batch.count {
        let pfn = resize.batch[resize.freed]
        resize.freed += 1
        freeRemovedHugePage(resize.pool, pfn)
        return .freed(pfn)
      }
      while resize.count < hugePools[resize.pool].persistent,
        adjustHugeSurplus(resize.pool, resize.nodes, by: 1)
      {}
      end(&resize)
      return .done
    case .done: return .done
    }
  }

  /// Asks one node for one page; nodes take turns.
  ///
  /// Kernel: `alloc_pool_huge_folio()`.
  private mutating func grow(_ resize: inout HugePoolResize) -> HugePoolResize.Step {
    let pool = resize.pool
    let node = Self.turn(&hugePools[pool].nextToAllocate, resize.nodes)
    let bit = UInt32(1) << UInt32(node)
    let triesHard = resize.exhausted & bit == 0
    var gfp = hugePageGFP(pool).union(.thisNode)
    if triesHard { gfp.insert(.retryMayFail) }
    switch allocateFreshHugePage(pool, gfp, node: node) {
    case .page(let pfn):
      resize.exhausted &= ~bit
      resize.batch.append(pfn)
      resize.nodesLeft = resize.nodes.count
      return .allocated(pfn)
    case .refused(let refusal):
      resize.exhausted |= bit
      resize.nodesLeft -= 1
      if resize.nodesLeft == 0 {
        addToHugePool(&resize)
        end(&resize)
      }
      return .refused(refusal)
    }
  }

  /// Ends a write early, as a signal does: pages allocated so far enter the pool, and pages already
  /// taken out of it are freed.
  public mutating func interrupt(_ resize: inout HugePoolResize) {
    switch resize.phase {
    case .growing: addToHugePool(&resize)
    case .shrinking: while case .freed = advance(&resize) {}
    case .done: return
    }
    end(&resize)
  }

  private mutating func end(_ resize: inout HugePoolResize) {
    hugePools[resize.pool].maximum = hugePools[resize.pool].persistent
    resize.phase = .done
  }

  /// New pages enter the pool together, and the first that was allocated is the first to be taken.
  ///
  /// Kernel: `prep_and_add_allocated_folios()`.
  private mutating func addToHugePool(_ resize: inout HugePoolResize) {
    addToHugePool(resize.pool, resize.batch)
    resize.batch = []
  }

  mutating func addToHugePool(_ pool: Int, _ pages: [PFN]) {
    for pfn in pages.reversed() {
      accountNewHugePage(pool, pfn)
      enqueueHugePage(pool, pfn)
    }
  }

  /// Takes the pages to be freed out of the pool; promised ones and those in use stay.
  private mutating func beginShrinking(_ resize: inout HugePoolResize) {
    resize.phase = .shrinking
    let pool = resize.pool
    let kept = max(
      resize.count, hugePools[pool].reserved + hugePools[pool].total - hugePools[pool].free)
    while kept < hugePools[pool].persistent,
      let pfn = removeFromHugePool(pool, resize.nodes, surplus: false)
    {
      resize.batch.append(pfn)
    }
  }

  /// Takes the next free page out of the pool, nodes in turn, and leaves it to the caller to free.
  ///
  /// Two lists are built on the way to the buddy, each the other way round, so pages are freed in
  /// the order in which they are taken out. Kernel: `remove_pool_hugetlb_folio()`,
  /// `update_and_free_pages_bulk()`.
  mutating func removeFromHugePool(_ pool: Int, _ nodes: [Int], surplus: Bool) -> PFN? {
    for _ in nodes {
      let node = Self.turn(&hugePools[pool].nextToFree, nodes)
      if surplus && hugePools[pool].nodes[node].surplus == 0 { continue }
      if let pfn = frames.first(hugePools[pool].nodes[node].list) {
        removeHugePage(pool, pfn, adjustSurplus: surplus)
        return pfn
      }
    }
    return nil
  }

  /// Moves one page of some node into or out of surplus, by count only.
  ///
  /// Kernel: `adjust_pool_surplus()`.
  private mutating func adjustHugeSurplus(_ pool: Int, _ nodes: [Int], by delta: Int) -> Bool {
    for _ in nodes {
      let node =
        delta < 0
        ? Self.turn(&hugePools[pool].nextToAllocate, nodes)
        : Self.turn(&hugePools[pool].nextToFree, nodes)
      let part = hugePools[pool].nodes[node]
      if delta < 0 ? part.surplus > 0 : part.surplus < part.total {
        hugePools[pool].surplus += delta
        hugePools[pool].nodes[node].surplus += delta
        return true
      }
    }
    return false
  }

  /// The node whose turn it is, and the turn passed on.
  ///
  /// Kernel: `hstate_next_node_to_alloc()`, `hstate_next_node_to_free()`.
  static func turn(_ next: inout Int, _ nodes: [Int]) -> Int {
    let here = nodes.first { $0 >= next } ?? nodes[0]
    next = nodes.first { $0 > here } ?? nodes[0]
    return here
  }

  // MARK: The files

  /// Writes nr_hugepages of one page size, of the whole machine or of one node.
  ///
  /// Kernel: `nr_hugepages_store()`, `hugetlb_sysctl_handler()`. The write succeeds even when the pool
  /// got fewer pages; `hugePool(order:)` tells.
  ///
  /// - Returns: Why the pool did not get all pages, or nil.
  /// - Throws: `.misuse` as ``beginHugePoolResize(order:count:node:)``.
  @discardableResult
  public mutating func setHugePages(
    order: Int, count: Int, node: Int? = nil
  ) throws(MemoryError) -> Refusal? {
    var resize = try beginHugePoolResize(order: order, count: count, node: node)
    var last: Refusal?
    while true {
      switch advance(&resize) {
      case .allocated, .freed: last = nil
      case .refused(let refusal): last = refusal
      case .done: return last
      }
    }
  }

  /// Writes nr_overcommit_hugepages.
  ///
  /// Kernel: `nr_overcommit_hugepages_store()`.
  ///
  /// - Returns: EINVAL for gigantic pages, which have no surplus; nil when written.
  /// - Throws: `.misuse` for a size that does not exist or a negative count.
  @discardableResult
  public mutating func setHugeOvercommit(order: Int, count: Int) throws(MemoryError) -> Refusal? {
    guard let pool = hugePoolIndex(order: order) else {
      throw MemoryError(.misuse, noSuchPool(order).message)
    }
    guard count >= 0 else {
      throw MemoryError(
        .misuse, "nr_overcommit_hugepages = \(count) is not a number of pages; use 0 or more")
    }
    guard order <= geometry.maxOrder else {
      return Refusal(.EINVAL, "gigantic pages cannot be overcommitted", rule: "P5.30")
    }
    hugePools[pool].overcommit = count
    return nil
  }
}

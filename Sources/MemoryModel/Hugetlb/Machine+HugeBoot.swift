extension MachineConfiguration {
  /// Huge pages that boot takes: `hugepages=` behind an optional `hugepagesz=`.
  public struct HugePageRequest: Sendable, Equatable {
    /// log2 of the base pages in a huge page; nil is the default size.
    public var order: Int?
    public var pages: Int
    /// The node to take them from, as `hugepages=<node>:<pages>` says; nil spreads them.
    public var node: Int?

    public init(pages: Int, order: Int? = nil, node: Int? = nil) {
      self.pages = pages
      self.order = order
      self.node = node
    }
  }

  func validateHugePages() throws(MemoryError) {
    for request in hugePages {
      guard request.order ?? geometry.hugeOrder == geometry.hugeOrder else {
        throw MemoryError(
          .configuration,
          "hugepages of order \(request.order ?? 0): this version boots with pages of order "
            + "\(geometry.hugeOrder) only")
      }
      guard (0...1 << 31).contains(request.pages) else {
        throw MemoryError(
          .configuration, "hugepages = \(request.pages) is not a number of pages; use 0 or more")
      }
      if let node = request.node, !nodes.indices.contains(node) {
        throw MemoryError(
          .configuration, "hugepages on node \(node), but nodes end at \(nodes.count - 1)")
      }
    }
  }
}

extension Machine {
  /// Fills the pools as the command line says; a pool that memory cannot fill stays smaller.
  ///
  /// Kernel: `hugetlb_init()`, `hugetlb_hstate_alloc_pages()`. It runs after the first watermarks are
  /// set and before transparent huge pages raise them.
  mutating func allocateBootHugePages(_ requests: [MachineConfiguration.HugePageRequest]) {
    for pool in hugePools.indices {
      let wanted = requests.filter { ($0.order ?? geometry.hugeOrder) == hugePools[pool].order }
      if wanted.contains(where: { $0.node != nil }) {
        // One node named is enough for the spread ones to be ignored.
        for node in 0..<nodeCount {
          if let request = wanted.last(where: { $0.node == node }) {
            allocateBootHugePages(pool, request.pages, on: node)
          }
        }
      } else if let pages = wanted.last?.pages, pages > 0 {
        spreadBootHugePages(pool, pages)
      }
      hugePools[pool].maximum = hugePools[pool].total
    }
  }

  /// Each page enters the pool on its own, so the last one becomes the head.
  ///
  /// Kernel: `hugetlb_hstate_alloc_pages_onenode()`.
  private mutating func allocateBootHugePages(_ pool: Int, _ pages: Int, on node: Int) {
    let gfp = hugePageGFP(pool).union([.thisNode, .retryMayFail])
    for _ in 0..<pages {
      guard let pfn = allocateFreshHugePage(pool, gfp, node: node).pfn else { return }
      addToHugePool(pool, [pfn])
    }
  }

  /// Two threads a node work through the pages in chunks; the pages of a chunk enter the pool
  /// together, in front of those of earlier chunks.
  ///
  /// The chunks run one after the other here, as on one CPU; on more CPUs the kernel's threads race.
  /// Kernel: `hugetlb_pages_alloc_boot()`.
  private mutating func spreadBootHugePages(_ pool: Int, _ pages: Int) {
    let nodes = nodesWithMemory
    let chunk = Self.bootHugePageChunk(pages: pages, nodes: nodes.count)
    var start = 0
    while start < pages {
      let count = min(chunk, pages - start)
      addBootHugePages(pool, count, nodes)
      start += count
    }
  }

  /// How many huge pages one thread of boot allocates before it adds them to the pool.
  ///
  /// Kernel: `hugetlb_pages_alloc_boot()`, `padata_do_multithreaded()`.
  public static func bootHugePageChunk(pages: Int, nodes: Int) -> Int {
    let smallest = pages / nodes / 2
    let works = min(max(pages / max(smallest, 1), 1), nodes * 2)
    // Four chunks for each thread if they stay large enough, so that none waits for the other.
    return works == 1 ? max(pages, 1) : max(pages / (works * 4), smallest, 1)
  }

  /// Kernel: `hugetlb_pages_alloc_boot_node()`.
  private mutating func addBootHugePages(_ pool: Int, _ count: Int, _ nodes: [Int]) {
    var batch: [PFN] = []
    var next = 0
    var exhausted: UInt32 = 0
    while batch.count < count {
      var taken: PFN?
      for _ in nodes where taken == nil {
        let node = Self.turn(&next, nodes)
        var gfp = hugePageGFP(pool).union(.thisNode)
        if exhausted & 1 << UInt32(node) == 0 { gfp.insert(.retryMayFail) }
        taken = allocateFreshHugePage(pool, gfp, node: node).pfn
        if taken == nil {
          exhausted |= 1 << UInt32(node)
        } else {
          exhausted &= ~(1 << UInt32(node))
        }
      }
      guard let taken else { break }
      batch.append(taken)
    }
    addToHugePool(pool, batch)
  }
}

extension MachineImage {
  /// A pool of huge pages as a recording shows it.
  ///
  /// Pages in use are not listed here: they are the ``MachineImage/allocations`` of this order whose
  /// owner is `H`.
  public struct HugePoolImage {
    /// log2 of the base pages in a huge page.
    public var order: Int
    public var total = 0
    public var reserved = 0
    /// Surplus pages, node by node.
    public var surplus: [Int] = []
    public var maximum = 0
    public var overcommit = 0
    /// First frames of the free pages, the next to be taken first.
    public var free: [Int] = []

    public init(order: Int) { self.order = order }
  }
}

extension Machine {
  /// Fills the pools; a machine whose image names no pool counts the huge pages in use only.
  ///
  /// - Throws: `.configuration` when a page has no place or a counter contradicts the pages.
  mutating func loadHugePools(_ image: MachineImage) throws(MemoryError) {
    for block in image.allocations where block.owner == UInt8(ascii: "H") {
      guard let pool = hugePoolIndex(order: block.order), frames.zone(of: PFN(block.pfn)) != nil
      else { continue }
      accountNewHugePage(pool, PFN(block.pfn))
      setHugePageFlags(PFN(block.pfn), [.hugetlb, .migratable])
    }
    for index in hugePools.indices { hugePools[index].maximum = hugePools[index].total }
    for source in image.hugePools {
      guard let pool = hugePoolIndex(order: source.order) else {
        throw MemoryError(.configuration, noSuchPool(source.order).message)
      }
      // Each page becomes the head of its list.
      for start in source.free.reversed() {
        let pfn = PFN(start)
        guard source.order <= geometry.maxOrder, start + 1 << source.order <= frames.count,
          isNobodys(pfn, order: source.order)
        else {
          throw MemoryError(
            .configuration, "the free huge page at \(pfn) is no memory, or held by others")
        }
        addToHugePool(pool, [pfn])
      }
      try loadCounters(pool, source)
    }
  }

  /// Whether a block is memory of one zone in which no block starts, and that lies in none.
  private func isNobodys(_ pfn: PFN, order: Int) -> Bool {
    let range = PFNRange(pfn.index, pfn.index + 1 << order)
    guard let zone = frames.zone(of: pfn), frames.zone(of: PFN(range.end - 1)) == zone,
      memory.contains(where: { $0.intersection(range).count == range.count }),
      !reserved.contains(where: { $0.start < range.end && range.start < $0.end }),
      block(containing: pfn) == nil
    else { return false }
    return (range.start..<range.end).allSatisfy { frames.head(PFN($0)).kind == .none }
  }

  private mutating func loadCounters(
    _ pool: Int, _ image: MachineImage.HugePoolImage
  ) throws(MemoryError) {
    let found = hugePools[pool]
    guard image.total == found.total, (0...found.free).contains(image.reserved),
      image.surplus.count <= nodeCount,
      zip(image.surplus, found.nodes).allSatisfy({ (0...$1.total).contains($0) })
    else {
      throw MemoryError(
        .configuration,
        "huge pages of order \(image.order): \(image.total) pages, \(image.reserved) promised, "
          + "\(image.surplus) surplus cannot be with \(found.free) free of \(found.total)")
    }
    hugePools[pool].reserved = image.reserved
    for (node, count) in image.surplus.enumerated() { hugePools[pool].nodes[node].surplus = count }
    hugePools[pool].surplus = image.surplus.reduce(0, +)
    hugePools[pool].maximum = image.maximum
    hugePools[pool].overcommit = image.overcommit
  }
}

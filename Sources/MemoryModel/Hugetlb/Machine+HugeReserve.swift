extension Machine {
  /// Promises `count` pages to a mapping that is being made; missing ones are made as surplus pages.
  ///
  /// Kernel: `hugetlb_acct_memory()` with `gather_surplus_pages()`, mm/hugetlb.c. mmap() of a private
  /// or shared hugetlb mapping does this for every page unless MAP_NORESERVE is set.
  ///
  /// - Returns: ENOMEM when the pool and the overcommit limit do not suffice; nothing is promised then.
  /// - Throws: `.misuse` for a size that does not exist or a negative count.
  @discardableResult
  public mutating func reserveHugePages(
    order: Int, _ count: Int
  ) throws(MemoryError) -> Refusal? {
    promiseHugePages(try reservablePool(order, count), count)
  }

  mutating func promiseHugePages(_ pool: Int, _ count: Int) -> Refusal? {
    let order = hugePools[pool].order
    let needed = hugePools[pool].reserved + count - hugePools[pool].free
    var made: [PFN] = []
    while made.count < needed {
      guard let pfn = allocateSurplusForReserve(pool) else { break }
      made.append(pfn)
    }
    guard made.count >= needed else {
      // The list was built at its head, so the last one is freed first.
      for pfn in made.reversed() {
        removeHugePage(pool, pfn, adjustSurplus: true)
        freeRemovedHugePage(pool, pfn)
      }
      return Refusal(
        .ENOMEM,
        "\(count) huge pages of order \(order) cannot be promised: \(hugePools[pool].available) are "
          + "available, \(hugePools[pool].overcommit) may be made in addition", rule: "P2.36")
    }
    for pfn in made.reversed() { enqueueHugePage(pool, pfn) }
    hugePools[pool].reserved += count
    return nil
  }

  /// Any node will do, node 0 first.
  private mutating func allocateSurplusForReserve(_ pool: Int) -> PFN? {
    for node in nodesWithMemory {
      if let pfn = allocateSurplusHugePage(pool, node: node, inPinScope: false) { return pfn }
    }
    return nil
  }

  /// Takes back `count` promises that nobody used, and frees as many surplus pages as it can.
  ///
  /// Kernel: `hugetlb_acct_memory()` with `return_unused_surplus_pages()`.
  ///
  /// - Throws: `.misuse` when fewer pages are promised.
  public mutating func unreserveHugePages(order: Int, _ count: Int) throws(MemoryError) {
    let pool = try reservablePool(order, count)
    guard count <= hugePools[pool].reserved else {
      throw MemoryError(
        .misuse,
        "\(count) promises to take back, but only \(hugePools[pool].reserved) pages are promised")
    }
    takeBackPromises(pool, count)
  }

  /// ``unreserveHugePages(order:_:)``; the count may fall below 0 for a while, see
  /// ``closeHugeArea(_:)``.
  mutating func takeBackPromises(_ pool: Int, _ count: Int) {
    hugePools[pool].reserved -= count
    var removed: [PFN] = []
    for _ in 0..<min(count, hugePools[pool].surplus) {
      guard let pfn = removeFromHugePool(pool, nodesWithMemory, surplus: true) else { break }
      removed.append(pfn)
    }
    for pfn in removed { freeRemovedHugePage(pool, pfn) }
  }

  private func reservablePool(_ order: Int, _ count: Int) throws(MemoryError) -> Int {
    guard let pool = hugePoolIndex(order: order) else {
      throw MemoryError(.misuse, noSuchPool(order).message)
    }
    guard (0...frames.count).contains(count) else {
      throw MemoryError(
        .misuse, "\(count) is not a number of huge pages; use 0 to \(frames.count >> order)")
    }
    return pool
  }
}

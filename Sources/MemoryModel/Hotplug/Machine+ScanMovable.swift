// What taking memory offline sees of a memory block, and takes off the lists.

extension Machine {
  /// The first page of a range that can move: of an LRU list, or a huge page that nobody has isolated
  /// (rule P6.2).
  ///
  /// Kernel: `scan_movable_pages()`, mm/memory_hotplug.c.
  package func firstMovable(in range: PFNRange) -> PFN? {
    var at = range.start
    while at < range.end {
      guard let block = block(containing: PFN(at)) else {
        at += 1
        continue
      }
      if block.state.kind == .allocated,
        block.state.isLRU || hugePageFlags(block.start).contains(.migratable)
      {
        return PFN(at)
      }
      at = block.start.index + 1 << block.state.order
    }
    return nil
  }

  /// Takes every folio in use off its list, a huge page of hugetlbfs too.
  ///
  /// References do not matter, as they do to a contiguous allocation (rule P6.5).
  /// Kernel: the first half of `do_migrate_range()`, mm/memory_hotplug.c.
  ///
  /// - Parameter list: What is found last comes first, huge pages come last.
  /// - Parameter failed: Pages in use that are on no list.
  /// - Returns: The frame behind the last folio.
  package mutating func isolateAll(
    in range: PFNRange, _ list: inout [PFN], failed: inout [PFN]
  ) -> Int {
    var at = range.start
    while at < range.end {
      guard let block = block(containing: PFN(at)) else {
        at += 1
        continue
      }
      let page = PFN(at)
      at = block.start.index + 1 << block.state.order
      guard block.state.kind == .allocated else { continue }
      let folio = Folio(block.start, order: block.state.order)
      if block.state.isHugetlb {
        if isolateHugetlb(folio) { list.append(folio.head) } else { failed.append(page) }
      } else if isolateLRU(folio) {
        countIsolated(folio, 1)
        list.insert(folio.head, at: 0)
      } else {
        failed.append(page)
      }
    }
    return at
  }

  /// Gives the free huge pages of a range back to the buddy (rule P6.2).
  ///
  /// Kernel: `dissolve_free_hugetlb_folios()`, mm/hugetlb.c.
  ///
  /// - Returns: Why one could not be: EBUSY.
  package mutating func dissolveFreeHugePages(in range: PFNRange) -> Refusal? {
    guard let order = hugePools.map(\.order).min() else { return nil }
    for at in stride(from: range.start, to: range.end, by: 1 << order) {
      guard let block = block(containing: PFN(at)), block.state.isHugetlb else { continue }
      if let refusal = dissolveFreeHugePage(block.start) { return refusal }
    }
    return nil
  }

  /// Kernel: the rate-limited warnings of `do_migrate_range()`, without the dump of the page.
  package mutating func logIsolationFailure(_ pfn: PFN) {
    log.append("failed to isolate pfn \(hex(pfn.index))")
  }

  package mutating func logMigrationFailure(_ pfn: PFN, result: Int) {
    log.append("migrating pfn \(hex(pfn.index)) failed ret:\(result)")
  }
}

extension Machine {
  /// The zone of a memory block that may go offline, or why it may not (rule P6.1).
  ///
  /// - Throws: `.misuse` when no block starts there, or it is offline already.
  package func offlineZone(
    at start: PFN
  ) throws(MemoryError) -> (range: PFNRange, zone: Int, refusal: Refusal?) {
    let size = geometry.memoryBlockPages
    guard start.index % size == 0, start.index < frames.count else {
      throw MemoryError(
        .misuse, "no memory block starts at \(start); they start at multiples of 0x\(hex(size))")
    }
    let range = PFNRange(start.index, start.index + size)
    guard !offlineMemory.contains(range) else {
      throw MemoryError(.misuse, "the memory block at \(start) is offline already; online it first")
    }
    guard memory.pages(in: range) == size else {
      return (range, 0, Refusal(.EINVAL, "the memory block at \(start) has holes", rule: "P6.1"))
    }
    guard let zone = frames.zone(of: start),
      zoneTable[zone].range.intersection(range) == range,
      frames.zone(of: PFN(range.end - 1)) == zone
    else {
      return (range, 0, Refusal(.EINVAL, "the memory block at \(start) spans zones", rule: "P6.1"))
    }
    return (range, zone, nil)
  }
}

extension Machine {
  /// That the pools' counters say what the lists and the pages' flags say.
  ///
  /// - Returns: The first that does not hold, in words; nil if all do.
  func checkHugePools() -> String? {
    var used: [Int: Int] = [:]
    var restoring: [Int: Int] = [:]
    for block in 0..<hugeFlags.count where hugeFlags[block] != 0 {
      let pfn = PFN(block << geometry.pageblockOrder)
      let state = frames.head(pfn)
      guard hugePageFlags(pfn).contains(.hugetlb), hugePoolIndex(order: state.order) != nil,
        state.kind == .allocated || state.kind == .hugePool, frames.zone(of: pfn) != nil
      else { return "\(pfn) is marked as a huge page, but no block of such a size is there" }
      if state.kind == .allocated {
        used[state.order * 64 + node(of: pfn), default: 0] += 1
        if hugePageFlags(pfn).contains(.restoreReserve) { restoring[state.order, default: 0] += 1 }
        if !state.flags.contains(.hugetlb) {
          return "the huge page in use at \(pfn) does not say that it is one"
        }
        if state.flags.contains(.isolated), hugePageFlags(pfn).contains(.migratable) {
          return "the huge page at \(pfn) is isolated, and may be isolated"
        }
      } else if hugePageFlags(pfn) != .hugetlb {
        return "the free huge page at \(pfn) carries flags of a page in use"
      }
    }
    // Pages of a file without an entry among its promises have used up somebody else's.
    for file in files where file.isHugetlb {
      let entries = file.promised.ranges.reduce(0) { count, range in
        count + range.count { isCached(file, index: $0) }
      }
      restoring[file.hugeOrder, default: 0] += (file.cachedPages >> file.hugeOrder) - entries
    }
    for pool in hugePools {
      if let broken = check(pool, used, restoring[pool.order] ?? 0) {
        return "huge pages of order \(pool.order): " + broken
      }
    }
    return nil
  }

  private func isCached(_ file: MemoryFile, index: Int) -> Bool {
    let chunk = (index << file.hugeOrder) >> 9
    return chunk < file.chunks.count && file.chunks[chunk] != 0
  }

  private func check(_ pool: HugePool, _ used: [Int: Int], _ restoring: Int) -> String? {
    for (id, node) in pool.nodes.enumerated() {
      let listed = frames.blocks(node.list)
      for pfn in listed {
        guard frames.head(pfn).kind == .hugePool, frames.head(pfn).order == pool.order,
          hugePageFlags(pfn).contains(.hugetlb), self.node(of: pfn) == id
        else { return "\(pfn) is on the list of node \(id), but not a free huge page of it" }
      }
      if listed.count != node.free || listed.count != Int(node.list.count) {
        return "node \(id) counts \(node.free) free pages, its list holds \(listed.count)"
      }
      let inUse = used[pool.order * 64 + id, default: 0]
      if node.total != node.free + inUse {
        return
          "node \(id) counts \(node.total) pages, but \(node.free) are free and \(inUse) in use"
      }
      if !(0...node.total).contains(node.surplus) {
        return "\(node.surplus) of the \(node.total) pages of node \(id) are surplus"
      }
    }
    let sums = pool.nodes.reduce((0, 0, 0)) {
      ($0.0 + $1.total, $0.1 + $1.free, $0.2 + $1.surplus)
    }
    if sums != (pool.total, pool.free, pool.surplus) {
      return "\(pool.total) pages, \(pool.free) free, \(pool.surplus) surplus; the nodes have "
        + "\(sums.0), \(sums.1), \(sums.2)"
    }
    // Pages still held bring promises back that nobody has any more.
    if !(-restoring - pool.missing...pool.free + pool.homeless).contains(pool.reserved) {
      return "\(pool.reserved) pages are promised, \(pool.free) are free"
    }
    return nil
  }
}

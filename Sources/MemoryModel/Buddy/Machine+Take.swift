extension Machine {
  /// Takes the head of the smallest sufficient list and gives back what is too much (rule A3.15).
  ///
  /// Kernel: `__rmqueue_smallest()`, `page_del_and_expand()`, mm/page_alloc.c.
  mutating func takeSmallest(_ zone: Int, order: Int, _ type: MigrateType) -> PFN? {
    var current = order
    while current <= geometry.maxOrder {
      if let pfn = firstFree(zone, order: current, type) {
        takeAndExpand(zone, pfn, from: current, to: order, listed: type)
        traceZoneLocked(pfn, order: order, type, run: 1)
        return pfn
      }
      current += 1
    }
    return nil
  }

  mutating func traceZoneLocked(_ pfn: PFN, order: Int, _ type: MigrateType, run count: Int) {
    let refill = isPerCPUOrder(order) && type.isMergeable ? UInt32(1) : 0
    trace.append(
      TraceEvent(.pageAllocZoneLocked, pfn, order: order, UInt32(type.rawValue), refill), run: count
    )
  }

  /// Removes a free block and head-inserts the upper halves until `to` is left at `pfn`.
  ///
  /// Up to 6.9 the caller accounts: per refill, or per single block (rule A9.6).
  mutating func takeAndExpand(
    _ zone: Int, _ pfn: PFN, from: Int, to: Int, listed type: MigrateType
  ) {
    removeFree(zone, pfn, order: from)
    expand(zone, pfn, from: from, to: to, type)
    if kernel.typesFollowPageblocks { account(zone, -(1 << to), type) }
  }

  /// Kernel: `expand()`.
  mutating func expand(_ zone: Int, _ pfn: PFN, from: Int, to: Int, _ type: MigrateType) {
    var order = from
    while order > to {
      order -= 1
      insertFree(zone, pfn + (1 << order), order: order, type, atTail: false)
    }
  }

  /// Whether blocks of this order go through the per-CPU lists (rule A5.2).
  ///
  /// Kernel: `pcp_allowed_order()`.
  func isPerCPUOrder(_ order: Int) -> Bool {
    if order == 0 { return true }
    return order <= 3
      ? kernel.cachesHighOrders : order == geometry.pageblockOrder && cachesHugePages
  }
}

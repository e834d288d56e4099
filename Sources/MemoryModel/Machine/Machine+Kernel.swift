// Invariant: after a change of the kernel the machine is in a state that the new kernel could be in:
// check() holds under its rules.

extension Machine {
  /// Changes the rules from here on.
  ///
  /// Memory stays as it is. Where the kernels keep free pages or LRU batches differently, they are
  /// emptied first, and the marks of the per-CPU lists are computed anew; where the new kernel goes by
  /// pageblocks, free blocks move to the lists of their pageblocks.
  public mutating func setKernel(_ kernel: Kernel) {
    let old = self.kernel
    let rules = (old: old.pinning, new: kernel.pinning)
    if rules.old.lruBatchSize != rules.new.lruBatchSize
      || rules.old.clearsFlagOnQueue != rules.new.clearsFlagOnQueue
    {
      drainAllLRU()
    }
    let keepsLists =
      old.hugeLists == kernel.hugeLists && old.cachesHighOrders == kernel.cachesHighOrders
      && old.perCPULists == kernel.perCPULists
      && old.typesFollowPageblocks == kernel.typesFollowPageblocks
    // Where nobody borrows from CMA any more, nobody may find its pages on a CPU's list.
    let leavesCMA = !old.disablesCMABorrowing && kernel.disablesCMABorrowing
    if !keepsLists || leavesCMA { drainAllPages() }
    self.kernel = kernel
    guard !keepsLists else { return }
    for cpu in 0..<cpuCount { foldStatistics(cpu: cpu) }
    for zone in populatedZones {
      if kernel.typesFollowPageblocks { listByPageblock(zone) }
      for cpu in 0..<cpuCount {
        let local = zone * cpuCount + cpu
        perCPU[local].allocFactor = 0
        perCPU[local].freeCount = 0
        perCPU[local].high = 0
        perCPU[local].flags.remove(.previousFreeHighOrder)
      }
      setPerCPUHighAndBatch(zone)
    }
  }

  /// Puts every free block on a list of its pageblock's type, and counts anew (rule AI.4).
  private mutating func listByPageblock(_ zone: Int) {
    var counts: [MigrateType: Int] = [:]
    for order in 0...geometry.maxOrder {
      for type in MigrateType.allCases {
        let list = freeList(zone, order: order, type)
        for pfn in Array(frames.blocks(list)) {
          let own = frames.migrateType(pfn)
          if order > geometry.pageblockOrder { setPageblockTypes(pfn, order: order, own) }
          if own != type {
            removeFree(zone, pfn, order: order)
            insertFree(zone, pfn, order: order, own, atTail: true)
          }
          counts[own, default: 0] += 1 << order
        }
      }
    }
    zoneTable[zone].freeCMAPages = counts[.cma] ?? 0
    zoneTable[zone].freeHighAtomic = counts[.highAtomic] ?? 0
  }
}

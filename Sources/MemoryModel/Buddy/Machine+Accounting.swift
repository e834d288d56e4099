extension Machine {
  /// Adds `pages` to the free counters that `type` belongs to (rule A3.1).
  ///
  /// Each call is one update of the lagging counters, and how updates are cut decides when the
  /// watermark tests see them, so callers follow the kernel's granularity exactly.
  /// Kernel: `account_freepages()`, mm/page_alloc.c.
  mutating func account(_ zone: Int, _ pages: Int, _ type: MigrateType) {
    if type == .isolate { return }
    accountFree(zone, pages)
    if type == .cma {
      accountCMA(zone, pages)
    } else if type == .highAtomic && kernel.typesFollowPageblocks {
      zoneTable[zone].freeHighAtomic += pages
    }
  }

  /// One update of NR_FREE_PAGES.
  ///
  /// Kernel: `__mod_zone_page_state()` (rule A0.4).
  mutating func accountFree(_ zone: Int, _ pages: Int) {
    let local = zone * cpuCount + currentCPU
    let free = perCPU[local].freeDiff + pages
    if abs(free) > zoneTable[zone].statThreshold {
      zoneTable[zone].freePages += free
      perCPU[local].freeDiff = 0
    } else {
      perCPU[local].freeDiff = free
    }
  }

  /// One update of NR_FREE_CMA_PAGES.
  mutating func accountCMA(_ zone: Int, _ pages: Int) {
    let local = zone * cpuCount + currentCPU
    let cma = perCPU[local].freeCMADiff + pages
    if abs(cma) > zoneTable[zone].statThreshold {
      zoneTable[zone].freeCMAPages += cma
      perCPU[local].freeCMADiff = 0
    } else {
      perCPU[local].freeCMADiff = cma
    }
  }

  /// What `count` calls of ``account(_:_:_:)`` with `step` pages each leave, `step` being 1 or -1.
  mutating func account(_ zone: Int, step: Int, times count: Int, _ type: MigrateType) {
    if type == .isolate { return }
    let local = zone * cpuCount + currentCPU
    let threshold = zoneTable[zone].statThreshold
    let free = Self.fold(perCPU[local].freeDiff, step: step, times: count, threshold)
    perCPU[local].freeDiff = free.rest
    zoneTable[zone].freePages += free.folded
    if type == .cma {
      let cma = Self.fold(perCPU[local].freeCMADiff, step: step, times: count, threshold)
      perCPU[local].freeCMADiff = cma.rest
      zoneTable[zone].freeCMAPages += cma.folded
    } else if type == .highAtomic && kernel.typesFollowPageblocks {
      zoneTable[zone].freeHighAtomic += step * count
    }
  }

  /// `count` updates of a counter of the zone's LRU lists or locked pages with `step` pages each.
  ///
  /// Of the lag only the expiry of the per-CPU lists depends, so the counter itself is exact. Kernel:
  /// `update_lru_size()`, `__mod_zone_page_state()` (rule A0.4).
  mutating func countZoneItem(_ zone: Int, _ item: Int, _ step: Int, times count: Int = 1) {
    zoneItems[zone * VMStatNames.zoneItems.count + item] += step * count
    let local = zone * cpuCount + currentCPU
    let threshold = zoneTable[zone].statThreshold
    var pending = Int(perCPU[local].itemDiffs[item])
    if abs(step) == 1 {
      pending = Self.fold(pending, step: step, times: count, threshold).rest
    } else {
      for _ in 0..<count { pending = abs(pending + step) > threshold ? 0 : pending + step }
    }
    perCPU[local].itemDiffs[item] = Int8(clamping: pending)
  }

  /// Moves what a CPU holds back of a zone's counters into the global ones.
  ///
  /// - Returns: Whether there was anything.
  mutating func foldDifferences(_ zone: Int, cpu: Int) -> Bool {
    let local = zone * cpuCount + cpu
    var changed = perCPU[local].freeDiff != 0 || perCPU[local].freeCMADiff != 0
    zoneTable[zone].freePages += perCPU[local].freeDiff
    zoneTable[zone].freeCMAPages += perCPU[local].freeCMADiff
    perCPU[local].freeDiff = 0
    perCPU[local].freeCMADiff = 0
    for item in perCPU[local].itemDiffs.indices where perCPU[local].itemDiffs[item] != 0 {
      perCPU[local].itemDiffs[item] = 0
      changed = true
    }
    return changed
  }

  /// What reaches the global counter, and what stays with the CPU, after `count` updates of one page
  /// (rule A0.4).
  private static func fold(
    _ difference: Int, step: Int, times count: Int, _ threshold: Int
  ) -> (folded: Int, rest: Int) {
    if count <= 0 { return (0, difference) }
    // Only the first update can meet a difference that an earlier, larger threshold allowed.
    var folded = 0
    var rest = difference + step
    if abs(rest) > threshold {
      folded = rest
      rest = 0
    }
    let period = threshold + 1
    let distance = rest * step + count - 1
    if distance < period { return (folded, step * distance) }
    // From there on every update number `threshold + 1` folds.
    return (folded + step * (distance / period * period), step * (distance % period))
  }

  /// How many pages can be taken one by one so that only the last one changes a global counter.
  func pagesUntilFold(_ zone: Int, _ type: MigrateType) -> Int {
    let local = zone * cpuCount + currentCPU
    let threshold = zoneTable[zone].statThreshold
    func updates(_ difference: Int) -> Int {
      abs(difference - 1) > threshold ? 1 : difference + threshold + 1
    }
    let free = updates(perCPU[local].freeDiff)
    return type == .cma ? min(free, updates(perCPU[local].freeCMADiff)) : free
  }

  /// Moves the pending differences of one CPU into the global counters (rule A0.4).
  ///
  /// Kernel: `quiet_vmstat()`, `refresh_cpu_vm_stats()`, mm/vmstat.c.
  public mutating func foldStatistics(cpu: Int) {
    for zone in 0..<zoneCount {
      // Three quiet seconds until pages of another node go home (rule A5.27).
      if foldDifferences(zone, cpu: cpu) { perCPU[zone * cpuCount + cpu].expire = 3 }
    }
  }

  /// The exact number of free pages: the global part and every CPU's difference.
  public func freePagesSnapshot(_ zone: Int) -> Int {
    var free = zoneTable[zone].freePages
    for cpu in 0..<cpuCount { free += perCPU[zone * cpuCount + cpu].freeDiff }
    return max(free, 0)
  }

  /// The exact number of free CMA pages.
  public func freeCMASnapshot(_ zone: Int) -> Int {
    var free = zoneTable[zone].freeCMAPages
    for cpu in 0..<cpuCount { free += perCPU[zone * cpuCount + cpu].freeCMADiff }
    return max(free, 0)
  }

  package mutating func count(_ event: VMEvent, _ amount: Int) { events[event.rawValue] += amount }
}

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

  /// Moves the pending differences of one CPU into the global counters (rule A0.4).
  ///
  /// Kernel: `quiet_vmstat()`, `refresh_cpu_vm_stats()`, mm/vmstat.c.
  public mutating func foldStatistics(cpu: Int) {
    for zone in 0..<zoneCount {
      let local = zone * cpuCount + cpu
      if perCPU[local].freeDiff != 0 || perCPU[local].freeCMADiff != 0 {
        // Three quiet seconds until pages of another node go home (rule A5.27).
        perCPU[local].expire = 3
      }
      zoneTable[zone].freePages += perCPU[local].freeDiff
      zoneTable[zone].freeCMAPages += perCPU[local].freeCMADiff
      perCPU[local].freeDiff = 0
      perCPU[local].freeCMADiff = 0
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

  mutating func count(_ event: VMEvent, _ amount: Int) { events[event.rawValue] += amount }
}

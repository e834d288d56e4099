// Everything that is derived from `managed`: watermarks, reserves, the sizes of the per-CPU lists.
// It is computed at fixed moments, and `managed` may move on afterwards (rule A1.3).

extension Machine {
  /// More than any CPU holds back of a counter.
  ///
  /// A zone's own threshold says less: it falls while kswapd
  /// runs or when memory goes away, and what a CPU held back by then stays.
  static let largestStatThreshold = 125

  /// Kernel: `init_per_zone_wmark_min()`, mm/page_alloc.c.
  mutating func initPerZoneWatermarks() {
    calculateMinFreeKbytes()
    setupPerZoneWatermarks()
    refreshStatThresholds()
    setupLowmemReserve()
  }

  /// Rule A1.15.
  ///
  /// Kernel: `calculate_min_free_kbytes()`.
  public mutating func calculateMinFreeKbytes() {
    let kbytes = freeBufferPages * (geometry.pageSize >> 10)
    let computed = squareRoot(kbytes * 16)
    if computed > settings.userMinFreeKbytes {
      settings.minFreeKbytes = clamp(computed, 128, 262144)
    }
  }

  /// Pages above the high marks, boost included, of the zones up to Normal.
  ///
  /// Kernel: `nr_free_buffer_pages()`.
  private var freeBufferPages: Int {
    var pages = 0
    for zone in 0..<zoneCount where zoneTable[zone].index <= .normal {
      pages += max(0, zoneTable[zone].managed - zoneTable[zone].watermark(2))
    }
    return pages
  }

  private func squareRoot(_ value: Int) -> Int {
    var root = Int(Double(value).squareRoot())
    while root * root > value { root -= 1 }
    while (root + 1) * (root + 1) <= value { root += 1 }
    return root
  }

  /// Rule A1.16, and the per-CPU marks that follow from it.
  ///
  /// Kernel: `setup_per_zone_wmarks()`.
  public mutating func setupPerZoneWatermarks() {
    let pagesMin = settings.minFreeKbytes >> (geometry.pageShift - 10)
    var lowmem = 0
    for zone in 0..<zoneCount where zoneTable[zone].index < .movable {
      lowmem += zoneTable[zone].managed
    }
    for zone in 0..<zoneCount {
      let managed = zoneTable[zone].managed
      let share = pagesMin * managed / max(1, lowmem)
      zoneTable[zone].watermarks[0] =
        zoneTable[zone].index == .movable ? clamp(managed / 1024, 32, 128) : share
      let factor = settings.watermarkScaleFactor
      let step = max(share >> 2, managed / 10000 * factor + managed % 10000 * factor / 10000)
      zoneTable[zone].watermarkBoost = 0
      for mark in 1...3 {
        zoneTable[zone].watermarks[mark] = zoneTable[zone].watermarks[mark - 1] + step
      }
    }
    calculateTotalReserve()
    for zone in 0..<zoneCount { setPerCPUHighAndBatch(zone) }
  }

  /// Rule A1.18.
  ///
  /// Kernel: `calculate_totalreserve_pages()`.
  mutating func calculateTotalReserve() {
    totalReserve = 0
    for zone in 0..<zoneCount {
      var reserve = 0
      for upper in zoneTable[zone].indexRawValue..<ZoneIndex.count {
        reserve = max(reserve, zoneTable[zone].lowmemReserve[upper])
      }
      totalReserve += min(zoneTable[zone].managed, zoneTable[zone].watermark(2) + reserve)
    }
  }

  /// Rules A1.21 and A1.22.
  ///
  /// Kernel: `setup_per_zone_lowmem_reserve()`.
  public mutating func setupLowmemReserve() {
    for node in 0..<nodeCount {
      let first = node * ZoneIndex.count
      for lower in 0..<ZoneIndex.count - 1 {
        let ratio = settings.lowmemReserveRatio[lower]
        let isClear = ratio == 0 || zoneTable[first + lower].managed == 0
        var managed = 0
        for upper in lower + 1..<ZoneIndex.count {
          let pages = zoneTable[first + upper].managed
          managed += pages
          let drops = kernel.emptyZoneDropsReserve && pages == 0
          zoneTable[first + lower].lowmemReserve[upper] =
            isClear || drops ? 0 : managed / ratio
        }
      }
    }
    calculateTotalReserve()
  }

  /// Rule A0.4.
  ///
  /// Kernel: `refresh_zone_stat_thresholds()`, mm/vmstat.c.
  mutating func refreshStatThresholds(withCMA: Bool = true) {
    for zone in 0..<zoneCount where zoneTable[zone].isPopulated {
      let threshold = normalStatThreshold(zone, withCMA: withCMA)
      zoneTable[zone].statThreshold = threshold
      let tolerated = zoneTable[zone].watermark(1) - zoneTable[zone].watermark(0)
      let drift = cpuCount * threshold
      // Set only, never cleared.
      if drift > tolerated {
        zoneTable[zone].percpuDriftMark = zoneTable[zone].watermark(2) + drift
      }
    }
  }

  /// Kernel: `calculate_normal_threshold()`.
  func normalStatThreshold(_ zone: Int, withCMA: Bool = true) -> Int {
    let pages = zoneTable[zone].managed - (withCMA ? 0 : zoneTable[zone].cmaPages)
    // In units of 128 MiB.
    let memory = pages >> (27 - geometry.pageShift)
    return min(Self.largestStatThreshold, 2 * bitLength(cpuCount) * (1 + bitLength(memory)))
  }

  /// Kernel: `fls()`.
  private func bitLength(_ value: Int) -> Int { Int.bitWidth - value.leadingZeroBitCount }

  /// Rules A1.23 and A1.24.
  ///
  /// Kernel: `zone_set_pageset_high_and_batch()`.
  mutating func setPerCPUHighAndBatch(_ zone: Int) {
    guard zoneTable[zone].isPopulated else { return }
    let managed = zoneTable[zone].managed
    let node = zoneTable[zone].node
    let local = cpuNodes.filter { $0 == node }.count
    let cpus = local == 0 ? cpuCount : local
    let batch = batchSize(managed)
    let fraction = settings.percpuPagelistHighFraction
    let highMin: Int
    let highMax: Int
    if hasFixedPerCPULists {
      // Six batches (row l).
      highMin = 6 * batch
      highMax = highMin
    } else if fraction > 0 {
      highMin = max(managed / fraction / cpus, 4 * batch)
      highMax = highMin
    } else {
      highMin = max(zoneTable[zone].watermark(1) / cpus, 4 * batch)
      highMax = max(managed / 8 / cpus, 4 * batch)
    }
    zoneTable[zone].batch = batch
    zoneTable[zone].highMin = highMin
    zoneTable[zone].highMax = highMax
    for cpu in 0..<cpuCount {
      perCPU[zone * cpuCount + cpu].batch = batch
      perCPU[zone * cpuCount + cpu].highMin = highMin
      perCPU[zone * cpuCount + cpu].highMax = highMax
      if !tunesPerCPULists { perCPU[zone * cpuCount + cpu].high = highMin }
    }
  }

  /// Kernel: `zone_batchsize()`: a quarter of a thousandth of the zone, at most a quarter of 1 MiB,
  /// rounded to one less than a power of two.
  private func batchSize(_ managed: Int) -> Int {
    let limit = (1 << 20) >> geometry.pageShift
    let quarter = max(1, min(managed >> 10, limit) / 4)
    let wide = quarter + quarter / 2
    return max(1, 1 << (bitLength(wide) - 1) - 1)
  }

  /// Rule A1.20.
  ///
  /// Kernel: `set_recommended_min_free_kbytes()`, mm/khugepaged.c.
  public mutating func raiseForHugePages() {
    guard settings.transparentHugePages else { return calculateMinFreeKbytes() }
    let zones = populatedZones.count { zoneTable[$0].index <= .normal }
    // Two pageblocks a zone, and one for each pair of the three per-CPU types.
    let recommended = min(geometry.pageblockPages * zones * (2 + 9), freeBufferPages / 20)
    let kbytes = recommended << (geometry.pageShift - 10)
    if kbytes > settings.minFreeKbytes { settings.minFreeKbytes = kbytes }
  }
}

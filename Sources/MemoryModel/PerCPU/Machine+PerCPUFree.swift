extension Machine {
  /// Frees a block onto this CPU's lists, or past them where they do not apply (rule A5.10).
  ///
  /// Kernel: `free_unref_page()`, `free_unref_page_commit()`, mm/page_alloc.c.
  mutating func freePerCPU(_ zone: Int, _ pfn: PFN, order: Int) {
    guard isPerCPUOrder(order) else { return freeOnePage(zone, pfn, order: order) }
    let pageblock = frames.migrateType(pfn)
    if pageblock == .isolate || pageblock == .cma && !borrowsFromCMA {
      return freeOnePage(zone, pfn, order: order)
    }
    let type = pageblock.isMergeable ? pageblock : .movable

    let local = zone * cpuCount + currentCPU
    if tunesPerCPULists { perCPU[local].allocFactor >>= 1 }
    count(.pgfree, 1 << order)
    let index = perCPUIndex(type, order: order)
    frames.pushHead(&perCPU[local].lists[index], pfn, order: order)
    frames.setHead(pfn, FrameState(.perCPU, order: order, listed: pageblock))
    perCPU[local].count += 1 << order
    if hasFixedPerCPULists {
      if perCPU[local].count >= perCPU[local].high {
        drain(zone, local, pages: perCPU[local].batch, from: 0)
      }
      return
    }
    if !tunesPerCPULists { return flushByFactor(zone, local, index, order: order) }

    let batch = perCPU[local].batch
    var freesHigh = false
    if order > 0 && order <= 3 {
      let flags = perCPU[local].flags
      freesHigh =
        perCPU[local].freeCount >= batch && flags.contains(.previousFreeHighOrder)
        && (!flags.contains(.freeHighBatch) || perCPU[local].count >= batch)
      perCPU[local].flags.insert(.previousFreeHighOrder)
    } else {
      perCPU[local].flags.remove(.previousFreeHighOrder)
    }
    if perCPU[local].freeCount < batch << Self.batchScaleMax {
      perCPU[local].freeCount += 1 << order
    }
    flushIfFull(zone, local, index, freesHigh: freesHigh)
  }

  /// Returns pages to the buddy when the lists hold too many, those of list `index` first (rules
  /// A5.14 to A5.16).
  mutating func flushIfFull(_ zone: Int, _ local: Int, _ index: Int, freesHigh: Bool) {
    let high = effectiveHigh(zone, local, freesHigh: freesHigh)
    guard perCPU[local].count >= high else { return }
    drain(zone, local, pages: flushSize(local, high: high, freesHigh: freesHigh), from: index)
    if zoneTable[zone].flags.contains(.belowHigh),
      isWatermarkOK(
        zone, order: 0, mark: zoneTable[zone].watermark(2), highest: .movable, [],
        free: zoneTable[zone].visibleFree)
    {
      zoneTable[zone].flags.remove(.belowHigh)
    }
  }

  /// The flush of 5.14 to 6.6: it doubles with every flush between two allocations, and a block of
  /// order 1 to 3 flushes everything while pages are only freed (rule A9.7).
  ///
  /// `free_factor` lies where later kernels have `alloc_factor`, and so it does here.
  private mutating func flushByFactor(_ zone: Int, _ local: Int, _ index: Int, order: Int) {
    let batch = perCPU[local].batch
    let factor = perCPU[local].allocFactor
    let freesHigh = factor > 0 && order > 0 && order <= 3
    var high = freesHigh ? 0 : perCPU[local].high
    if high > 0 && zoneTable[zone].flags.contains(.reclaimActive) { high = min(batch << 2, high) }
    guard perCPU[local].count >= high else { return }
    if freesHigh { return drain(zone, local, pages: perCPU[local].count, from: index) }
    if high < batch { return drain(zone, local, pages: 1, from: index) }
    let limit = high - batch
    if batch << factor < limit && factor < Self.batchScaleMax { perCPU[local].allocFactor += 1 }
    drain(zone, local, pages: clamp(batch << factor, batch, limit), from: index)
  }

  /// The mark above which a free flushes; it moves `pcp->high`, too (rule A5.14).
  ///
  /// Kernel: `nr_pcp_high()`.
  private mutating func effectiveHigh(_ zone: Int, _ local: Int, freesHigh: Bool) -> Int {
    let batch = perCPU[local].batch
    let highMin = perCPU[local].highMin
    let highMax = perCPU[local].highMax
    let high = clamp(perCPU[local].high, highMin, highMax)
    perCPU[local].high = high
    if high == 0 { return 0 }
    if freesHigh {
      perCPU[local].high = max(high - (batch << Self.batchScaleMax), highMin)
      return 0
    }
    let freeCount = perCPU[local].freeCount
    if zoneTable[zone].flags.contains(.reclaimActive) {
      perCPU[local].high = max(high - max(freeCount, batch), highMin)
      return min(batch << 2, perCPU[local].high)
    }
    if highMin == highMax { return high }
    if zoneTable[zone].flags.contains(.belowHigh) {
      perCPU[local].high = max(high - max(freeCount, batch), highMin)
      return max(perCPU[local].count, highMin)
    }
    if perCPU[local].count >= high {
      let needed = freeCount + batch
      if perCPU[local].high < needed { perCPU[local].high = clamp(needed, highMin, highMax) }
    }
    // The old mark, even where it was just raised (AP.11).
    return high
  }

  /// Kernel: `nr_pcp_free()` (rule A5.15).
  private func flushSize(_ local: Int, high: Int, freesHigh: Bool) -> Int {
    let batch = perCPU[local].batch
    if freesHigh { return min(perCPU[local].count, batch << Self.batchScaleMax) }
    if high < batch { return 1 }
    return clamp(perCPU[local].freeCount, batch, high - batch)
  }
}

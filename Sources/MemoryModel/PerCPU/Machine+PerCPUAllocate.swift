extension Machine {
  /// Takes the head of this CPU's list, refilling it first when it is empty (rule A5.5).
  ///
  /// Kernel: `rmqueue_pcplist()`, `__rmqueue_pcplist()`, mm/page_alloc.c.
  mutating func takePerCPU(
    _ zone: Int, order: Int, _ type: MigrateType, _ flags: AllocationFlags
  ) -> PFN? {
    let local = zone * cpuCount + currentCPU
    if tunesPerCPULists {
      perCPU[local].freeCount >>= 1
    } else {
      perCPU[local].allocFactor >>= 1
    }
    let index = perCPUIndex(type, order: order)
    if perCPU[local].lists[index].isEmpty {
      refill(zone, local, index, order: order, type, flags)
    }
    guard let pfn = frames.first(perCPU[local].lists[index]) else { return nil }
    frames.remove(&perCPU[local].lists[index], pfn, order: order)
    frames.clearHead(pfn, order: order)
    perCPU[local].count -= 1 << order
    return pfn
  }

  /// Kernel: `rmqueue_bulk()`: blocks are appended, so a refill from one free block ascends.
  private mutating func refill(
    _ zone: Int, _ local: Int, _ index: Int, order: Int, _ type: MigrateType,
    _ flags: AllocationFlags
  ) {
    var wanted = refillSize(zone, local, order: order)
    var mode = TakeMode.normal
    var taken = 0
    while wanted > 0, let pfn = take(zone, order: order, type, flags, mode: &mode) {
      frames.pushTail(&perCPU[local].lists[index], pfn, order: order)
      frames.setHead(pfn, FrameState(.perCPU, order: order, listed: lastTaken))
      perCPU[local].count += 1 << order
      wanted -= 1
      taken += 1
      if !kernel.typesFollowPageblocks && frames.migrateType(pfn) == .cma {
        accountCMA(zone, -(1 << order))
      }
    }
    // One update for the whole refill, so all of it sees the same free count (rule A9.6).
    if !kernel.typesFollowPageblocks { accountFree(zone, -(taken << order)) }
  }

  /// How many blocks a refill takes, and the growth of `high` that goes with it (rule A5.7).
  ///
  /// Kernel: `nr_pcp_alloc()`.
  mutating func refillSize(_ zone: Int, _ local: Int, order: Int) -> Int {
    let batch = perCPU[local].batch
    if hasFixedPerCPULists { return batch }
    if !tunesPerCPULists { return batch > 1 ? max(batch >> order, 2) : batch }
    let highMin = perCPU[local].highMin
    let highMax = perCPU[local].highMax
    var high = clamp(perCPU[local].high, highMin, highMax)
    perCPU[local].high = high
    if high < batch { return 1 }
    var wanted = order > 0 ? batch : batch << perCPU[local].allocFactor
    if highMin != highMax && !zoneTable[zone].flags.contains(.belowHigh) {
      high = min(high + wanted, highMax)
      perCPU[local].high = high
    }
    if order == 0 {
      let room = max(high - perCPU[local].count - batch, batch)
      if wanted <= room && perCPU[local].allocFactor < Self.batchScaleMax {
        perCPU[local].allocFactor += 1
      }
      wanted = min(wanted, room)
    }
    return wanted > 1 ? max(wanted >> order, 2) : wanted
  }

  /// The list of a block; where all types share one for 2 MiB pages, CMA blocks come to kernel requests
  /// (rule A5.3).
  ///
  /// Kernel: `order_to_pindex()`.
  func perCPUIndex(_ type: MigrateType, order: Int) -> Int {
    order > 3 && sharesHugeList ? 12 : PerCPUList.index(type, order: order)
  }

  /// CONFIG_PCP_BATCH_SCALE_MAX.
  static var batchScaleMax: Int { 5 }

  /// A batch of a zone of 1 GiB and more with pages of 4 KiB (rule A1.23).
  static var largestBatch: Int { 63 }

  /// The kernel's `clamp()`: with `low > high` the order of the comparisons decides (rule A0.5).
  func clamp(_ value: Int, _ low: Int, _ high: Int) -> Int {
    if value >= high { return high }
    return value <= low ? low : value
  }
}

// Invariant: after it, every index in the state is inside of the table that it is an index of, every
// list and tree is finite, and every byte that stands for a case is one; so the checks and the model
// itself can be let loose on the state.

extension Machine {
  /// Which elements of the tables were restored, by the tables' places.
  package typealias Restored = [(table: String, elements: Range<Int>)]

  /// Looks for what no machine can be in, and says what it is; nil when there is none.
  ///
  /// - Parameter restored: Elements that are not named are untouched.
  package func firstImpossible(_ restored: Restored) -> String? {
    if let field = impossibleField() { return field }
    for (table, elements) in restored {
      if let index = elements.first(where: { !isPossible(table, $0) }) {
        return "element \(index) of the \(table)"
      }
    }
    return impossibleTree() ?? impossibleHolder()
  }

  /// Far from overflow, whatever is added up.
  private func isCount(_ number: Int) -> Bool { number.magnitude <= 1 << 48 }

  private func isFrame(_ pfn: PFN) -> Bool { pfn.index < frames.count }

  private func isPossible(_ list: FrameList) -> Bool {
    frames.isLink(list.head) && frames.isLink(list.tail) && (list.head == 0) == (list.tail == 0)
      && (list.head == 0) == (list.count == 0)
  }

  // MARK: Tables

  private func isPossible(_ table: String, _ index: Int) -> Bool {
    switch table {
    case "zones": isPossibleZone(index)
    case "per-CPU pages": isPossiblePerCPU(index)
    case "LRU batches": isPossibleBatch(lruBatches[index])
    case "LRU lists": isPossible(lruLists[index])
    case "frame states", "block states":
      frames.isPossible(table, index, largest: max(geometry.maxOrder, geometry.giganticOrder))
    case "frame links", "block links", "pageblock types":
      frames.isPossible(table, index, largest: 0)
    case "pageblock zones": frames.zone(of: PFN(index << geometry.pageblockOrder)) ?? 0 < zoneCount
    case "folios": isPossibleOwner(PFN(index), isLarge: false)
    case "large folios": isPossibleOwner(PFN(index << geometry.pageblockOrder), isLarge: true)
    case "frames of page tables": Int(pageTables.frames[index]) < frames.count
    case "deposits":
      Int(pageTables.deposits[index].next) < frames.count
        && isPossible(pageTables.deposits[index].others)
    case "zone counters": isCount(zoneItems[index])
    case "NUMA counters": isCount(numaItems[index])
    case "node counters": isCount(nodeItems[index])
    case "event counters": isCount(events[index])
    case "trace": trace.isPossible(index)
    case "swap slots", "swap clusters", "slots of frames":
      swap.isPossible(table, index, frames: frames.count)
    default: true
    }
  }

  private func isPossibleZone(_ id: Int) -> Bool {
    let zone = zoneTable[id]
    guard zone.node == id / ZoneIndex.count, zone.indexRawValue == id % ZoneIndex.count,
      zone.start >= 0, zone.spanned >= 0, zone.start <= frames.count,
      zone.spanned <= frames.count - zone.start, (0...zone.spanned).contains(zone.present),
      (0...zone.spanned).contains(zone.managed), (0...zone.spanned).contains(zone.cmaPages),
      (0...63).contains(zone.compaction.deferShift),
      [0, 1].contains(zoneTable.byte(id, Self.flushesSkipHintsOffset))
    else { return false }
    for number in [
      zone.watermarkBoost, zone.reservedHighAtomic, zone.freeHighAtomic, zone.isolatedPageblocks,
      zone.lostHighAtomic, zone.percpuDriftMark, zone.highMin, zone.highMax, zone.batch,
      zone.statThreshold, zone.freePages, zone.freeCMAPages, zone.compaction.considered,
      zone.compaction.orderFailed, zone.compaction.initialMigrate, zone.compaction.initialFree,
      zone.compaction.cachedFree, zone.compaction.cachedMigrateAsync,
      zone.compaction.cachedMigrateSync,
    ] where !isCount(number) { return false }
    for index in zone.watermarks.indices where !isCount(zone.watermarks[index]) { return false }
    for index in zone.lowmemReserve.indices where !isCount(zone.lowmemReserve[index]) {
      return false
    }
    for index in zone.freeCounts.indices where !isCount(zone.freeCounts[index]) { return false }
    for index in zone.freeLists.indices where !isPossible(zone.freeLists[index]) { return false }
    return true
  }

  private static var flushesSkipHintsOffset: Int {
    (MemoryLayout<Zone>.offset(of: \.compaction) ?? 0)
      + (MemoryLayout<ZoneCompaction>.offset(of: \.flushesSkipHints) ?? 0)
  }

  private func isPossiblePerCPU(_ index: Int) -> Bool {
    let pages = perCPU[index]
    for number in [
      pages.count, pages.high, pages.highMin, pages.highMax, pages.batch, pages.allocFactor,
      pages.expire, pages.freeCount, pages.freeDiff, pages.freeCMADiff,
    ] where !isCount(number) { return false }
    for list in pages.lists.indices where !isPossible(pages.lists[list]) { return false }
    return true
  }

  private func isPossibleBatch(_ batch: LRUBatch) -> Bool {
    guard (0...LRUBatch.capacity).contains(batch.count) else { return false }
    for index in 0..<batch.count where !isFrame(batch.pages[index]) { return false }
    return true
  }

  /// Whether what a folio says that it belongs to exists; other records have no such field.
  private func isPossibleOwner(_ pfn: PFN, isLarge: Bool) -> Bool {
    let state = frames.head(pfn)
    guard state.kind == .allocated, state.flags.contains(.folio),
      (state.order >= geometry.pageblockOrder) == isLarge
    else { return true }
    let mapping = folios.owner(Folio(pfn, order: state.order)).mapping
    if let region = mapping.region { return regions.indices.contains(region) }
    return mapping.fileIndex.map { files.indices.contains($0) } ?? true
  }

  // MARK: Fields

  private func impossibleField() -> String? {
    if let kernel = impossibleKernel() { return kernel }
    let zones = 0..<zoneCount
    guard zonelists.count == nodeCount, zonelists.joined().allSatisfy({ zones.contains($0) }) else {
      return "zonelists"
    }
    for (name, ranges) in [
      ("memory", memory), ("reserved memory", reserved), ("offline memory", offlineMemory),
    ] {
      var end = 0
      for range in ranges {
        guard range.start >= end, range.end >= range.start, range.end <= frames.count else {
          return name
        }
        end = range.end
      }
    }
    for area in cmaAreas {
      guard area.base >= 0, area.base & 63 == 0, (0...30).contains(area.orderPerBit),
        area.pages > 0, area.base <= frames.count, area.pages <= frames.count - area.base,
        isCount(area.allocatedPages), isCount(area.releasedPages), isCount(area.failedPages)
      else { return "CMA area '\(area.name)'" }
    }
    for buffer in cmaBuffers {
      guard cmaAreas.indices.contains(buffer.area), buffer.pages > 0,
        buffer.pages <= frames.count, buffer.range.end <= cmaAreas[buffer.area].range.end,
        buffer.range.start >= cmaAreas[buffer.area].base
      else { return "CMA buffer #\(buffer.id)" }
    }
    guard (0..<cpuCount).contains(currentCPU) else { return "CPU \(currentCPU)" }
    guard kswapds.count == nodeCount, kcompactd.count == nodeCount,
      kswapds.allSatisfy({ isCount($0.failures) && (0...64).contains($0.order) })
    else { return "kernel threads" }
    let threads = background.pending + (background.running.map { [$0] } ?? [])
    guard threads.allSatisfy({ (0..<nodeCount).contains($0.node) }) else { return "kernel threads" }
    guard isAtRest else { return "an operation that is under way" }
    for pool in hugePools {
      let numbers = [
        pool.total, pool.free, pool.reserved, pool.surplus, pool.maximum, pool.overcommit,
        pool.homeless, pool.missing,
      ]
      guard numbers.allSatisfy({ isCount($0) }), pool.nodes.count == nodeCount,
        pool.nodes.allSatisfy({
          isPossible($0.list) && isCount($0.total) && isCount($0.free) && isCount($0.surplus)
        }),
        (0..<nodeCount).contains(pool.nextToAllocate), (0..<nodeCount).contains(pool.nextToFree)
      else { return "huge pages of order \(pool.order)" }
    }
    guard hugePools.map(\.order) == [geometry.giganticOrder, geometry.hugeOrder] else {
      return "pools of huge pages"
    }
    guard hugeReservations.allSatisfy({ isCount($0.areas) }), isCount(operation),
      isCount(totalReserve), isCount(kswapdWakeups), isCount(lastPin), isCount(lastPressure),
      isCount(lastTemporaryReference), isCount(lastCMABuffer),
      (0...1 << 48).contains(failAllocation)
    else { return "counters" }
    guard zeroPage.map({ isFrame($0) }) ?? true, hugeZeroPage.map({ isFrame($0) }) ?? true,
      deferredSplits.allSatisfy({ isFrame($0) }), lostIsolations.allSatisfy({ isFrame($0) })
    else { return "zero pages and deferred splits" }
    let tables = 1...pageTables.frames.count
    guard tables.contains(pageTables.extent.used),
      (0..<pageTables.extent.used).contains(pageTables.extent.firstFree)
    else { return "page tables" }
    guard (0...pageCache.entries.count >> 9).contains(pageCache.extent.used),
      (0...pageCache.extent.used).contains(pageCache.extent.firstFree)
    else { return "page cache" }
    guard swap.hasPossibleExtent else { return "swap space" }
    guard trace.extent.entryCount >= 0, isCount(trace.extent.entryCount),
      isCount(trace.extent.total),
      trace.extent.total >= trace.extent.entryCount
    else { return "trace" }
    return impossibleSetting() ?? impossibleProcess() ?? impossibleExtents()
  }

  /// Whether no operation is in its middle: a state that others can go on from.
  package var isAtRest: Bool {
    compacting == nil && reclaimDepth == 0 && foreign.requests.isEmpty && operationsInProgress == 0
      && !isCMAMutexHeld && lruDisableCount == 0 && currentSpace == nil
      && background.running == nil && spaces.allSatisfy { $0.mmapLock == 0 && $0.operations == 0 }
  }

  private func impossibleKernel() -> String? {
    guard (0...2).contains(kernel.hugeLists), (0...100).contains(kernel.mightPinPercent),
      (1...1 << 20).contains(kernel.pinning.vfioBatch),
      (1...LRUBatch.capacity).contains(kernel.pinning.lruBatchSize)
    else { return "kernel '\(kernel.name)'" }
    return nil
  }

  private func impossibleSetting() -> String? {
    let numbers = [
      settings.minFreeKbytes, settings.userMinFreeKbytes, settings.watermarkScaleFactor,
      settings.watermarkBoostFactor, settings.percpuPagelistHighFraction,
      settings.compactionProactiveness,
    ]
    guard numbers.allSatisfy({ (-1...Int(Int32.max)).contains($0) }),
      settings.lowmemReserveRatio.count == ZoneIndex.count,
      settings.lowmemReserveRatio.allSatisfy({ (0...Int(Int32.max)).contains($0) })
    else { return "settings" }
    return nil
  }

  private func impossibleProcess() -> String? {
    for (id, space) in spaces.enumerated() {
      let numbers = [
        space.anonymousPages, space.filePages, space.shmemPages, space.hugetlbPages,
        space.lockedPages, space.pinnedPages, space.swapEntries, space.writeProtectSequence,
      ]
      guard space.id == id, numbers.allSatisfy({ isCount($0) }),
        !space.isAlive || (1..<pageTables.extent.used).contains(space.root),
        space.homeNode.map({ cpuNodes.contains($0) }) ?? true,
        (0...AddressSpace.endPage).contains(space.ram.lowerBound),
        space.ram.upperBound <= AddressSpace.endPage
      else { return "process '\(space.name)'" }
      var end = 0
      for area in space.areas {
        guard area.start >= end, area.end > area.start, area.end <= AddressSpace.endPage,
          area.region.map({ regions.indices.contains($0) }) ?? true,
          area.reservation.map({ hugeReservations.indices.contains($0) }) ?? true
        else { return "mappings of process '\(space.name)'" }
        end = area.end
        switch area.backing {
        case .anonymous: break
        case .file(let file, let offset):
          guard files.indices.contains(file), (0...1 << 40).contains(offset) else {
            return "mappings of process '\(space.name)'"
          }
        case .device(let frame):
          guard frame >= 0, frame + area.pages <= 1 << 32 else {
            return "mappings of process '\(space.name)'"
          }
        }
      }
      if let table = space.hashTable {
        guard HashPageTable.orders.contains(table.order),
          (0...frames.count).contains(table.pages), isFrame(table.pfn),
          table.pages <= frames.count - table.pfn.index,
          table.area.map({ cmaAreas.indices.contains($0) }) ?? true,
          table.reverseMap.allSatisfy({
            $0.range.start >= 0 && $0.range.end <= frames.count && isFrame($0.first)
          })
        else { return "hash page table of process '\(space.name)'" }
      }
    }
    let processes = spaces.indices
    for region in regions
    where !region.spaces.allSatisfy({ processes.contains($0) }) || !isCount(region.base) {
      return "anonymous memory"
    }
    for file in files {
      guard file.spaces.allSatisfy({ processes.contains($0) }), isCount(file.cachedPages),
        isCount(file.swappedPages),
        isCount(file.pages), file.pages >= 0, file.chunks.count == (file.pages + 511) / 512,
        isCount(file.users), (0...31).contains(file.hugeOrder),
        file.guest.map({ spaces.indices.contains($0) }) ?? true
      else { return "file '\(file.name)'" }
    }
    return nil
  }

  private func impossibleExtents() -> String? {
    var end = 0
    for gap in pinWords.extent.free {
      guard gap.lowerBound >= end, gap.upperBound <= pinWords.extent.used else {
        return "pages of pins"
      }
      end = gap.upperBound
    }
    guard (0...pinWords.words.count).contains(pinWords.extent.used) else { return "pages of pins" }
    return nil
  }

  // MARK: Trees

  /// Page tables and page caches: each part is reached once, and nothing in it leads outside.
  private func impossibleTree() -> String? {
    var isSeen = Array(repeating: false, count: pageTables.extent.used)
    var free = pageTables.extent.firstFree
    while free != 0 {
      guard free < isSeen.count, !isSeen[free] else { return "free page tables" }
      isSeen[free] = true
      free = Int(pageTables.entries[free * PageTables.entriesPerTable])
    }
    for space in spaces where space.isAlive {
      if !isPossible(table: space.root, .pgd, &isSeen) {
        return "page tables of process '\(space.name)'"
      }
    }
    var isUsed = Array(repeating: false, count: pageCache.extent.used)
    var chunk = pageCache.extent.firstFree
    while chunk != 0 {
      guard chunk <= isUsed.count, !isUsed[chunk - 1] else { return "free page caches" }
      isUsed[chunk - 1] = true
      chunk = Int(pageCache.entries[(chunk - 1) * PageCache.chunkPages])
    }
    for file in files {
      for chunk in file.chunks where !isPossible(chunk: chunk, &isUsed) {
        return "page cache of '\(file.name)'"
      }
    }
    return nil
  }

  private func isPossible(table: Int, _ level: PageTableLevel, _ isSeen: inout [Bool]) -> Bool {
    guard table > 0, table < isSeen.count, !isSeen[table] else { return false }
    isSeen[table] = true
    for slot in table * PageTables.entriesPerTable..<(table + 1) * PageTables.entriesPerTable {
      let entry = pageTables[slot]
      if entry.isNone { continue }
      if entry.isTable {
        guard let below = PageTableLevel(rawValue: level.rawValue - 1),
          isPossible(table: entry.table, below, &isSeen)
        else { return false }
        continue
      }
      // What is no memory has no frame here.
      if entry.flags.contains(.special) || entry.flags.contains(.device) { continue }
      if entry.isSwap {
        guard level == .pte, entry.pfn.index < swap.count else { return false }
        continue
      }
      guard level != .pgd, entry.pfn.index + 1 << level.order <= frames.count else { return false }
    }
    return true
  }

  private func isPossible(chunk: UInt32, _ isUsed: inout [Bool]) -> Bool {
    if chunk == 0 { return true }
    if chunk & MemoryFile.hugeChunk != 0 {
      return (Int(chunk & ~MemoryFile.hugeChunk) + 1) << 9 <= frames.count
    }
    let index = Int(chunk) - 1
    guard index < isUsed.count, !isUsed[index] else { return false }
    isUsed[index] = true
    for slot in index * PageCache.chunkPages..<(index + 1) * PageCache.chunkPages {
      let entry = pageCache.entries[slot]
      if pageCache.holdsSwapped, entry & PageCache.swapBit != 0 {
        if Int(entry & ~PageCache.swapBit) >= swap.count { return false }
      } else if Int(entry) > frames.count {
        return false
      }
    }
    return true
  }

  // MARK: Holders

  private func impossibleHolder() -> String? {
    for pin in pins {
      guard spaces.indices.contains(pin.space), pin.words.upperBound <= pinWords.extent.used,
        pin.words.lowerBound >= 0, isCount(pin.pages), isCount(pin.startPage),
        pin.file.map({ files.indices.contains($0) }) ?? true, isPossible(pin.words)
      else { return "pin #\(pin.id)" }
    }
    if !cacheHolds.allSatisfy({ isFrame($0) }) { return "references of caches" }
    for held in temporaryReferences where !isFrame(held.page) { return "reference #\(held.id)" }
    for pressure in pressures
    where !pressure.pages.allSatisfy({ isFrame($0) }) || !isCount(pressure.requested) {
      return "pressure #\(pressure.id)"
    }
    for (id, device) in devices.attachments.enumerated() {
      guard device.id == id, spaces.indices.contains(device.space),
        (1...1 << 48).contains(device.maximumSegment), isCount(device.entryLimit)
      else { return "device '\(device.name)'" }
      for mapping in device.mappings {
        guard isCount(mapping.iova), isCount(mapping.startPage), isCount(mapping.pages),
          isCount(mapping.charged), isCount(mapping.users), isCount(mapping.foreign),
          mapping.pages >= 0,
          mapping.seen.values.allSatisfy({ isFrame($0) })
        else { return "mapping #\(mapping.id) of device '\(device.name)'" }
      }
    }
    return nil
  }

  private func isPossible(_ words: Range<Int>) -> Bool {
    var word = words.lowerBound
    while word < words.upperBound {
      let value = pinWords.words[word]
      var count = 1
      var first = Int(value)
      if value & PinWords.runBit != 0 {
        guard word + 1 < words.upperBound else { return false }
        count = Int(value & ~PinWords.runBit)
        word += 1
        first = Int(pinWords.words[word])
      }
      guard first + count <= frames.count else { return false }
      word += 1
    }
    return true
  }
}

extension Machine {
  /// Returns up to `pages` pages to the buddy, emptying one list after the other from the tail,
  /// beginning with list `first` (rule A5.20).
  ///
  /// Kernel: `free_pcppages_bulk()`, mm/page_alloc.c.
  mutating func drain(_ zone: Int, _ local: Int, pages: Int, from first: Int) {
    if hasFixedPerCPULists { return drainInTurn(zone, local, pages: pages) }
    var left = min(pages, perCPU[local].count)
    var index = first
    while left > 0 {
      if perCPU[local].lists[index].isEmpty {
        index = (index + 1) % PerCPUPages.listCount
        continue
      }
      let order = PerCPUList.order(index, pageblockOrder: geometry.pageblockOrder)
      // A task that waits for a block must see each of them come to be.
      if order == 0 && kernel.typesFollowPageblocks && drainsRuns && capture.order < 0 {
        let run = frames.takeTail(&perCPU[local].lists[index], upTo: left)
        left -= run.count
        perCPU[local].count -= run.count
        drainRun(zone, run)
        continue
      }
      while left > 0, let pfn = frames.last(perCPU[local].lists[index]) {
        let remembered = frames.head(pfn).listedType
        frames.remove(&perCPU[local].lists[index], pfn, order: order)
        frames.clearHead(pfn, order: order)
        left -= 1 << order
        perCPU[local].count -= 1 << order
        let readsPageblock =
          kernel.typesFollowPageblocks || zoneTable[zone].isolatedPageblocks > 0
        let type = readsPageblock ? frames.migrateType(pfn) : remembered
        freeBlock(zone, pfn, order: order, type)
        trace.append(TraceEvent(.pagePcpuDrain, pfn, order: order, UInt32(type.rawValue)))
      }
      index = (index + 1) % PerCPUPages.listCount
    }
  }

  /// The flush up to 5.13: the lists take turns, and a list gets one page more for each empty one
  /// before it (rule A5.29).
  ///
  /// Kernel: `free_pcppages_bulk()` up to 5.13.
  private mutating func drainInTurn(_ zone: Int, _ local: Int, pages: Int) {
    // With more orders there are more lists (5.14 to 5.17).
    let lists = kernel.cachesHighOrders || cachesHugePages ? PerCPUPages.listCount : 3
    var left = min(pages, perCPU[local].count)
    var taken: [(pfn: PFN, order: Int, type: MigrateType)] = []
    var index = 0
    while left > 0 {
      var share = 0
      repeat {
        share += 1
        index = (index + 1) % lists
      } while perCPU[local].lists[index].isEmpty
      if share == lists { share = left }
      let order = PerCPUList.order(index, pageblockOrder: geometry.pageblockOrder)
      while left > 0, share > 0, let pfn = frames.last(perCPU[local].lists[index]) {
        taken.append((pfn, order, frames.head(pfn).listedType))
        frames.remove(&perCPU[local].lists[index], pfn, order: order)
        frames.clearHead(pfn, order: order)
        perCPU[local].count -= 1 << order
        left -= 1 << order
        share -= 1
      }
    }
    let readsPageblock = zoneTable[zone].isolatedPageblocks > 0
    for (pfn, order, remembered) in taken {
      let type = readsPageblock ? frames.migrateType(pfn) : remembered
      freeBlock(zone, pfn, order: order, type)
      trace.append(TraceEvent(.pagePcpuDrain, pfn, order: order, UInt32(type.rawValue)))
    }
  }

  /// Gives single pages to the buddy, in aligned blocks.
  ///
  /// One by one they would merge into the same blocks: inside an aligned block no page has another
  /// partner than pages of the block, and the block goes on merging when its last page comes.
  private mutating func drainRun(_ zone: Int, _ run: PFNRun) {
    frames.setHeads(run, FrameState())
    var left = run
    while !left.isEmpty {
      let inside = left.first.index & (geometry.pageblockPages - 1)
      let piece = left.prefix(run.isDescending ? inside + 1 : geometry.pageblockPages - inside)
      left = left.dropFirst(piece.count)
      let type = frames.migrateType(piece.first)
      account(zone, step: 1, times: piece.count, type)
      mergeAndInsert(zone, piece, type)
      trace.append(
        TraceEvent(.pagePcpuDrain, piece.first, order: 0, UInt32(type.rawValue)),
        run: piece.count, descending: run.isDescending)
    }
  }

  /// The single pages of a run inside one pageblock, one after the other; they are no blocks any more.
  mutating func mergeAndInsert(_ zone: Int, _ run: PFNRun, _ type: MigrateType) {
    var rest = run.range
    while !rest.isEmpty {
      let edge = run.isDescending ? rest.end : rest.start
      let fitting = Int.bitWidth - 1 - rest.count.leadingZeroBitCount
      let order = min(fitting, edge.trailingZeroBitCount)
      let start = run.isDescending ? rest.end - 1 << order : rest.start
      mergeAndInsert(zone, PFN(start), order: order, type, atTail: false)
      if run.isDescending { rest.end -= 1 << order } else { rest.start += 1 << order }
    }
  }

  /// Empties one CPU's lists of one zone (rule A5.21).
  ///
  /// Kernel: `drain_pages_zone()`.
  mutating func drainZone(_ zone: Int, cpu: Int) {
    let local = zone * cpuCount + cpu
    // The kernel goes in chunks of batch << 5 to bound how long it holds the lock. Each chunk
    // starts at list 0 again, which is where the one before stopped, so the order is the same.
    while perCPU[local].count > 0 {
      drain(
        zone, local,
        pages: min(perCPU[local].count, perCPU[local].batch << Self.batchScaleMax), from: 0)
    }
  }

  /// Returns the per-CPU pages of every CPU to the buddy: of one zone, or of all (rule A5.21).
  ///
  /// The calling CPU does it for all, so its counters take the updates.
  /// Kernel: `drain_all_pages()`.
  public mutating func drainAllPages(zone: Int? = nil) {
    for cpu in 0..<cpuCount {
      for id in zone.map({ [$0] }) ?? populatedZones { drainZone(id, cpu: cpu) }
    }
  }

  /// What a second of time does to one CPU: statistics are folded, `pcp->high` decays, and pages of
  /// other nodes' zones go home after three quiet seconds (rules A5.25 to A5.27).
  ///
  /// Kernel: `refresh_cpu_vm_stats()`, `decay_pcp_high()`.
  public mutating func runStatisticsWorker(cpu: Int) {
    let running = currentCPU
    currentCPU = cpu
    defer { currentCPU = running }
    for zone in populatedZones {
      let local = zone * cpuCount + cpu
      if foldDifferences(zone, cpu: cpu) { perCPU[local].expire = 3 }
      decay(zone, local)
      // Empty lists leave the countdown where it stands.
      if perCPU[local].expire == 0 || perCPU[local].count == 0 { continue }
      if zoneTable[zone].node == cpuNodes[cpu] {
        perCPU[local].expire = 0
      } else {
        perCPU[local].expire -= 1
        if perCPU[local].expire == 0 {
          drain(zone, local, pages: min(perCPU[local].count, perCPU[local].batch), from: 0)
        }
      }
    }
  }

  /// Rule A5.26.
  private mutating func decay(_ zone: Int, _ local: Int) {
    if !tunesPerCPULists { return }
    let batch = perCPU[local].batch
    let high = perCPU[local].high
    if high > perCPU[local].highMin {
      perCPU[local].high = max(
        perCPU[local].count - (batch << Self.batchScaleMax), high - high >> 3,
        perCPU[local].highMin)
    }
    var excess = perCPU[local].count - perCPU[local].high
    while excess > 0 {
      let pages = kernel.decaysInBatches ? min(excess, batch) : excess
      drain(zone, local, pages: pages, from: 0)
      excess -= pages
    }
  }
}

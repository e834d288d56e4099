extension Machine {
  /// Puts a folio on its way to the LRU: into this CPU's batch, which empties when it is full, when
  /// the folio is large, or while batching is disabled (rule P1.21).
  ///
  /// Kernel: `folio_add_lru()`, mm/swap.c.
  public mutating func addToLRU(_ pfn: PFN) {
    queue(Folio(pfn, order: frames.head(pfn).order), .add)
  }

  /// Queues a folio in one of this CPU's batches, with a reference for the batch.
  package mutating func queue(_ folio: Folio, _ kind: LRUBatchKind, isUnlock: Bool = false) {
    let batch = currentCPU * LRUBatchKind.count + kind.rawValue
    if clearsFlag(kind) {
      // 6.11 to 6.16: a folio is in at most one batch, and cannot be isolated meanwhile.
      var state = frames.head(folio.head)
      guard state.isLRU else { return }
      state.isLRU = false
      frames.setHead(folio.head, state)
    }
    addReferences(folio, 1)
    let count = lruBatches[batch].count
    lruBatches[batch].pages[count] = folio.head
    if isUnlock { lruBatches[batch].unlocks |= 1 << UInt32(count) }
    lruBatches[batch].count = count + 1
    if count + 1 >= lruBatchCapacity || folio.order > 0 || lruDisableCount > 0 {
      flush(batch, kind)
    }
  }

  /// Whether a folio that waits in a batch of this kind loses its LRU flag, though it stays on its list
  /// (rule P1.26).
  ///
  /// Kernel: `folio_batch_add_and_move()`, 6.11 to 6.16.
  func clearsFlag(_ kind: LRUBatchKind) -> Bool {
    kernel.pinning.clearsFlagOnQueue && kind != .add && kind != .mlock
  }

  /// PAGEVEC_SIZE: 31 since 6.9, 15 and 14 before (rule P1.20).
  var lruBatchCapacity: Int { kernel.pinning.lruBatchSize }

  /// Whether a folio waits in a batch of any CPU.
  public func batchesHolding(_ pfn: PFN) -> [(cpu: Int, kind: LRUBatchKind)] {
    var found: [(cpu: Int, kind: LRUBatchKind)] = []
    for cpu in 0..<cpuCount {
      for kind in LRUBatchKind.allCases {
        let batch = cpu * LRUBatchKind.count + kind.rawValue
        for index in 0..<lruBatches[batch].count where lruBatches[batch].pages[index] == pfn {
          found.append((cpu, kind))
        }
      }
    }
    return found
  }

  /// Empties one batch: moves its folios, then drops its references.
  mutating func flush(_ batch: Int, _ kind: LRUBatchKind) {
    let count = lruBatches[batch].count
    lruBatches[batch].count = 0
    if kind == .mlock {
      let unlocks = lruBatches[batch].unlocks
      lruBatches[batch].unlocks = 0
      for index in 0..<count {
        let pfn = lruBatches[batch].pages[index]
        settleMlock(
          Folio(pfn, order: frames.head(pfn).order), isUnlock: unlocks >> UInt32(index) & 1 != 0)
      }
    } else if kind == .add {
      flushAdded(batch, count)
    } else {
      for index in 0..<count { move(lruBatches[batch].pages[index], kind) }
    }
    for index in 0..<count {
      let pfn = lruBatches[batch].pages[index]
      putReferences(Folio(pfn, order: frames.head(pfn).order), 1)
    }
  }

  /// Links the folios of an `add` batch; neighbours of one size, list and zone are counted together.
  private mutating func flushAdded(_ batch: Int, _ count: Int) {
    var alike = 0
    var counted: (folio: Folio, list: LRUList, zone: Int?)?
    for index in 0..<count {
      let pfn = lruBatches[batch].pages[index]
      var state = frames.head(pfn)
      if state.flags.contains(.mlocked) {
        move(pfn, .add)
        continue
      }
      let folio = Folio(pfn, order: state.order)
      if state.flags.contains(.unevictable) {
        if hasUnevictableFile(folio) {
          move(pfn, .add)
          continue
        }
        // It was locked when it was isolated, or its mapping is, which has not been told yet.
        state.flags.remove(.unevictable)
        self.count(.unevictableRescued, folio.pages)
      }
      let zone = frames.zone(of: pfn)
      let list = state.lruList
      if let last = counted,
        last.list != list || last.zone != zone || last.folio.order != folio.order
      {
        countLRU(last.folio, last.list, last.folio.pages, times: alike)
        alike = 0
      }
      counted = (folio, list, zone)
      alike += 1
      state.isLRU = true
      frames.setHead(pfn, state)
      if state.entersYoungest { clearReferenced(folio) }
      let node = zone.map { zoneTable[$0].node } ?? 0
      frames.pushHead(
        &lruLists[node * LRUList.count + list.rawValue], pfn, order: folio.order)
    }
    if let last = counted { countLRU(last.folio, last.list, last.folio.pages, times: alike) }
  }

  private mutating func move(_ pfn: PFN, _ kind: LRUBatchKind) {
    var state = frames.head(pfn)
    let folio = Folio(pfn, order: state.order)
    if kind == .add {
      if state.flags.contains(.mlocked) {
        // Locked while it waited; kernel: `lru_add()`.
        state.flags.remove(.active)
        if !state.flags.contains(.unevictable) { count(.unevictableCulled, folio.pages) }
        state.flags.insert(.unevictable)
      } else if state.flags.contains(.unevictable) {
        // Of a file that is never reclaimed; kernel: `mapping_unevictable()`.
        state.flags.remove(.active)
      }
      state.isLRU = true
      frames.setHead(pfn, state)
      if state.entersYoungest { clearReferenced(folio) }
      linkLRU(folio, state)
      return
    }
    if clearsFlag(kind) {
      state.isLRU = true
      frames.setHead(pfn, state)
    }
    guard state.isLRU, !state.flags.contains(.unevictable) else { return }
    if kind == .deactivateFile { return deactivateFile(folio, state) }
    unlinkLRU(folio, state)
    state.flags.remove(.aged)
    switch kind {
    case .activate:
      if !state.flags.contains(.active) { count(.pgactivate, folio.pages) }
      state.flags.insert(.active)
    case .deactivate, .deactivateFile: state.flags.subtract([.active, .referenced])
    case .lazyFree: state.flags.subtract([.active, .referenced, .swapBacked])
    case .moveTail, .add, .mlock: break
    }
    frames.setHead(pfn, state)
    linkLRU(folio, state, atTail: kind == .moveTail)
  }

  /// Queues a folio that drop_caches could not free, to be the first that reclaim looks at (rule P1.27).
  ///
  /// Kernel: `deactivate_file_folio()`.
  package mutating func deactivateFile(_ folio: Folio) {
    let state = frames.head(folio.head)
    guard state.isLRU, !state.flags.contains(.unevictable) else { return }
    queue(folio, .deactivateFile)
  }

  /// Makes a folio that drop_caches could not free the first to be reclaimed (rule P1.27).
  ///
  /// Kernel: `lru_deactivate_file()`; a dirty one goes to the head, because it has to be written first.
  private mutating func deactivateFile(_ folio: Folio, _ state: FrameState) {
    if folios.mappings(folio) > 0 { return }
    var state = state
    let isActive = state.flags.contains(.active)
    unlinkLRU(folio, state)
    state.flags.subtract([.active, .aged])
    frames.setHead(folio.head, state)
    clearReferenced(folio)
    let waits = !state.flags.isDisjoint(with: [.dirty, .writeback])
    linkLRU(folio, frames.head(folio.head), atTail: !waits)
    if !waits { count(.pgrotated, folio.pages) }
    // Under MGLRU a folio on a list has no PG_active, so nothing counts as deactivated.
    if isActive, !settings.usesGenerations { count(.pgdeactivate, folio.pages) }
  }

  /// Links a folio into the list that its state names; folios of all orders share the lists.
  mutating func linkLRU(_ folio: Folio, _ state: FrameState, atTail: Bool = false) {
    let list = state.lruList
    let index = node(of: folio.head) * LRUList.count + list.rawValue
    if atTail {
      frames.pushTail(&lruLists[index], folio.head, order: folio.order)
    } else {
      frames.pushHead(&lruLists[index], folio.head, order: folio.order)
    }
    countLRU(folio, list, folio.pages)
  }

  mutating func unlinkLRU(_ folio: Folio, _ state: FrameState) {
    let list = state.lruList
    let index = node(of: folio.head) * LRUList.count + list.rawValue
    frames.remove(&lruLists[index], folio.head, order: folio.order)
    countLRU(folio, list, -folio.pages)
  }

  /// - Parameter count: How many folios alike, one after the other.
  private mutating func countLRU(
    _ folio: Folio, _ list: LRUList, _ pages: Int, times count: Int = 1
  ) {
    guard let zone = frames.zone(of: folio.head) else { return }
    nodeItems[zoneTable[zone].node * VMStatNames.nodeItems.count + list.rawValue] += pages * count
    countZoneItem(zone, list.rawValue + 1, pages, times: count)
  }

  /// Queues new folios of order 0 in this CPU's `add` batch, one after the other, with all of its
  /// flushes; the same as ``queue(_:_:isUnlock:)`` for each.
  ///
  /// Their records and states are written here, too, as nothing else has seen them: the batch's
  /// reference on top of `references` where they still wait.
  ///
  /// - Parameter index: Of the first page in its mapping; the others follow, or precede it.
  /// - Precondition: ``mayQueueRuns``.
  mutating func queueNew(
    _ runs: [PFNRun], _ state: FrameState, _ mapping: MappingID, index: Int,
    descendingIndex: Bool = false, references: Int, accessed: UInt32 = 0
  ) {
    let batch = currentCPU * LRUBatchKind.count + LRUBatchKind.add.rawValue
    let waiting = lruBatches[batch].count
    let count = runs.reduce(0) { $0 + $1.count }
    let total = waiting + count
    // While batching is off, every page is flushed as soon as it is queued.
    let capacity = lruDisableCount > 0 ? 1 : lruBatchCapacity
    // Those that were in the batch before go first.
    var flushed = 0
    if total >= capacity {
      if waiting > 0 { flush(batch, .add) }
      flushed = total / capacity * capacity - waiting
    }
    var listed = state
    listed.isLRU = true
    var done = 0
    for run in runs {
      var left = run
      while !left.isEmpty {
        let isListed = done < flushed
        let piece = frames.zonePrefix(of: isListed ? left.prefix(flushed - done) : left)
        frames.setHeads(piece, isListed ? listed : state)
        folios.startMapped(
          descendingIndex ? piece.reversed : piece, mapping,
          index: descendingIndex ? index - done - piece.count + 1 : index + done,
          references: isListed ? references : references + 1,
          accessed: isListed && listed.entersYoungest ? 0 : accessed)
        if isListed { linkLRU(piece, listed) }
        done += piece.count
        left = left.dropFirst(piece.count)
      }
    }
    fillBatch(batch, runs, waiting: waiting, total: total, capacity)
  }

  /// Queues isolated folios of order 0 again, one after the other, and drops the references of their
  /// isolation; the same as ``putBackLRU(_:)`` for each.
  ///
  /// - Precondition: All are of one zone, alike in state, not locked in memory, and have further
  ///   references.
  mutating func queueAgain(_ run: PFNRun) {
    let batch = currentCPU * LRUBatchKind.count + LRUBatchKind.add.rawValue
    let waiting = lruBatches[batch].count
    let total = waiting + run.count
    let capacity = lruDisableCount > 0 ? 1 : lruBatchCapacity
    var state = frames.head(run.first)
    state.flags.remove(.isolated)
    var flushed = 0
    if total >= capacity {
      if waiting > 0 { flush(batch, .add) }
      flushed = total / capacity * capacity - waiting
      let listed = run.prefix(flushed)
      var added = state
      added.isLRU = true
      frames.setHeads(listed, added)
      folios.dropReferences(listed, forgetsAccess: added.entersYoungest)
      linkLRU(listed, added)
    }
    // Of the others the batch takes over the reference.
    frames.setHeads(run.dropFirst(flushed), state)
    fillBatch(batch, [run], waiting: waiting, total: total, capacity)
  }

  /// Writes what single additions leave in a batch's places, the flushed ones included.
  private mutating func fillBatch(
    _ batch: Int, _ runs: [PFNRun], waiting: Int, total: Int, _ capacity: Int
  ) {
    var position = total
    for run in runs.reversed() {
      var offset = run.count
      while offset > 0, position > waiting, position > total - capacity {
        offset -= 1
        position -= 1
        lruBatches[batch].pages[position % capacity] = run[offset]
      }
    }
    lruBatches[batch].count = total - total / capacity * capacity
  }

  /// Whether a flush of this CPU's `add` batch frees no folio, so that it may come before or after
  /// allocations and frees.
  var mayQueueRuns: Bool {
    let batch = currentCPU * LRUBatchKind.count + LRUBatchKind.add.rawValue
    // Switching batching off has emptied it.
    if lruDisableCount > 0 { return lruBatches[batch].count == 0 }
    for index in 0..<lruBatches[batch].count {
      if folios.frames[lruBatches[batch].pages[index].index].references < 2 { return false }
    }
    return true
  }

  /// How many pages this CPU's `add` batch takes without being flushed.
  package var additionsBeforeFlush: Int {
    if lruDisableCount > 0 { return 0 }
    let batch = currentCPU * LRUBatchKind.count + LRUBatchKind.add.rawValue
    return lruBatchCapacity - lruBatches[batch].count - 1
  }

  /// ``linkLRU(_:_:atTail:)`` for the pages of a run, one after the other, all of one zone.
  private mutating func linkLRU(_ run: PFNRun, _ state: FrameState) {
    let list = state.lruList
    let index = node(of: run.first) * LRUList.count + list.rawValue
    frames.pushHead(&lruLists[index], run: run)
    countLRU(Folio(run.first, order: 0), list, 1, times: run.count)
  }

  /// ``unlinkLRU(_:_:)`` for the pages of a run, all of one zone.
  mutating func unlinkLRU(_ run: PFNRun, _ state: FrameState) {
    let list = state.lruList
    let index = node(of: run.first) * LRUList.count + list.rawValue
    frames.remove(&lruLists[index], run: run)
    countLRU(Folio(run.first, order: 0), list, -1, times: run.count)
  }

  package func node(of pfn: PFN) -> Int {
    frames.zone(of: pfn).map { zoneTable[$0].node } ?? 0
  }

  /// Empties one CPU's batches.
  ///
  /// Kernel: `lru_add_drain_cpu()` (rule P1.24).
  public mutating func drainLRU(cpu: Int) {
    for kind in LRUBatchKind.allCases {
      let batch = cpu * LRUBatchKind.count + kind.rawValue
      if lruBatches[batch].count > 0 { flush(batch, kind) }
    }
  }

  /// Each CPU empties its own, so its counters take the updates.
  ///
  /// Kernel: `lru_add_drain_all()`.
  public mutating func drainAllLRU() {
    let running = currentCPU
    for cpu in 0..<cpuCount {
      currentCPU = cpu
      drainLRU(cpu: cpu)
    }
    currentCPU = running
  }

  /// Stops batching and empties every batch (rule P1.25).
  ///
  /// Kernel: `lru_cache_disable()`.
  package mutating func disableLRUBatches() {
    lruDisableCount += 1
    drainAllLRU()
  }

  /// Kernel: `lru_cache_enable()`.
  package mutating func enableLRUBatches() { lruDisableCount -= 1 }

  /// The folios that wait in a CPU's batch, oldest first.
  public func lruBatch(cpu: Int, _ kind: LRUBatchKind = .add) -> [PFN] {
    let batch = cpu * LRUBatchKind.count + kind.rawValue
    return (0..<lruBatches[batch].count).map { lruBatches[batch].pages[$0] }
  }

  /// How many folios a list of a node holds.
  public func lruCount(node: Int, _ list: LRUList) -> Int {
    Int(lruLists[node * LRUList.count + list.rawValue].count)
  }

  // MARK: Isolation

  /// Notes that a list, or a flag, was left in a state that no kernel survives (I4).
  package mutating func noteViolation(_ text: String) { violations.append(text) }

  /// Takes a folio off its LRU list, with a reference; false when it is on none (rule P1.30).
  ///
  /// Kernel: `folio_isolate_lru()`, mm/vmscan.c.
  package mutating func isolateLRU(_ folio: Folio) -> Bool {
    var state = frames.head(folio.head)
    guard state.kind == .allocated else { return false }
    guard state.isLRU else {
      guard !kernel.protections.testsAndClearsLRU, state.flags.contains(.isolated) else {
        return false
      }
      violations.append("I4: the folio at \(folio.head) is linked into a second isolation list")
      folios.addReferences(folio, 1)
      return true
    }
    unlinkLRU(folio, state)
    state.isLRU = false
    state.flags.insert(.isolated)
    state.flags.remove(.aged)
    frames.setHead(folio.head, state)
    folios.addReferences(folio, 1)
    return true
  }

  /// Queues an isolated folio for its list again and drops the reference of its isolation (rule
  /// P1.32).
  ///
  /// Kernel: `folio_putback_lru()`.
  package mutating func putBackLRU(_ folio: Folio) {
    setFlags(folio.head, remove: .isolated)
    queue(folio, .add)
    putReferences(folio, 1)
  }

  /// Raises or lowers NR_ISOLATED_ANON or NR_ISOLATED_FILE by a folio's pages.
  package mutating func countIsolated(_ folio: Folio, _ sign: Int) {
    let isAnonymous = frames.head(folio.head).flags.contains(.swapBacked)
    count(isAnonymous ? .isolatedAnon : .isolatedFile, sign * folio.pages, at: folio.head)
  }
}

// The migrate scanner: ascends through the zone and takes folios off the LRU lists.

extension Machine {
  enum SourceScan { case abort, none, found, paused }

  /// Takes folios of the first suitable pageblock from the scanner on (rule A7.7).
  ///
  /// Kernel: `isolate_migratepages()`, mm/compaction.c.
  mutating func isolateSources(_ control: inout CompactControl) -> SourceScan {
    let zone = control.zone
    var at = control.position ?? firstSource(&control)
    control.position = nil
    while at.blockEnd <= control.free {
      if isWholePageblock(zone, at.blockStart, at.blockEnd) {
        let isBeginning = at.low == pageblockStart(at.low) || at.low == zoneTable[zone].start
        if !(isBeginning && !at.isChecked && isSkipped(at.blockStart, control)) {
          if isSuitableSource(at.blockStart, control) {
            if let left = control.scansLeft {
              if left == 0 {
                control.position = at
                return .paused
              }
              control.scansLeft = left - 1
            }
            guard isolateSources(&control, from: at.low, to: at.blockEnd) else { return .abort }
            break
          }
          rememberSources(upTo: at.blockEnd, control)
        }
      }
      control.migrate = at.blockEnd
      at = SourcePosition(
        low: at.blockEnd, blockStart: at.blockEnd,
        blockEnd: at.blockEnd + geometry.pageblockPages, isChecked: false)
    }
    return control.pages > 0 ? .found : .none
  }

  private mutating func firstSource(_ control: inout CompactControl) -> SourcePosition {
    let low = findSourceBlock(&control)
    return SourcePosition(
      low: low, blockStart: max(pageblockStart(low), zoneTable[control.zone].start),
      blockEnd: pageblockEnd(low),
      isChecked: low != control.migrate && control.failedSearches == 0)
  }

  /// Whether all of a pageblock is memory of the zone.
  ///
  /// Kernel: `pageblock_pfn_to_page()`.
  func isWholePageblock(_ zone: Int, _ start: Int, _ end: Int) -> Bool {
    start >= 0 && frames.zone(of: PFN(start)) == zone && frames.zone(of: PFN(end - 1)) == zone
  }

  /// An asynchronous direct compaction keeps to pageblocks of the request's type.
  ///
  /// Kernel: `suitable_migration_source()`.
  private func isSuitableSource(_ pfn: Int, _ control: CompactControl) -> Bool {
    if isHugeBlock(pfn) { return false }
    if control.mode != .async || !control.isDirect { return true }
    let type = frames.migrateType(PFN(pfn))
    return type == control.type || control.type == .movable && type == .cma
  }

  /// Looks for a pageblock that has large free blocks, so that little has to move (rule A7.7).
  ///
  /// Kernel: `fast_find_migrateblock()`.
  private mutating func findSourceBlock(_ control: inout CompactControl) -> Int {
    let zone = control.zone
    let start = control.migrate
    if control.ignoresSkipHints || control.finishesPageblock { return start }
    // Inside a pageblock it continues.
    if start != zoneTable[zone].start && start != pageblockStart(start) { return start }
    if control.order <= Self.costlyOrder { return start }
    if control.isDirect && control.type != .movable { return start }

    var distance = (control.free - start) >> 1
    if start != zoneTable[zone].start { distance >>= 2 }
    let limit = control.searchLimit
    let high = pageblockStart(start + distance)
    var scanned = 0
    var found: Int?
    var order = control.order - 1
    while order >= Self.costlyOrder, found == nil, scanned < limit {
      let index = order * MigrateType.count + Int(MigrateType.movable.rawValue)
      var next = frames.first(zoneTable[zone].freeLists[index])
      while let pfn = next {
        next = frames.next(pfn, order: order)
        scanned += 1
        if scanned > limit {
          frames.rotate(&zoneTable[zone].freeLists[index], behind: pfn, order: order)
          break
        }
        if pfn.index >= high || frames.skipHint(pfn) { continue }
        frames.rotate(&zoneTable[zone].freeLists[index], behind: pfn, order: order)
        if let lowest = control.fastStart {
          control.fastStart = lowest == 0 ? pfn.index : min(lowest, pfn.index)
        }
        found = max(pageblockStart(pfn.index), zoneTable[zone].start)
        control.failedSearches = 0
        break
      }
      order -= 1
    }
    control.scannedSources += scanned
    if let found { return found }
    control.failedSearches += 1
    if let lowest = control.fastStart, lowest != 0 {
      control.migrate = lowest
      control.fastStart = nil
    }
    return control.migrate
  }

  private enum Look {
    case free(order: Int)
    /// Passed over, with so many pages behind it.
    case fail(more: Int)
    /// As `fail`, after a reference was taken and given back.
    case failPut
    case take(Folio, FrameState)
  }

  /// Takes folios of a part of one pageblock, until 32 pages are taken (rule A7.8).
  ///
  /// Kernel: `isolate_migratepages_block()`.
  ///
  /// - Returns: False when the compaction must give up.
  private mutating func isolateSources(
    _ control: inout CompactControl, from start: Int, to end: Int
  ) -> Bool {
    control.migrate = start
    if hasTooManyIsolated(control.zone, mayEnterFilesystems: control.gfp.contains(.fs)) {
      return false
    }
    // In this mode only blocks that come free as a whole are worth moving anything.
    let needsWholeBlocks = control.isDirect && control.mode == .async
    var nextBlock = needsWholeBlocks ? (start >> control.order + 1) << control.order : 0
    var scanned = 0
    var taken = 0
    var low = start
    // The LRU lock is what orders the look at the hint and the setting of it.
    var isLocked = false
    var beginning: Int?
    var isHintSet = false
    scan: while low < end {
      if needsWholeBlocks, low >= nextBlock {
        if taken > 0 { break }
        nextBlock = (low >> control.order + 1) << control.order
      }
      if low & (Self.collectedPagesLimit - 1) == 0 { isLocked = false }
      scanned += 1
      if beginning == nil, low == pageblockStart(low) || low == zoneTable[control.zone].start {
        if isSkipped(low, control) {
          low = end
          break
        }
        beginning = low
      }
      switch look(at: low, control) {
      case .free(let order):
        low += 1 << order
        scanned += 1 << order - 1
        continue
      case .take(let folio, let state):
        if !isLocked {
          isLocked = true
          if !isHintSet, let beginning {
            isHintSet = true
            if setSkip(beginning, control), !control.finishesPageblock {
              low = end
              break scan
            }
          }
        }
        _ = isolateLRU(folio)
        countIsolated(folio, state.flags.contains(.swapBacked), 1)
        control.list.insert(folio.head, at: 0)
        control.pages += folio.pages
        taken += folio.pages
        scanned += folio.pages - 1
        low += folio.pages
        if control.pages >= Self.collectedPagesLimit, !control.finishesPageblock { break scan }
        continue
      case .fail(let more):
        low += more
        scanned += more
      case .failPut: isLocked = false
      }
      if needsWholeBlocks {
        if taken > 0 {
          isLocked = false
          putBackMovable(control.list)
          control.list = []
          control.pages = 0
          taken = 0
        }
        if low < nextBlock {
          low = nextBlock - 1
          nextBlock += 1 << control.order
        }
      }
      low += 1
    }
    low = min(low, end)
    if low == end, taken == 0 || control.finishesPageblock {
      if let beginning, !isHintSet { frames.setSkipHint(PFN(beginning), true) }
      rememberSources(upTo: low, control)
    }
    traceScan(.isolateMigratePages, PFNRange(start, low), scanned: scanned, taken: taken)
    control.scannedSources += scanned
    if taken > 0 { count(.compactIsolated, taken) }
    control.migrate = low
    return true
  }

  private func look(at pfn: Int, _ control: CompactControl) -> Look {
    guard let found = block(containing: PFN(pfn)) else { return .fail(more: 0) }
    let (head, state) = found
    let isHead = head.index == pfn
    let pages = 1 << state.order
    switch state.kind {
    case .none, .perCPU: return .fail(more: 0)
    case .free: return isHead ? .free(order: state.order) : .fail(more: 0)
    case .hugePool: return .fail(more: isHead && state.order <= geometry.maxOrder ? pages - 1 : 0)
    case .allocated: break
    }
    if state.isHugetlb {
      return .fail(more: isHead && state.order <= geometry.maxOrder ? pages - 1 : 0)
    }
    if isHead, state.isCompound,
      !control.wantsEverything && state.order >= control.order
        || state.order >= geometry.pageblockOrder
    {
      return .fail(more: state.order <= geometry.maxOrder ? pages - 1 : 0)
    }
    guard state.isLRU, isHead else { return .fail(more: 0) }
    let folio = Folio(head, order: state.order)
    return mayTake(folio, state, control) ? .take(folio, state) : .failPut
  }

  /// Whether a folio is worth isolating (rule A7.8).
  private func mayTake(_ folio: Folio, _ state: FrameState, _ control: CompactControl) -> Bool {
    let isFile = folios.owner(folio).mapping.isFile || swapSlot(of: folio) != nil
    // A pinned anonymous page would not move.
    if !isFile, references(folio) > mappings(folio) { return false }
    if isFile, !control.gfp.contains(.fs) { return false }
    let mayNotWait = control.mode != .sync
    if mayNotWait, state.flags.contains(.writeback) { return false }
    let isLooked =
      mayNotWait && state.flags.contains(.dirty) || isFile && state.flags.contains(.unevictable)
    return !(isLooked && (state.flags.contains(.locked) || isInaccessible(folio)))
  }
}

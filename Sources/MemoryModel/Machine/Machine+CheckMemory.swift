// The invariants of folios, tables, caches, pins and devices: I3, I4, I5, I6, I7, I8, I13, I15. They hold
// between operations, and between the steps of one that says what it holds.

extension Machine {
  /// Checks I3, I4, I5, I6, I8, I13, I15, that caches and folios name each other, and that each table
  /// has one owner.
  ///
  /// Costs a walk over all frames and tables.
  ///
  /// - Parameters:
  ///   - held: By an operation that is between two steps.
  ///   - goesOn: Asked every few milliseconds; when it says no, the check ends with
  ///     ``checkWasStopped``.
  /// - Returns: The first that fails, in words; nil if all hold.
  public func checkMemory(
    _ held: Holdings = Holdings(), goesOn: () -> Bool = { true }
  ) -> String? {
    do {
      var counts = try MemoryCounts(frames: frames.count, slots: swap.count)
      if let broken = collectTables(&counts, held, goesOn) ?? collectCaches(&counts, goesOn)
        ?? checkSwap(&counts) ?? collectHolders(&counts, held, goesOn)
      {
        return broken
      }
      return checkPinnedEntries(counts, goesOn) ?? checkFolios(counts, goesOn) ?? checkLRU(goesOn)
        ?? checkDevices(held)
    } catch {
      return error.message
    }
  }

  /// What a check says that was told to stop.
  public static var checkWasStopped: String { "the check was stopped before its end" }

  /// Whether a check that has come to element `index` is to stop.
  @inline(__always)
  func stops(at index: Int, _ goesOn: () -> Bool) -> Bool { index & 0xFFFF == 0 && !goesOn() }

  // MARK: Tables (I8, I13)

  private func collectTables(
    _ counts: inout MemoryCounts, _ held: Holdings, _ goesOn: () -> Bool
  ) -> String? {
    for space in spaces where space.isAlive {
      var swapped = 0
      if let broken = collect(space.root, .pgd, 0, space, held, &counts, &swapped, goesOn) {
        return broken
      }
      if swapped != space.swapEntries {
        return "\(space.name) counts \(space.swapEntries) pages in swap space, its tables name "
          + "\(swapped)"
      }
      var previous = 0
      for area in space.areas {
        if area.start < previous || area.end <= area.start {
          return "areas of \(space.name) overlap at 0x\(hex(area.start << geometry.pageShift))"
        }
        previous = area.end
      }
    }
    return nil
  }

  private func collect(
    _ table: Int, _ level: PageTableLevel, _ start: Int, _ space: AddressSpace,
    _ held: Holdings, _ counts: inout MemoryCounts, _ swapped: inout Int, _ goesOn: () -> Bool
  ) -> String? {
    let frame = pageTables.frames[table]
    if frame != 0, let broken = counts.claim(table: PFN(frame), self) { return broken }
    var leaves = 0
    for index in 0..<PageTables.entriesPerTable {
      let entry = pageTables[table * PageTables.entriesPerTable + index]
      if entry.isNone { continue }
      let page = start + index << level.order
      if entry.isTable, let below = PageTableLevel(rawValue: level.rawValue - 1) {
        if let broken = collect(entry.table, below, page, space, held, &counts, &swapped, goesOn) {
          return broken
        }
        if stops(at: page, goesOn) { return Self.checkWasStopped }
        continue
      }
      // A text for each of 80 million entries took most of the time.
      var place: String { "0x\(hex(page << geometry.pageShift)) of \(space.name)" }
      guard let area = space.area(page) ?? held.leavingArea(space.id, page),
        area.end >= page + 1 << level.order
      else {
        return "an entry without an area at \(place)"
      }
      if entry.isSwap {
        if let broken = counts.use(slot: entry.pfn.index, at: place) { return broken }
        swapped += 1
        continue
      }
      if entry.flags.contains(.special) {
        if level == .pmd, !entry.flags.contains(.device) { leaves += 1 }
        continue
      }
      guard let folio = folio(of: entry.pfn) else {
        return "I8: the entry at \(place) names \(entry.pfn), which is no folio"
      }
      if level == .pmd, hasDeposit(entry, folio, area) { leaves += 1 }
      if entry.isMigration {
        if !frames.head(folio.head).flags.contains(.locked) {
          return "I13: a migration entry at \(place), but the folio at \(folio.head) is not locked"
        }
        continue
      }
      guard entry.isPresent else { continue }
      if level == .pte {
        if entry.flags.contains(.part) != (folio.order > 0) {
          return "the entry at \(place) is wrong about whether its page is part of a large folio"
        }
        counts.pages[entry.pfn.index] += 1
      } else {
        counts.entire[folio.head.index] += 1
      }
      if entry.flags.contains(.exclusive) { counts.exclusive[entry.pfn.index] += 1 }
    }
    if level == .pmd {
      if depositCount(table: table) != leaves {
        return "\(depositCount(table: table)) tables are deposited for \(leaves) leaves at "
          + "0x\(hex(start << geometry.pageShift)) of \(space.name)"
      }
      var next = PFN(pageTables.deposits[table].next)
      for position in 0..<leaves {
        if let broken = counts.claim(table: next, self) { return broken }
        let list = pageTables.deposits[table].others
        if position + 1 < leaves {
          next =
            (position == 0 ? frames.first(list) : frames.next(next, order: 0)) ?? next
        }
      }
    }
    return nil
  }

  /// Whether a table is deposited for a leaf: one of an anonymous huge page.
  private func hasDeposit(
    _ entry: PageTableEntry, _ folio: Folio, _ area: MemoryArea
  ) -> Bool {
    if frames.head(folio.head).flags.contains(.hugetlb) { return false }
    let mapping = folios.owner(folio).mapping
    // Between m9 and m11 the source that the entry names has no identity any more.
    if entry.isMigration, mapping == .none { return area.backing == .anonymous }
    return mapping.isAnonymous
  }

  // MARK: Caches

  private func collectCaches(_ counts: inout MemoryCounts, _ goesOn: () -> Bool) -> String? {
    for (file, value) in files.enumerated() {
      var cached = 0
      var swapped = 0
      for page in 0..<value.chunks.count << 9 where value.chunks[page >> 9] != 0 {
        if stops(at: page, goesOn) { return Self.checkWasStopped }
        if let slot = swappedSlot(file, page: page) {
          swapped += 1
          if let broken = counts.use(slot: slot, at: "page \(page) of \(value.name)") {
            return broken
          }
        }
        guard let pfn = cachedFrame(file, page: page) else { continue }
        cached += 1
        guard let folio = folio(of: pfn) else {
          return "page \(page) of \(value.name) is cached at \(pfn), which is no folio"
        }
        let (mapping, index) = folios.owner(folio)
        if mapping != .file(file) || index + pfn.index - folio.head.index != page {
          return "page \(page) of \(value.name) is cached at \(pfn), which says otherwise"
        }
        counts.references[folio.head.index] += 1
      }
      if cached != value.cachedPages {
        return "\(value.name) counts \(value.cachedPages) cached pages, the cache holds \(cached)"
      }
      if swapped != value.swappedPages {
        return
          "\(value.name) counts \(value.swappedPages) swapped pages, the cache names \(swapped)"
      }
    }
    return nil
  }

  // MARK: Swap space

  /// Checks that slots count the entries that name them, that the swap cache and its folios name each
  /// other, and that the free slots are the free slots.
  private func checkSwap(_ counts: inout MemoryCounts) -> String? {
    var used = 0
    var cached = 0
    for slot in 0..<swap.count {
      let value = swap.table[slot]
      let named = Int(counts.slots[slot])
      if named != value.count {
        return "\(named) entries name slot \(slot) of the swap space, it counts \(value.count)"
      }
      if !value.isFree { used += 1 }
      guard value.frame != 0 else { continue }
      cached += 1
      let pfn = PFN(value.frame - 1)
      guard let folio = folio(of: pfn),
        swapSlot(of: folio) == slot - (pfn.index - folio.head.index)
      else { return "slot \(slot) is cached at \(pfn), which says otherwise" }
      counts.references[folio.head.index] += 1
    }
    for cluster in 0..<swap.clusterCount {
      let (counted, found) = swap.countUsed(cluster: cluster)
      if counted != found {
        return "cluster \(cluster) of the swap space counts \(counted) slots in use, not \(found)"
      }
    }
    if used != swap.used || cached != swap.cached || total(.swapCached) != cached {
      return
        "the swap space counts \(swap.used) slots in use and \(swap.cached) cached, not \(used) "
        + "and \(cached)"
    }
    return nil
  }

  // MARK: Holders

  private func collectHolders(
    _ counts: inout MemoryCounts, _ held: Holdings, _ goesOn: () -> Bool
  ) -> String? {
    for (head, references) in held.references {
      counts.references[head.index] += UInt32(references)
    }
    for pfn in held.pins {
      guard pfn != zeroPage, let folio = folio(of: pfn) else { continue }
      counts.pins[folio.head.index] += 1
      counts.pinned[pfn.index] = true
    }
    for cpu in 0..<cpuCount {
      for kind in LRUBatchKind.allCases {
        for pfn in lruBatch(cpu: cpu, kind) { counts.references[pfn.index] += 1 }
      }
    }
    for head in cacheHolds { counts.references[head.index] += 1 }
    // An isolation's reference is told by the folio's flag.
    for held in temporaryReferences where !held.isIsolation {
      if let folio = folio(of: held.page) { counts.references[folio.head.index] += 1 }
    }
    // Before read pins made copies of their own (rule P3.14) they took pages that others share, too.
    let sharesReadPins = !unshares(anonymous: true)
    // A call under way has not written all of its words.
    for pin in pins where pin.pages > 0 {
      var word = pin.words.lowerBound
      while word < pin.words.upperBound {
        // A run of pages is two words.
        if stops(at: word & ~1, goesOn) { return Self.checkWasStopped }
        let value = pinWords.words[word]
        var run = PFN(value)..<PFN(value) + 1
        if value & PinWords.runBit != 0 {
          let first = PFN(pinWords.words[word + 1])
          run = first..<first + Int(value & ~PinWords.runBit)
          word += 1
        }
        word += 1
        if pin.isPerFolio { run = run.lowerBound..<run.lowerBound + 1 }
        for index in run.lowerBound.index..<run.upperBound.index {
          let pfn = PFN(index)
          if pfn == zeroPage { continue }
          guard let folio = folio(of: pfn) else {
            return "I3: \(pin.holder) holds \(pfn), which is no folio"
          }
          if pin.isGet {
            counts.references[folio.head.index] += 1
          } else {
            counts.pins[folio.head.index] += 1
            if pin.isWrite || !sharesReadPins { counts.pinned[index] = true }
          }
        }
      }
    }
    return nil
  }

  private func checkPinnedEntries(
    _ counts: borrowing MemoryCounts, _ goesOn: () -> Bool
  ) -> String? {
    for index in 0..<frames.count {
      if stops(at: index, goesOn) { return Self.checkWasStopped }
      guard counts.pinned[index] else { continue }
      guard let folio = folio(of: PFN(index)), folios.owner(folio).mapping.isAnonymous,
        !frames.head(folio.head).flags.contains(.hugetlb)
      else { continue }
      let entire = counts.entire[folio.head.index]
      let entries = counts.pages[index] + entire
      // A leaf's bit counts for all of its pages.
      let isInside = index != folio.head.index && entire > 0
      let exclusive =
        counts.exclusive[index] + (isInside ? counts.exclusive[folio.head.index] : 0)
      if entries > 1 || exclusive != entries {
        return "I15: \(PFN(index)) is pinned, but \(entries) entries map it, \(exclusive) of them "
          + "exclusively"
      }
    }
    return nil
  }

  // MARK: Folios (I3, I8)

  private func checkFolios(
    _ counts: borrowing MemoryCounts, _ goesOn: () -> Bool
  ) -> String? {
    var at = 0
    while at < frames.count {
      if stops(at: at, goesOn) { return Self.checkWasStopped }
      let state = frames.head(PFN(at))
      guard state.kind != .none else {
        at += 1
        continue
      }
      defer { at += 1 << state.order }
      guard state.kind == .allocated, state.flags.contains(.folio) else { continue }
      let folio = Folio(PFN(at), order: state.order)
      let mapping = folios.owner(folio).mapping
      if mapping == .unknownAnonymous || mapping == .unknownFile { continue }
      var pageMappings = 0
      for offset in 0..<folio.pages {
        let found = Int(counts.pages[at + offset])
        pageMappings += found
        if found != folios.pageMappings(folio.head + offset) {
          return "I8: \(found) entries map \(folio.head + offset), it counts "
            + "\(folios.pageMappings(folio.head + offset))"
        }
      }
      let entire = Int(counts.entire[at])
      if entire != folios.entireMappings(folio) || entire + pageMappings != folios.mappings(folio) {
        return "I8: the folio at \(folio.head) is mapped \(entire) + \(pageMappings) times, it "
          + "counts \(folios.entireMappings(folio)), \(folios.mappings(folio)) in all"
      }
      let pins = Int(counts.pins[at])
      if folio.order > 0, pins != folios.pins(folio) {
        return "I3: the folio at \(folio.head) is pinned \(pins) times, it counts "
          + "\(folios.pins(folio))"
      }
      // Off the LRU a list holds it; locked it is what a migration under way moves to.
      let isTarget = state.flags.contains(.locked) && !cacheHolds.contains(folio.head)
      let isHeld = isTarget || state.flags.contains(.isolated)
      let wanted =
        Int(counts.references[at]) + entire + pageMappings + (isHeld ? 1 : 0)
        + pins * (folio.order > 0 ? 1 : FolioTable.pinBias)
      if wanted != folios.references(folio) {
        return "I3: the folio of order \(folio.order) at \(folio.head) has "
          + "\(folios.references(folio)) references, its holders account for \(wanted)"
      }
    }
    return nil
  }

  // MARK: LRU lists (I4)

  private func checkLRU(_ goesOn: () -> Bool) -> String? {
    var linked = 0
    // Linked, but without their flag, as 6.11 to 6.16 have folios in a batch (rule P1.26).
    var waiting = 0
    for node in 0..<nodeCount {
      for list in LRUList.allCases {
        let ends = lruLists[node * LRUList.count + list.rawValue]
        var found = 0
        var next = frames.first(ends)
        while let pfn = next {
          if stops(at: found, goesOn) { return Self.checkWasStopped }
          found += 1
          // A broken list is reported and does not hang the check.
          if found > Int(ends.count) { break }
          let state = frames.head(pfn)
          next = frames.next(pfn, order: state.order)
          if !state.isLRU, waitsWithoutFlag(pfn) {
            waiting += 1
            continue
          }
          if state.kind != .allocated || !state.isLRU || state.lruList != list {
            return "I4: \(pfn) is on \(list.name), but its state says otherwise"
          }
        }
        if found != Int(ends.count) {
          return "I4: \(list.name) of node \(node) holds \(found) folios, its count says "
            + "\(ends.count)"
        }
        linked += found
      }
    }
    var marked = 0
    var at = 0
    while at < frames.count {
      if stops(at: at, goesOn) { return Self.checkWasStopped }
      let state = frames.head(PFN(at))
      if state.kind == .allocated, state.isLRU { marked += 1 }
      at += state.kind == .none ? 1 : 1 << state.order
    }
    linked -= waiting
    return marked == linked ? nil : "I4: \(marked) folios are marked LRU, the lists hold \(linked)"
  }

  private func waitsWithoutFlag(_ pfn: PFN) -> Bool {
    batchesHolding(pfn).contains { clearsFlag($0.kind) }
  }
}

/// What tables, caches and holders say of each frame.
///
/// In arenas, because most frames of a large machine are nobody's.
private struct MemoryCounts: ~Copyable {
  var pages: Arena<UInt32>
  var entire: Arena<UInt32>
  var exclusive: Arena<UInt32>
  var references: Arena<UInt32>
  var pins: Arena<UInt32>
  var pinned: Arena<Bool>
  var isTable: Arena<Bool>
  /// Entries that name each slot of the swap space.
  var slots: [UInt32]

  init(frames: Int, slots: Int) throws(MemoryError) {
    // Where memory is used by the GiB, small pages would take longer than the check.
    let isLarge = frames > 1 << 22
    // All or nothing: a value without copies cannot be made in part.
    let pages = try Arena<UInt32>(count: frames, hugePages: isLarge)
    let entire = try Arena<UInt32>(count: frames)
    let exclusive = try Arena<UInt32>(count: frames, hugePages: isLarge)
    let references = try Arena<UInt32>(count: frames, hugePages: isLarge)
    let pins = try Arena<UInt32>(count: frames, hugePages: isLarge)
    let pinned = try Arena<Bool>(count: frames, hugePages: isLarge)
    let isTable = try Arena<Bool>(count: frames)
    self.pages = pages
    self.entire = entire
    self.exclusive = exclusive
    self.references = references
    self.pins = pins
    self.pinned = pinned
    self.isTable = isTable
    self.slots = Array(repeating: 0, count: slots)
  }

  mutating func use(slot: Int, at place: @autoclosure () -> String) -> String? {
    guard slot < slots.count else { return "the entry at \(place()) names slot \(slot)" }
    slots[slot] += 1
    return nil
  }

  /// Notes that a frame holds a table, or waits to; each may have one owner only.
  mutating func claim(table pfn: PFN, _ machine: borrowing Machine) -> String? {
    if isTable[pfn.index] { return "\(pfn) holds two page tables" }
    isTable[pfn.index] = true
    let state = machine.frames.head(pfn)
    if state.kind != .allocated || state.order != 0 {
      return "\(pfn) holds a page table, but is not allocated as a page"
    }
    return nil
  }
}

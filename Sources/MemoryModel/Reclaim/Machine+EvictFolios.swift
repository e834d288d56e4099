// Reclaim under MGLRU. The four generations of a type are its two lists: the inactive one holds the two
// oldest, the active one the two youngest, of which the older is marked `aged`; within a list age is order,
// the oldest at the tail. Anonymous folios count only while there is room in swap space.

/// The two kinds of pages that reclaim chooses between.
///
/// Kernel: `LRU_GEN_ANON`, `LRU_GEN_FILE`.
enum LRUType: CaseIterable {
  case file, anonymous

  var inactive: LRUList { self == .file ? .inactiveFile : .inactiveAnon }
  var active: LRUList { self == .file ? .activeFile : .activeAnon }
}

extension Machine {
  /// Reclaims from a node once, at the priority of the attempt.
  ///
  /// Kernel: `shrink_node()`, `lru_gen_shrink_node()`, mm/vmscan.c.
  mutating func shrinkNode(_ node: Int, _ control: inout ReclaimControl) {
    guard control.mayWrite, !isToStop else { return }
    let before = control.reclaimed
    drainLRU(cpu: currentCPU)
    setInitialPriority(node, &control)
    if control.isKswapd { control.reclaimed = 0 }
    shrinkLists(node, &control)
    runShrinkers()
    if control.isKswapd { control.reclaimed += before }
    if control.reclaimed > before { kswapds[node].failures = 0 }
  }

  /// A large goal begins with as large a share as should suffice.
  ///
  /// Kernel: `set_initial_priority()`.
  func setInitialPriority(_ node: Int, _ control: inout ReclaimControl) {
    guard control.priority == ReclaimControl.firstPriority, control.goal >= Self.evictionBatch
    else { return }
    let inactive = swappableTypes.reduce(0) { $0 + listedPages(node, $1.inactive) }
    let wanted = bits(inactive) - 1 - bits(control.goal - 1)
    control.priority = min(
      max(wanted, ReclaimControl.firstPriority / 2), ReclaimControl.firstPriority)
  }

  /// Kernel: `fls_long()`.
  private func bits(_ value: Int) -> Int { Int.bitWidth - value.leadingZeroBitCount }

  /// The types that can be reclaimed: pages of files first, which are cheaper to get back.
  ///
  /// Kernel: `get_swappiness()`, `get_type_to_scan()` without refaults.
  private var swappableTypes: [LRUType] {
    swap.free >= Self.evictionBatch && settings.swappiness > 0 ? [.file, .anonymous] : [.file]
  }

  private func listedPages(_ node: Int, _ list: LRUList) -> Int {
    nodeItems[node * VMStatNames.nodeItems.count + list.rawValue]
  }

  /// Kernel: `MIN_LRU_BATCH`, `MAX_LRU_BATCH`.
  private static var evictionBatch: Int { 64 }
  private static var scanLimit: Int { 4096 }

  /// Kernel: `try_to_shrink_lruvec()`.
  private mutating func shrinkLists(_ node: Int, _ control: inout ReclaimControl) {
    var scanned = 0
    while true {
      let share = pagesToScan(node, control)
      if share == 0 { return }
      let step = evictFolios(node, &control)
      if step == 0 { return }
      scanned += step
      if scanned >= share || isEnough(node, control) || isToStop { return }
    }
  }

  /// How much of the lists a pass looks at; 0 where the oldest folios are too young and were aged first.
  ///
  /// The kernel also ages to keep its generations of about the same size.
  /// Kernel: `get_nr_to_scan()`, `should_run_aging()`.
  private mutating func pagesToScan(_ node: Int, _ control: ReclaimControl) -> Int {
    let types = swappableTypes
    let total = types.reduce(0) {
      $0 + listedPages(node, $1.inactive) + listedPages(node, $1.active)
    }
    if total == 0 { return 0 }
    if types.contains(where: { !isEmpty(node, $0.inactive) }) { return total >> control.priority }
    if control.priority < ReclaimControl.firstPriority {
      for type in types { age(node, type) }
    }
    return 0
  }

  private func isEmpty(_ node: Int, _ list: LRUList) -> Bool {
    lruLists[node * LRUList.count + list.rawValue].isEmpty
  }

  /// Kernel: `should_abort_scan()`.
  private func isEnough(_ node: Int, _ control: ReclaimControl) -> Bool {
    if control.reclaimed >= max(control.goal, Self.compactGap(control.order)) { return true }
    guard control.isKswapd, control.order == 0 else { return false }
    return (0...control.highest.rawValue).allSatisfy { index in
      let zone = node * ZoneIndex.count + index
      return zoneTable[zone].managed == 0
        || isWatermarkOK(
          zone, order: 0, mark: zoneTable[zone].watermark(2) + Self.evictionBatch,
          highest: control.highest, [], free: zoneTable[zone].visibleFree)
    }
  }

  /// Makes the youngest generation the second youngest, and that one inactive; folios whose mappings
  /// were used since are young again.
  ///
  /// Kernel: `try_to_inc_max_seq()`, `walk_mm()`, `inc_max_seq()`.
  private mutating func age(_ node: Int, _ type: LRUType) {
    let list = node * LRUList.count + type.active.rawValue
    var next = frames.last(lruLists[list])
    var looks = 0
    while let head = next {
      looks += 1
      // Those behind it were the older ones, so the order stays right.
      if looks & (Self.scanLimit - 1) == 0, isToStop { return }
      let state = frames.head(head)
      let folio = Folio(head, order: state.order)
      next = frames.previous(head, order: state.order)
      var aged = state
      if takeAccesses(folio) > 0 {
        aged.flags.remove(.aged)
      } else if state.flags.contains(.aged) {
        // Those that stay keep their order, so only these move.
        unlinkLRU(folio, state)
        aged.flags.subtract([.aged, .active])
        frames.setHead(head, aged)
        linkLRU(folio, aged)
        continue
      } else {
        aged.flags.insert(.aged)
      }
      frames.setHead(head, aged)
    }
  }

  /// How many mappings of a folio were used since the last time, which is forgotten.
  ///
  /// Kernel: `folio_referenced()`.
  private mutating func takeAccesses(_ folio: Folio) -> Int {
    if folios.mappings(folio) == 0 { return 0 }
    var used = 0
    for place in mappings(of: folio) where pageTables[place.slot].flags.contains(.young) {
      pageTables[place.slot].flags.remove(.young)
      used += 1
    }
    return used
  }

  // MARK: One batch

  /// Takes the oldest folios off the inactive list, frees those that can be freed, and makes the others
  /// young.
  ///
  /// Kernel: `evict_folios()`.
  ///
  /// - Returns: Pages that were looked at; 0 when no folio was of use.
  private mutating func evictFolios(_ node: Int, _ control: inout ReclaimControl) -> Int {
    guard let type = swappableTypes.first(where: { !isEmpty(node, $0.inactive) }) else { return 0 }
    let list = node * LRUList.count + type.inactive.rawValue
    var taken: [Folio] = []
    var isolated = 0
    var sorted = 0
    var looks = 0
    let limit = min(Self.scanLimit, Int(lruLists[list].count))
    while looks < limit, isolated < Self.evictionBatch,
      let head = frames.last(lruLists[list])
    {
      looks += 1
      let state = frames.head(head)
      let folio = Folio(head, order: state.order)
      if let zone = frames.zone(of: head), zoneTable[zone].indexRawValue > control.highest.rawValue
      {
        // It lies in a zone that does not help: a generation younger.
        unlinkLRU(folio, state)
        linkLRU(folio, state)
        sorted += folio.pages
        continue
      }
      guard isolateLRU(folio) else { break }
      clearReferenced(folio)
      taken.append(folio)
      isolated += folio.pages
    }
    count(control.isKswapd ? .scanKswapd : .scanDirect, isolated)
    count(type == .file ? .scanFile : .scanAnon, isolated)
    count(.refill, sorted)
    if taken.isEmpty { return limit == Self.scanLimit ? sorted : 0 }
    let before = control.reclaimed
    var again: [Folio] = []
    // The pages of a huge page that was broken up come right behind its head.
    var pieces: [Folio] = []
    for folio in taken {
      var next: Folio? = folio
      while let current = next {
        let result = evict(current, &control, rest: &pieces)
        // Broken up, it is its first page alone.
        let folio = Folio(current.head, order: frames.head(current.head).order)
        switch result {
        case .freed: break
        case .kept where !isActivated(folio): again.append(folio)
        case .kept, .activated: returnYoung(folio)
        }
        next = pieces.popLast()
      }
    }
    // What nobody maps or dirtied is tried once more, for those who looked at it only for a moment.
    for folio in again where evict(folio, &control, rest: &pieces) != .freed { returnYoung(folio) }
    let reclaimed = control.reclaimed - before
    count(control.isKswapd ? .stealKswapd : .stealDirect, reclaimed)
    count(type == .file ? .stealFile : .stealAnon, reclaimed)
    return isolated + sorted
  }

  enum Eviction {
    case freed, kept, activated
  }

  private func isActivated(_ folio: Folio) -> Bool {
    let flags = frames.head(folio.head).flags
    return !flags.isDisjoint(with: [.active, .locked, .dirty, .writeback, .mlocked])
      || folios.mappings(folio) > 0 || isReferenced(folio)
  }

  /// Kernel: one folio of `shrink_folio_list()` (rule A7.37).
  ///
  /// - Parameter rest: Gets the pages of a huge page that was broken up.
  private mutating func evict(
    _ folio: Folio, _ control: inout ReclaimControl, rest: inout [Folio]
  ) -> Eviction {
    let state = frames.head(folio.head)
    if state.flags.contains(.locked) { return .kept }
    control.scanned += folio.pages
    if state.flags.contains(.mlocked) { return .activated }
    if state.flags.contains(.writeback) { return activate(folio) }
    if folios.mappings(folio) > 0 {
      let wasReferenced = isReferenced(folio)
      let used = takeAccesses(folio)
      if used > 0 {
        // All mapped folios begin with one use, so one alone spares it once.
        setReferenced(folio)
        return used > 1 || wasReferenced ? activate(folio) : .kept
      }
    }
    if state.flags.contains(.swapBacked) {
      return folios.owner(folio).mapping.isFile
        ? swapOutShmem(folio, &control, rest: &rest) : swapOut(folio, &control, rest: &rest)
    }
    if state.flags.contains(.dirty) {
      count(.immediateReclaim, folio.pages, at: folio.head)
      return activate(folio)
    }
    switch releaseClean(folio) {
    case .freed:
      control.reclaimed += folio.pages
      return .freed
    case .held: return maybePinned(folio) ? activate(folio) : .kept
    case .mapped: return activate(folio)
    }
  }

  mutating func activate(_ folio: Folio) -> Eviction {
    setFlags(folio.head, insert: .active)
    count(.pgactivate, folio.pages)
    return .activated
  }

  /// Puts a folio that could not be freed into the youngest generation.
  ///
  /// Kernel: `move_folios_to_lru()`.
  private mutating func returnYoung(_ folio: Folio) {
    if frames.head(folio.head).flags.contains(.mlocked) { return putBackLRU(folio) }
    var state = frames.head(folio.head)
    state.flags.remove(.isolated)
    state.flags.insert(.active)
    state.isLRU = true
    frames.setHead(folio.head, state)
    clearReferenced(folio)
    linkLRU(folio, state)
    putReferences(folio, 1)
  }
}

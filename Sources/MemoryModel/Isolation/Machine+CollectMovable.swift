// The scan of `alloc_contig_range()` for pages that can move. It is a lagging look: what it takes may
// still refuse to move, and what it leaves shows in the test afterwards.

/// What a scan of one pageblock came to.
package struct MovableScan: Sendable, Equatable {
  /// The frame to go on at.
  package var end: Int
  /// ENOMEM: a huge page that has no replacement; nothing is collected then.
  package var refusal: Refusal?
  /// So many pages are off the LRU lists that the scan did not begin.
  package var isThrottled = false
}

extension Machine {
  /// Pages that are collected before they are migrated.
  ///
  /// Kernel: `COMPACT_CLUSTER_MAX`.
  package static let collectedPagesLimit = 32

  /// Whether more than a sixteenth of a node's LRU pages are isolated already.
  ///
  /// A caller that must not enter filesystems may isolate half of them.
  ///
  /// Kernel: `too_many_isolated()`, mm/compaction.c.
  package func hasTooManyIsolated(_ zone: Int, mayEnterFilesystems: Bool = true) -> Bool {
    let base = zoneTable[zone].node * VMStatNames.nodeItems.count
    func pages(_ list: LRUList) -> Int { nodeItems[base + list.rawValue] }
    let share = mayEnterFilesystems ? 3 : 0
    let inactive = (pages(.inactiveAnon) + pages(.inactiveFile)) >> share
    let active = (pages(.activeAnon) + pages(.activeFile)) >> share
    let isolated =
      nodeItems[base + NodeItem.isolatedAnon.rawValue]
      + nodeItems[base + NodeItem.isolatedFile.rawValue]
    return isolated > (inactive + active) / 2
  }

  /// Takes folios that can move off the LRU lists, in a part of one pageblock, until 32 pages are
  /// collected (rules P5.11 to P5.13).
  ///
  /// Kernel: `isolate_migratepages_block()`, mm/compaction.c, with `alloc_contig` set.
  ///
  /// - Parameter list: In the order in which they will be migrated: what is found last comes first,
  ///   huge pages of hugetlbfs come last.
  /// - Parameter collected: Pages on the list.
  package mutating func collectMovable(
    in range: PFNRange, _ list: inout [PFN], collected: inout Int
  ) -> MovableScan {
    guard let zone = frames.zone(of: PFN(range.start)) else { return MovableScan(end: range.end) }
    if hasTooManyIsolated(zone) { return MovableScan(end: range.start, isThrottled: true) }
    var refusal: Refusal?
    var scanned = 0
    var taken = 0
    var at = range.start
    scan: while at < range.end {
      let plain = collectPlain(
        PFNRange(at, min(range.end, at + Self.collectedPagesLimit - collected)), &list)
      if plain > 0 {
        collected += plain
        taken += plain
        scanned += plain
        at += plain
        if collected >= Self.collectedPagesLimit { break scan }
        continue
      }
      scanned += 1
      var found = block(containing: PFN(at))
      if let huge = found, huge.state.isHugetlb {
        let head = Folio(huge.start, order: huge.state.order)
        switch vacateHugePage(head) {
        case .isolated:
          list.append(head.head)
          collected += head.pages
          taken += head.pages
          // From inside a huge page the kernel steps by a whole one, too.
          scanned += head.pages - 1
          at += head.pages
          if collected >= Self.collectedPagesLimit { break scan }
          continue
        case .busy, .refused:
          // The order of a page behind the head reads as 0.
          let step = huge.start.index == at ? head.pages : 1
          scanned += step - 1
          at += step
          continue
        case .noMemory(let why):
          let step = huge.start.index == at ? head.pages : 1
          scanned += step - 1
          at += step - 1
          putBackMovable(list)
          list = []
          collected = 0
          taken = 0
          refusal = why
          break scan
        case .dissolved: found = block(containing: PFN(at))
        }
      }
      guard let found else {
        at += 1
        continue
      }
      let end = found.start.index + 1 << found.state.order
      if found.start.index == at, found.state.kind == .free {
        scanned += end - at - 1
        at = end
        continue
      }
      let folio = Folio(found.start, order: found.state.order)
      if found.start.index == at, found.state.kind == .allocated, found.state.isLRU,
        mayCollect(folio, found.state), isolateLRU(folio)
      {
        countIsolated(folio, 1)
        list.insert(folio.head, at: 0)
        collected += folio.pages
        taken += folio.pages
        scanned += folio.pages - 1
        at = end
        if collected >= Self.collectedPagesLimit { break scan }
        continue
      }
      // The pages behind a head are looked at one by one, in vain.
      let rest = min(end, range.end)
      scanned += rest - at - 1
      at = rest
    }
    let end = min(at, range.end)
    traceScan(.isolateMigratePages, PFNRange(range.start, end), scanned: scanned, taken: taken)
    if taken > 0 { count(.compactIsolated, taken) }
    return MovableScan(end: end, refusal: refusal)
  }

  /// Collects the pages at the beginning of a part of one pageblock that are alike: of order 0, on an
  /// LRU list, and the scan takes them; the same as one by one.
  ///
  /// - Returns: How many; 0 also when the first one has to be looked at alone.
  private mutating func collectPlain(_ range: PFNRange, _ list: inout [PFN]) -> Int {
    guard range.count > 1 else { return 0 }
    let first = PFN(range.start)
    var state = frames.head(first)
    // A page that is locked in memory may be of a file.
    guard state.kind == .allocated, state.order == 0, state.isLRU,
      state.flags.isDisjoint(with: [.hugetlb, .unevictable, .locked])
    else { return 0 }
    let count = CollectLoop.collectable(range, frames.stateView(), folios.frames.view())
    if count < 2 { return 0 }
    let run = PFNRun(first, count: count)
    unlinkLRU(run, state)
    state.isLRU = false
    state.flags.insert(.isolated)
    state.flags.remove(.aged)
    frames.setHeads(run, state)
    folios.addReference(run)
    self.count(
      state.flags.contains(.swapBacked) ? .isolatedAnon : .isolatedFile, count, at: first)
    list.insert(contentsOf: (0..<count).lazy.map { run[count - 1 - $0] }, at: 0)
    return count
  }

  /// Whether the scan takes a folio of an LRU list (rule P5.12).
  ///
  /// An anonymous folio with more references than mappings would not move, so it is left alone,
  /// silently; a folio of a file, or of the swap cache, is taken and fails. An unevictable one of a
  /// file is locked for a moment, and left alone when it is of a guest_memfd.
  private func mayCollect(_ folio: Folio, _ state: FrameState) -> Bool {
    let isFile = folios.owner(folio).mapping.isFile || swapSlot(of: folio) != nil
    if !isFile { return folios.references(folio) <= folios.mappings(folio) }
    guard state.flags.contains(.unevictable) else { return true }
    return !state.flags.contains(.locked) && !isInaccessible(folio)
  }

  private enum HugeVacation {
    case isolated, dissolved, busy, refused
    case noMemory(Refusal)
  }

  /// Makes a huge page ready to leave: one in use comes off its list, a free one is replaced in its
  /// pool by another and dissolved (rule P5.13).
  ///
  /// Kernel: `isolate_or_dissolve_huge_page()`, mm/hugetlb.c.
  private mutating func vacateHugePage(_ folio: Folio) -> HugeVacation {
    if folio.order > geometry.maxOrder {
      return .noMemory(
        Refusal(
          .ENOMEM, "\(folio.head) starts a gigantic page, which is not moved", rule: "P5.13"))
    }
    if frames.head(folio.head).kind == .allocated {
      return isolateHugetlb(folio) ? .isolated : .busy
    }
    do throws(MemoryError) {
      return try replaceFreeHugePage(folio.head).map { .noMemory($0) } ?? .dissolved
    } catch {
      return .refused
    }
  }
}

enum CollectLoop {
  /// How many folios of order 0 at the beginning of a range are in the state of the first one, which
  /// is on an LRU list, and are of files, or have no more references than mappings.
  @inline(never)
  static func collectable(
    _ range: PFNRange, _ states: ArenaView<UInt32>, _ records: ArenaView<FrameCounts>
  ) -> Int {
    let state = states[range.start]
    var count = 0
    while count < range.count {
      let counts = records[range.start &+ count]
      let isFile = MappingID(rawValue: counts.mapping).isFile
      if states[range.start &+ count] != state
        || !isFile && counts.references > counts.mappings & FolioTable.mappingsMask
      {
        break
      }
      count &+= 1
    }
    return count
  }
}

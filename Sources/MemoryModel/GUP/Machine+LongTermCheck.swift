extension Machine {
  /// The classes of pageblocks on which a check refuses a long-term pin: bit ``FrameTable``'s
  /// `pinClass` is set for each.
  func refusals(_ check: PinningRules.Check) -> UInt16 { check.refusedClasses(hasCMA: hasCMA) }

  /// Whether a long-term pin may stay where this folio is; its head alone decides (rule P3.2).
  ///
  /// Kernel: `folio_is_longterm_pinnable()`, include/linux/mm.h.
  public func isLongTermPinnable(_ folio: Folio) -> Bool { unpinnableReason(folio.head) == nil }

  /// Why not, in words with the rule, or nil when it may.
  public func unpinnableReason(_ head: PFN) -> (reason: String, rule: String)? {
    if head == zeroPage {
      return kernel.pinning.zeroPageUnpinnable
        ? ("it is the page of zeros, which this kernel forgot", "P3.5") : nil
    }
    guard refusals(kernel.pinning.check) >> frames.pinClass(head) & 1 != 0 else { return nil }
    if hasCMA {
      switch frames.migrateType(head) {
      case .cma: return ("its pageblock is CMA", "P3.1")
      case .isolate: return ("its pageblock is isolated", "P3.3")
      case .movable where kernel.pinning.check.refusesMovableBlocks:
        return ("its pageblock is Movable", "P3.52")
      default: break
      }
    }
    return ("it lies in ZONE_MOVABLE", "P3.1")
  }
}

extension Machine {
  /// How many words from `position` on are pages of order 0 that may stay pinned.
  package mutating func countPinnable(at position: Int, count: Int) -> Int {
    // The page of zeros lies in an ordinary pageblock.
    if kernel.pinning.zeroPageUnpinnable { return 0 }
    return PinLoop.countAllowed(
      pinWords.words.view(), at: position, count: count, pinClasses(kernel.pinning.check))
  }

  /// How many runs of two words from `position` on are whole huge pages that may stay pinned, each
  /// another one than that before.
  package mutating func countPinnableLeaves(
    at position: Int, count: Int, previous: Folio?
  ) -> Int {
    guard geometry.pageblockOrder == 9 else { return 0 }
    return PinLoop.countAllowedLeaves(
      pinWords.words.view(), at: position, count: count, pinClasses(kernel.pinning.check),
      frames.blockStateView(), previous: previous.map { $0.head.index >> 9 } ?? -1)
  }

  /// Isolates pinned anonymous pages of order 0 that nobody else holds and that may not stay, as long
  /// as one follows the other in the words; the same as ``isolateLRU(_:)`` and
  /// ``countIsolated(_:_:)`` for each.
  ///
  /// - Parameter list: Gets them.
  /// - Returns: How many.
  package mutating func isolatePlain(at position: Int, count: Int, into list: inout [PFN]) -> Int {
    var done = 0
    while done < count {
      let run = PinLoop.isolatable(
        pinWords.words.view(), at: position + done, count: min(count - done, Self.isolatedTogether),
        pinClasses(kernel.pinning.check), frames.stateView(), folios.frames.view())
      if run.isEmpty { break }
      var left = run
      while !left.isEmpty {
        let piece = frames.zonePrefix(of: left)
        var state = frames.head(piece.first)
        unlinkLRU(piece, state)
        state.isLRU = false
        state.flags.insert(.isolated)
        state.flags.remove(.aged)
        frames.setHeads(piece, state)
        let item = state.flags.contains(.swapBacked) ? NodeItem.isolatedAnon : .isolatedFile
        self.count(item, piece.count, at: piece.first)
        left = left.dropFirst(piece.count)
      }
      folios.addReference(run)
      for index in 0..<run.count { list.append(run[index]) }
      done += run.count
    }
    return done
  }

  /// Takes a hugetlb page away from everybody else who would isolate it (rule P1.31).
  ///
  /// Kernel: `isolate_hugetlb()`, mm/hugetlb.c.
  package mutating func isolateHugetlb(_ folio: Folio) -> Bool {
    guard folios.references(folio) > 0, isolateHugePage(folio.head) else { return false }
    setFlags(folio.head, insert: .isolated)
    folios.addReferences(folio, 1)
    return true
  }

  /// Lets others isolate a hugetlb page again, and drops the reference of the isolation.
  ///
  /// Kernel: `folio_putback_active_hugetlb()`, mm/hugetlb.c.
  package mutating func putBackHugetlb(_ folio: Folio) {
    setFlags(folio.head, remove: .isolated)
    putBackHugePage(folio.head)
    putReferences(folio, 1)
  }

  /// Folios whose records, states and links fit into a cache of half a MiB: what goes over them several
  /// times goes piece by piece, which is half as long again over 80 million otherwise.
  package static let isolatedTogether = 1 << 13

  /// The folios at the beginning of a part of a list whose frames follow each other in one zone, all of
  /// order 0, alike in state, swap-backed, and still held by others when their isolation ends.
  private mutating func plainIsolated(_ list: ArraySlice<PFN>) -> PFNRun {
    let state = frames.head(list[list.startIndex])
    guard state.kind == .allocated, state.order == 0, !state.isLRU,
      state.flags.isSuperset(of: [.folio, .isolated, .swapBacked]),
      state.flags.isDisjoint(with: [.hugetlb, .mlocked, .unevictable])
    else { return PFNRun(list[list.startIndex], count: 1) }
    return frames.zonePrefix(
      of: MoveLoop.isolated(list, frames.stateView(), folios.frames.view()))
  }

  /// Puts isolated folios back where they came from (rule P1.32).
  ///
  /// Kernel: `putback_movable_pages()`, mm/migrate.c.
  package mutating func putBackMovable(_ list: [PFN]) { putBackMovable(list[...]) }

  package mutating func putBackMovable(_ list: ArraySlice<PFN>) {
    var position = list.startIndex
    while position < list.endIndex {
      // The list of an interrupted pin of 300 GiB has 80 million folios.
      let run = plainIsolated(
        list[position..<min(position + Self.isolatedTogether, list.endIndex)])
      if run.count > 1 {
        count(.isolatedAnon, -run.count, at: run.first)
        queueAgain(run)
        position += run.count
        continue
      }
      let head = list[position]
      position += 1
      guard let folio = folio(of: head) else { continue }
      if frames.head(head).flags.contains(.hugetlb) {
        putBackHugetlb(folio)
        continue
      }
      countIsolated(folio, -1)
      putBackLRU(folio)
    }
  }
}

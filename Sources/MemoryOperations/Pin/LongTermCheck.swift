internal import MemoryModel

// Invariant: while it collects, the pages are pinned; from its first unpin on, none of them is.
// Isolated folios are on `list` (or, with inverted isolation, lost on purpose).

/// Looks whether pinned pages may stay, and moves those that may not (rules P3.40 to P3.55).
///
/// Kernel: `check_and_migrate_movable_pages()`, mm/gup.c.
struct LongTermCheck: Hashable, Sendable {
  enum Result: Hashable, Sendable {
    /// All may stay, or may not but stay all the same (older kernels); they are pinned.
    case stay
    /// All were unpinned; pin again.
    case again
    /// All were unpinned, and one could not move.
    case failed(stuck: [PFN])
  }

  private enum Phase: Hashable, Sendable {
    case collect, isolate(Folio, page: PFN), unpin, migrate, putBack, done
  }

  private var phase = Phase.collect
  private(set) var result: Result?
  private(set) var collected = 0
  private(set) var isolated = 0
  private var list: [PFN] = []
  private var hasHugetlb = false
  private var migration: Migration?
  /// The next word, and the entry within its run.
  private var position: Int
  private var offset = 0
  /// Entries that a compound step skips.
  private var skipping = 0
  private var previous: Folio?
  private var drained = 0
  private let words: Range<Int>
  private let flags: GUPFlags

  init(_ words: Range<Int>, _ flags: GUPFlags) {
    self.words = words
    self.flags = flags
    position = words.lowerBound
  }

  /// The words whose pages are pinned still.
  var held: Range<Int> {
    switch phase {
    case .collect, .isolate: words
    case .unpin: position..<words.upperBound
    case .migrate, .putBack, .done: words.upperBound..<words.upperBound
    }
  }

  var firstWord: Int { words.lowerBound }

  mutating func advance(
    _ machine: inout Machine, _ pace: Pace, _ costs: inout OperationCosts
  ) {
    switch phase {
    case .collect:
      collect(&machine, pace, &costs)
    case .isolate(let folio, let page):
      isolate(&machine, folio, page, &costs)
      phase = .collect
    case .unpin:
      position = unpinRound(&machine, from: position, pace == .step ? 1 : 1 << 18, &costs)
      if position == words.upperBound { endUnpin(machine) }
    case .migrate:
      if migration?.advance(&machine, pace) == .finished { phase = .putBack }
    case .putBack: putBack(&machine, &costs)
    case .done: break
    }
  }

  /// What the migration below is about to do.
  func nextStep(_ machine: borrowing Machine) -> Step {
    switch phase {
    case .collect:
      return Step(
        "g4", "collect_longterm_unpinnable_folios", "test whether the next folio may stay pinned")
    case .isolate(let folio, _):
      return Step("g6", "folio_isolate_lru", "test and clear the LRU flag of \(folio.head)")
    case .unpin:
      return Step("g8", "unpin_folio", "drop the pins of the next entry of the output")
    case .migrate:
      return migration?.nextStep(machine) ?? Step("g9", "migrate_pages", "migrate")
    case .putBack, .done:
      return Step("g10", "putback_movable_pages", "put back what did not move, then start over")
    }
  }

  // MARK: Collecting

  private mutating func collect(
    _ machine: inout Machine, _ pace: Pace, _ costs: inout OperationCosts
  ) {
    let end = min(words.upperBound, position + (pace == .step ? 1 : 1 << 18))
    while position < end {
      if offset == 0 && skipping == 0 {
        let plain = machine.countPinnable(at: position, count: end - position)
        if plain > 0 {
          costs.rescanReads += plain
          costs.lookups += plain
          position += plain
          previous = nil
          continue
        }
        if passLeaves(&machine, pace, limit: (end - position) >> 1, &costs) { continue }
        let moved = isolatePlain(&machine, pace, limit: end - position, &costs)
        if moved > 0 { continue }
      }
      let (first, pages, next) = machine.pinnedRun(at: position)
      if machine.kernel.pinning.goesByFrames {
        // A run belongs to one folio, and the kernel skips by frame number.
        costs.rescanReads += pages
        position = next
        if let previous, previous.contains(first), pages > 1 || previous.order > 0 { continue }
        if look(&machine, first, &costs) { return }
      } else {
        if visit(&machine, first, pages, next, &costs) { return }
      }
    }
    if position >= words.upperBound { endCollect() }
  }

  /// Passes over whole huge pages that may stay, as a slice may.
  private mutating func passLeaves(
    _ machine: inout Machine, _ pace: Pace, limit: Int, _ costs: inout OperationCosts
  ) -> Bool {
    guard pace == .slice, machine.kernel.pinning.goesByFrames else { return false }
    let leaves = machine.countPinnableLeaves(at: position, count: limit, previous: previous)
    if leaves == 0 { return false }
    costs.rescanReads += leaves << 9
    costs.lookups += leaves
    position += 2 * leaves
    previous = Folio(machine.pinnedRun(at: position - 2).first, order: 9)
    return true
  }

  /// Judges and isolates pages of order 0 that need no drain, as a slice may.
  ///
  /// - Returns: How many.
  private mutating func isolatePlain(
    _ machine: inout Machine, _ pace: Pace, limit: Int, _ costs: inout OperationCosts
  ) -> Int {
    let rules = machine.kernel.pinning
    guard pace == .slice, rules.isolatesTogether, flags.contains(.pin) else {
      return 0
    }
    // The list may become as long as the output; growing it by copies would stop a slice.
    if list.isEmpty { list.reserveCapacity(words.upperBound - position) }
    let count = machine.isolatePlain(at: position, count: limit, into: &list)
    guard count > 0, let last = list.last else { return 0 }
    costs.rescanReads += count
    costs.lookups += count
    collected += count
    isolated += count
    position += count
    previous = Folio(last, order: 0)
    return count
  }

  /// One entry, for kernels that go entry by entry (rule P3.44).
  ///
  /// - Returns: Whether a folio waits to be isolated.
  private mutating func visit(
    _ machine: inout Machine, _ first: PFN, _ pages: Int, _ next: Int,
    _ costs: inout OperationCosts
  ) -> Bool {
    if skipping > 0 {
      let step = min(skipping, pages - offset)
      skipping -= step
      offset += step
    } else {
      let page = first + offset
      costs.rescanReads += 1
      offset += 1
      let folio = machine.folio(of: page) ?? Folio(page, order: 0)
      let isSameHead = machine.kernel.pinning.comparesHeads && previous == folio
      if machine.kernel.pinning.stepsOverCompounds && folio.order > 0 {
        skipping = folio.pages - (page.index - folio.head.index) - 1
      }
      if !isSameHead {
        if offset == pages {
          offset = 0
          position = next
        }
        return look(&machine, page, &costs)
      }
    }
    if offset == pages {
      offset = 0
      position = next
    }
    return false
  }

  /// Judges the folio of a page.
  ///
  /// - Returns: Whether it waits to be isolated.
  private mutating func look(
    _ machine: inout Machine, _ page: PFN, _ costs: inout OperationCosts
  ) -> Bool {
    costs.lookups += 1
    let folio = machine.folio(of: page) ?? Folio(page, order: 0)
    previous = folio
    if machine.isLongTermPinnable(folio) { return false }
    if folio.order > 0 && machine.kernel.pinning.leavesCompounds { return false }
    collected += 1
    phase = .isolate(folio, page: page)
    return true
  }

  private mutating func isolate(
    _ machine: inout Machine, _ folio: Folio, _ page: PFN, _ costs: inout OperationCosts
  ) {
    if machine.frames.head(folio.head).flags.contains(.hugetlb) {
      if machine.kernel.pinning.isolatesPageAsFound && page != folio.head { return }
      if machine.isolateHugetlb(folio) {
        list.append(folio.head)
        isolated += 1
        hasHugetlb = true
      }
      return
    }
    drain(&machine, folio, &costs)
    let succeeded = machine.isolateLRU(folio)
    if succeeded { machine.countIsolated(folio, 1) }
    if machine.kernel.pinning.isolateInverted {
      listInverted(&machine, folio, succeeded)
      return
    }
    if succeeded {
      list.append(folio.head)
      isolated += 1
    }
  }

  /// The test was the wrong way round: what was isolated is lost, and what could not be isolated is listed,
  /// whoever has it (rule P3.46).
  private mutating func listInverted(
    _ machine: inout Machine, _ folio: Folio, _ succeeded: Bool
  ) {
    if succeeded {
      machine.lostIsolations.append(folio.head)
    } else if let lost = machine.lostIsolations.firstIndex(of: folio.head) {
      machine.lostIsolations.remove(at: lost)
      list.append(folio.head)
    } else if machine.frames.head(folio.head).flags.contains(.isolated) {
      machine.noteViolation(
        "I4: the folio at \(folio.head) is linked into a second isolation list (rule P3.46)")
      // What another pin has listed moves once in the model; the kernel's lists are corrupt by now.
      let isHeld = machine.temporaryReferences.contains {
        $0.isIsolation && folio.contains($0.page)
      }
      if isHeld { list.append(folio.head) }
    }
  }

  /// Rules P3.41c, P3.45.
  private mutating func drain(
    _ machine: inout Machine, _ folio: Folio, _ costs: inout OperationCosts
  ) {
    let rules = machine.kernel.pinning
    if rules.drainsHere {
      machine.drainLRU(cpu: machine.currentCPU)
      costs.localDrains += 1
    } else if rules.drainsAllIfNotLRU {
      if drained == 0 && !machine.frames.head(folio.head).isLRU {
        machine.drainAllLRU()
        costs.fullDrains += 1
        drained = 1
      }
    } else {
      guard folio.order == 0 else { return }
      let expected =
        machine.expectedReferences(folio) + rules.referencesOfPin(isCounted: flags.contains(.pin))
      if drained == 0 && machine.references(folio) != expected {
        machine.drainLRU(cpu: machine.currentCPU)
        costs.localDrains += 1
        drained = 1
      }
      if drained == 1 && machine.references(folio) != expected {
        machine.drainAllLRU()
        costs.fullDrains += 1
        drained = 2
      }
    }
  }

  /// Page by page, but for 5.13 to 6.0 (rule P8.3).
  private func unpinRound(
    _ machine: inout Machine, from position: Int, _ limit: Int, _ costs: inout OperationCosts
  ) -> Int {
    machine.unpin(
      position..<words.upperBound, flags, limit: limit,
      batched: machine.kernel.pinning.batchedRoundUnpin, dirty: false, &costs)
  }

  // MARK: After collecting

  private mutating func endCollect() {
    if collected == 0 {
      result = .stay
      phase = .done
    } else {
      position = words.lowerBound
      phase = .unpin
    }
  }

  /// Rules P3.47, P3.50: nothing could be isolated, so all is well, these kernels say.
  mutating func staysIfNothingIsolated(_ machine: borrowing Machine) -> Bool {
    guard case .unpin = phase, position == words.lowerBound, list.isEmpty,
      machine.kernel.pinning.staysIfNothingIsolated
    else { return false }
    result = .stay
    phase = .done
    return true
  }

  private mutating func endUnpin(_ machine: borrowing Machine) {
    if list.isEmpty {
      result = .again
      phase = .done
      return
    }
    migration = Migration(
      list,
      MigrationTarget(
        gfp: machine.kernel.pinning.destinationFlags,
        reason: machine.kernel.pinning.migrationReason,
        inPinScope: true), .sync, hasHugetlb: hasHugetlb)
    list = []
    phase = .migrate
  }

  private mutating func putBack(_ machine: inout Machine, _ costs: inout OperationCosts) {
    guard let work = migration, let outcome = work.outcome else { return }
    costs.migratedPages += outcome.counts.succeeded
    migration = nil
    let remaining = work.remaining
    machine.putBackMovable(remaining)
    result = outcome.result == 0 ? .again : .failed(stuck: remaining)
    phase = .done
  }

  /// Ends it early, after a fatal signal: nothing stays pinned or isolated.
  mutating func interrupt(_ machine: inout Machine, _ costs: inout OperationCosts) {
    switch phase {
    case _ where result == .stay: unpinAll(&machine, &costs)
    case .collect, .isolate: giveBack(&machine, from: words.lowerBound, &costs)
    case .unpin: giveBack(&machine, from: position, &costs)
    case .migrate, .putBack:
      guard var work = migration else { return }
      migration = nil
      if work.outcome == nil { work.interrupt(&machine) }
      costs.migratedPages += work.outcome?.counts.succeeded ?? 0
      machine.putBackMovable(work.unmoved)
      phase = .done
    case .done: break
    }
  }

  private func unpinAll(_ machine: inout Machine, _ costs: inout OperationCosts) {
    _ = machine.unpin(
      words, flags, limit: .max >> 1, batched: false, dirty: false, &costs)
  }

  /// Puts back what is on the list, and unpins the words that are pinned still.
  ///
  /// Piece by piece of both, because the records of a piece stay in the caches.
  private func giveBack(
    _ machine: inout Machine, from first: Int, _ costs: inout OperationCosts
  ) {
    let piece = Machine.isolatedTogether
    // Folios of words that are unpinned already stand in front.
    var listed = min(first - words.lowerBound, list.count)
    machine.putBackMovable(list[..<listed])
    var position = first
    while position < words.upperBound {
      let end = min(listed + piece, list.count)
      machine.putBackMovable(list[listed..<end])
      listed = end
      position = unpinRound(&machine, from: position, piece, &costs)
    }
    machine.putBackMovable(list[listed...])
  }
}

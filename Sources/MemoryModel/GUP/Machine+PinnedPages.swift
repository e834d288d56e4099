/// Pages that follow each other in a pin, all of one folio, or one page of order 0.
public struct PinnedRun: Sendable, Equatable {
  public let first: PFN
  public let pages: Int
}

extension Machine {
  /// The pages of a pin in order, as runs: one a page for order-0 folios.
  public func pinnedRuns(_ record: PinRecord) -> [PinnedRun] {
    var runs: [PinnedRun] = []
    forEachRun(record.words) { first, pages in runs.append(PinnedRun(first: first, pages: pages)) }
    return runs
  }

  /// Calls `body` with the first frame and the length of each run of a pin, in order.
  public func forEachRun(_ record: PinRecord, _ body: (PFN, Int) -> Void) {
    forEachRun(record.words, body)
  }

  /// Notes the form in which the caller keeps the pages.
  package mutating func setOutput(_ id: Int, _ output: String) {
    if let index = pinIndex(id) { pins[index].output = output }
  }

  package func forEachRun(_ words: Range<Int>, _ body: (PFN, Int) -> Void) {
    var position = words.lowerBound
    while position < words.upperBound {
      let (first, pages, next) = pinnedRun(at: position)
      body(first, pages)
      position = next
    }
  }

  /// The run at a word, and the word behind it.
  package func pinnedRun(at position: Int) -> (first: PFN, pages: Int, next: Int) {
    let word = pinWords.words[position]
    if word & PinWords.runBit == 0 { return (PFN(word), 1, position + 1) }
    return (
      PFN(pinWords.words[position + 1]), Int(word & ~PinWords.runBit), position + 2
    )
  }

  /// How many runs of neighbouring frames some words hold: records of a scatter list without a limit for
  /// the length of one.
  package func scatterRecords(_ words: Range<Int>) -> Int {
    var records = 0
    var end = -1
    forEachRun(words) { first, pages in
      if first.index != end { records += 1 }
      end = first.index + pages
    }
    return records
  }

  /// The pins that hold a folio, with how many of its pages each holds.
  public func pinsHolding(_ folio: Folio) -> [(pin: PinRecord, pages: Int)] {
    pins.compactMap { record in
      var held = 0
      forEachRun(record.words) { first, pages in
        let start = max(first.index, folio.head.index)
        let end = min(first.index + pages, folio.head.index + folio.pages)
        if start < end { held += record.isPerFolio ? 1 : end - start }
      }
      return held == 0 ? nil : (record, held)
    }
  }

  // MARK: Records

  /// A record with room for the pages of one more call, or nil when the model has none.
  package mutating func addPin(
    space: Int, startPage: Int, room: Int, _ flags: GUPFlags, holder: String
  ) -> Int? {
    guard let words = pinWords.reserve(room) else { return nil }
    lastPin += 1
    pins.append(
      PinRecord(
        id: lastPin, space: space, startPage: startPage, isLongTerm: flags.contains(.longTerm),
        isWrite: flags.contains(.write), isGet: flags.contains(.get),
        holder: holder.isEmpty ? "pin #\(lastPin)" : holder, operation: operation, words: words))
    return lastPin
  }

  /// The pins of calls that are over: only these can be given back.
  public var heldPins: [PinRecord] { pins.filter { $0.pages > 0 } }

  package func pinIndex(_ id: Int) -> Int? { pins.firstIndex { $0.id == id } }

  public func pin(_ id: Int) -> PinRecord? { pinIndex(id).map { pins[$0] } }

  /// Says how many words of a record's room were filled, and gives the rest back.
  package mutating func closePin(_ id: Int, _ cursor: PinCursor) {
    guard let index = pinIndex(id) else { return }
    let words = pins[index].words
    pinWords.release(max(cursor.position, words.lowerBound)..<words.upperBound)
    pins[index].words = words.lowerBound..<cursor.position
    pins[index].pages = cursor.pages
  }

  /// Notes what came of the call that took a pin.
  package mutating func describePin(
    _ id: Int, requested: Int, isFast: Bool, _ costs: OperationCosts, shortfall: Refusal?
  ) {
    guard let index = pinIndex(id) else { return }
    pins[index].requested = requested
    pins[index].isFast = isFast
    pins[index].costs = costs
    pins[index].shortfall = shortfall
  }

  /// Notes what the driver's calls cost that hold a pin.
  package mutating func setPinCosts(_ id: Int, _ costs: OperationCosts) {
    if let index = pinIndex(id) { pins[index].costs = costs }
  }

  /// Forgets a record whose pages are all given back.
  package mutating func removePin(_ id: Int) {
    guard let index = pinIndex(id) else { return }
    pinWords.release(pins[index].words)
    pins.remove(at: index)
  }

  // MARK: Unpinning

  /// Gives back the pages of some words, from the first on, at most `limit` words.
  ///
  /// Kernel: `unpin_user_pages()`, mm/gup.c (rule P3.80).
  ///
  /// - Parameter batched: One update for consecutive pages of a folio; the long-term check's own
  ///   unpinning goes page by page (rule P8.3).
  /// - Parameter perFolio: Each run stands for one pin, see ``PinRecord/isPerFolio``.
  /// - Returns: The word behind the last one done.
  package mutating func unpin(
    _ words: Range<Int>, _ flags: GUPFlags, limit: Int, batched: Bool, dirty: Bool,
    perFolio: Bool = false, _ costs: inout OperationCosts
  ) -> Int {
    let isPin = flags.contains(.pin)
    let bias = isPin ? UInt32(FolioTable.pinBias) : 1
    let end = min(words.upperBound, words.lowerBound + limit)
    var position = words.lowerBound
    while position < end {
      if !dirty, !isNoting {
        let done = PinLoop.drop(
          folios.frames.view(), pinWords.words.view(), at: position, count: end - position, bias)
        if isPin { countPins(.pinReleased, position..<position + done) }
        costs.unpinAtomics += done
        position += done
        if position == end { break }
        let leaves =
          perFolio ? 0 : dropLeaves(at: position, count: (end - position) >> 1, isPin: isPin)
        if leaves > 0 {
          costs.unpinAtomics += (isPin ? 2 : 1) * (batched ? leaves : leaves << 9)
          position += 2 * leaves
          continue
        }
      }
      let (first, run, next) = pinnedRun(at: position)
      let pages = perFolio ? 1 : run
      position = next
      if first == zeroPage { continue }
      guard let folio = folio(of: first) else { continue }
      if dirty { setFlags(folio.head, insert: .dirty) }
      drop(folio, pages, flags)
      let each = isPin && folio.order > 0 ? 2 : 1
      costs.unpinAtomics += each * (batched ? 1 : pages)
    }
    return position
  }

  /// Gives back the next pages of a record, at most `limit` words: they are no part of it any more.
  ///
  /// - Returns: Whether it holds nothing now; ``removePin(_:)`` is left to do.
  package mutating func unpinNext(
    _ id: Int, limit: Int, batched: Bool, dirty: Bool, _ costs: inout OperationCosts
  ) -> Bool {
    guard let index = pinIndex(id) else { return true }
    let record = pins[index]
    let position = unpin(
      record.words, record.isGet ? .get : .pin, limit: limit, batched: batched, dirty: dirty,
      perFolio: record.isPerFolio, &costs)
    pinWords.release(record.words.lowerBound..<position)
    pins[index].words = position..<record.words.upperBound
    pins[index].isGivingBack = true
    return position == record.words.upperBound
  }

  /// Drops the pins of runs that are whole huge pages, as long as others hold them, too.
  ///
  /// - Returns: How many runs.
  private mutating func dropLeaves(at position: Int, count: Int, isPin: Bool) -> Int {
    guard geometry.pageblockOrder == 9, !isNoting else { return 0 }
    let done = PinLoop.dropLeaves(
      folios.large.view(), pinWords.words.view(), at: position, count: count,
      frames.blockStateView(), isPin: isPin)
    if isPin { countLeafPins(.pinReleased, position, leaves: done) }
    return done
  }
}

extension Machine {
  /// Drops pins of a folio beside its record, for one that keeps a pin a folio.
  package mutating func dropPins(of folio: Folio, _ pages: Int, _ record: PinRecord) {
    drop(folio, pages, record.isGet ? .get : .pin)
  }

  /// From now on a record has a run for each folio, and each run stands for one pin.
  ///
  /// - Parameter parts: Its pages, joined folio by folio.
  package mutating func keepOnePinAFolio(_ id: Int, _ parts: [(first: PFN, pages: Int)]) {
    guard let index = pinIndex(id) else { return }
    // A part has no more words than the runs that it joins.
    let words = pins[index].words
    var position = words.lowerBound
    for part in parts {
      if part.pages > 1 {
        pinWords.words[position] = PinWords.runBit | UInt32(part.pages)
        position += 1
      }
      pinWords.words[position] = part.first.rawValue
      position += 1
    }
    pinWords.release(position..<words.upperBound)
    pins[index].words = words.lowerBound..<position
    pins[index].keepsOnePinAFolio = true
  }

  /// Pins that were taken and given back at once.
  package mutating func countForgottenPins(_ count: Int, at pfn: PFN) {
    self.count(.pinAcquired, count, at: pfn)
    self.count(.pinReleased, count, at: pfn)
  }

  package func pinWords(_ id: Int) -> Range<Int> { pin(id)?.words ?? 0..<0 }

  /// Kernel: `mm_set_has_pinned_flag()`.
  package mutating func markPinned(_ space: Int) { spaces[space].hasPinned = true }

  /// Takes mmap_lock for reading; false while somebody writes.
  package mutating func lockForReading(_ space: Int) -> Bool {
    if spaces[space].mmapLock < 0 { return false }
    spaces[space].mmapLock += 1
    return true
  }

  package mutating func unlockAfterReading(_ space: Int) {
    spaces[space].mmapLock -= 1
  }
}

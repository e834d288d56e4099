// Invariant: the state after ``Machine/faultRange(_:_:_:inPinScope:writes:)`` is the state after as
// many single faults, byte for byte: allocations, LRU batches and counters come in the same order.

/// How far a run of faults came.
public struct FaultRun: Sendable, Equatable {
  /// Pages of the range, from its start, that are mapped now.
  public package(set) var done: Int
  /// Faults that were taken; one maps up to 512 pages.
  public package(set) var faults = 0
  /// The page of the last fault, counted from the start of the range.
  package var last = 0
  /// Why it ended early.
  public package(set) var refusal: Refusal?
  /// The folio of the migration entry that it ended at.
  public package(set) var waitsFor: PFN?
}

extension Machine {
  /// Faults every page of a range that the access needs a fault for, ascending.
  ///
  /// It ends early behind the fault in which the OOM killer chose the process; what a fatal signal
  /// means is the caller's to say.
  ///
  /// Kernel: `populate_vma_page_range()`, or a loop over the addresses.
  ///
  /// - Parameter writes: The access really writes (rule P4.21).
  /// - Parameter isLarge: Part of a population of GiBs, for which huge pages under the model's own
  ///   tables pay.
  package mutating func faultRange(
    _ space: Int, _ pages: Range<Int>, _ access: FaultAccess, inPinScope: Bool = false,
    writes: Bool = false, isLarge: Bool = false
  ) -> FaultRun {
    let outer = enterTask(space)
    defer { leaveTask(outer) }
    var run = FaultRun(done: 0)
    var page = pages.lowerBound
    while page < pages.upperBound {
      if spaces[space].isKilled, run.faults > 0 || page > pages.lowerBound {
        run.done = page - pages.lowerBound
        return run
      }
      // The fault of the page after the leaves that were filled, if it has begun.
      var begun: PageFault?
      if spaces[space].isAlive, let index = spaces[space].areaIndex(page) {
        let end = min(spaces[space].areas[index].end, pages.upperBound)
        let next = skipPresent(space, index, page..<end, access, writes: writes)
        if next > page {
          page = next
          run.done = page - pages.lowerBound
          continue
        }
        let hasTable = pageTables.slot(spaces[space].root, page: page, level: .pte) != nil
        var filled = 0
        if hasTable {
          filled = fillEmpty(
            space, index, page..<end, access, inPinScope: inPinScope, writes: writes,
            isLarge: isLarge, &run)
          if filled == 0, run.refusal == nil {
            filled = fillShmem(
              space, spaces[space].areas[index], page..<end, access, inPinScope: inPinScope,
              writes: writes, isLarge: isLarge, &run)
          }
        } else {
          filled = fillLeaves(
            space, index, page..<end, access, inPinScope: inPinScope, writes: writes, &begun, &run)
        }
        page += filled
        run.done = page - pages.lowerBound
        // Of pages that were filled together, the last one alone may have cost the process its life.
        run.last = max(0, run.done - (hasTable ? 1 : 512))
        if run.refusal != nil { return run }
        if filled > 0, begun == nil { continue }
      }
      run.last = page - pages.lowerBound
      var fault: PageFault
      if let begun {
        fault = begun
      } else {
        fault = PageFault(space, page: page, access, inPinScope: inPinScope, writes: writes)
        run.faults += 1
      }
      while true {
        let progress = advance(&fault)
        if progress == .running { continue }
        if case .waiting(let head) = progress {
          run.waitsFor = head
          return run
        }
        break
      }
      if case .refused(let refusal) = fault.result {
        run.refusal = refusal
        return run
      }
    }
    run.done = pages.count
    return run
  }

  /// Makes the access to the pages at the start of `pages` that need no fault.
  ///
  /// - Returns: The first page that needs one; `pages.upperBound` when there is none.
  package mutating func accessPresent(
    _ space: Int, _ pages: Range<Int>, _ access: FaultAccess, writes: Bool
  ) -> Int {
    var page = pages.lowerBound
    while page < pages.upperBound {
      guard spaces[space].isAlive, let index = spaces[space].areaIndex(page) else { return page }
      let end = min(spaces[space].areas[index].end, pages.upperBound)
      page = skipPresent(space, index, page..<end, access, writes: writes)
      if page < end { return page }
    }
    return pages.upperBound
  }

  /// The first page from the start of `pages` that needs a fault.
  private mutating func skipPresent(
    _ space: Int, _ index: Int, _ pages: Range<Int>, _ access: FaultAccess, writes: Bool
  ) -> Int {
    let isOwn = access == .unshare && spaces[space].areas[index].isCopyOnWrite
    var page = pages.lowerBound
    while page < pages.upperBound {
      let (entry, slot, level) = pageTables.leaf(spaces[space].root, page: page)
      guard entry.isPresent, access != .write || entry.flags.contains(.write),
        !isOwn || entry.flags.contains(.exclusive)
      else { return page }
      // What the processor does on an access.
      pageTables[slot].flags.insert(access == .write ? [.young, .dirty] : .young)
      if writes { markWritten(entry.pfn) }
      page = (page & ~((1 << level.order) - 1)) + 1 << level.order
    }
    return pages.upperBound
  }

  /// ``fillEmpty(_:_:_:_:inPinScope:writes:_:)`` for as many entries of the table as come from lists
  /// at hand, with all flushes of the batch in between.
  ///
  /// Allocations run ahead of the flushes: those free nothing, and no allocation asks which pages
  /// are on an LRU list (``allocatePlainRuns(count:gfp:inPinScope:into:)``).
  private mutating func fillRuns(
    _ space: Int, _ region: Int, _ first: Int, slot: Int, count limit: Int, _ state: FrameState,
    inPinScope: Bool, isLarge: Bool
  ) -> Int {
    let wanted = pageTables.countNone(from: slot, limit: limit)
    guard wanted > 1, mayQueueRuns else { return 0 }
    var runs: [PFNRun] = []
    let count = allocatePlainRuns(
      count: wanted, gfp: .zeroedUserPage, inPinScope: inPinScope, into: &runs)
    if count == 0 { return 0 }
    var filled = 0
    for run in runs {
      if isLarge { expectDenseFolios(around: run) }
      pageTables.show(run, from: slot + filled, .newAnonymous)
      filled += run.count
      var left = run
      while !left.isEmpty {
        let piece = frames.zonePrefix(of: left)
        self.count(.anonMapped, piece.count, at: piece.first)
        left = left.dropFirst(piece.count)
      }
    }
    queueNew(
      runs, state, .anonymous(region), index: first - regions[region].base, references: 1)
    return count
  }

  /// Fills empty entries of one existing PTE table with new anonymous pages, as write faults would,
  /// up to the next flush of the LRU batch; the number of pages filled, 0 when this is no such case.
  ///
  /// The batch's flush may free pages, so allocations never run ahead of it.
  private mutating func fillEmpty(
    _ space: Int, _ index: Int, _ pages: Range<Int>, _ access: FaultAccess, inPinScope: Bool,
    writes: Bool, isLarge: Bool, _ run: inout FaultRun
  ) -> Int {
    let area = spaces[space].areas[index]
    guard access == .write, area.backing == .anonymous, let region = area.region,
      area.flags.contains(.write), !area.flags.contains(.locked), lruDisableCount == 0,
      failAllocation == 0,
      let first = pageTables.slot(spaces[space].root, page: pages.lowerBound, level: .pte)
    else { return 0 }
    let batch = currentCPU * LRUBatchKind.count + LRUBatchKind.add.rawValue
    var limit = min(pages.count, 512 - pages.lowerBound & 511)
    limit = min(limit, lruBatchCapacity - lruBatches[batch].count)
    // The hint is followed page by page, so no run has one answer.
    if area.flags.contains(.mightPin), !inPinScope { return 0 }
    let scoped = inPinScope || isAdvisedScope(area, page: pages.lowerBound)
    let base = regions[region].base
    var state = FrameState(.allocated, order: 0)
    state.owner = UInt8(ascii: "A")
    state.flags = newFolioFlags.union(
      writes ? [.folio, .swapBacked, .written] : [.folio, .swapBacked])
    let inTable = min(pages.count, 512 - pages.lowerBound & 511)
    var filled = fillRuns(
      space, region, pages.lowerBound, slot: first, count: inTable, state, inPinScope: scoped,
      isLarge: isLarge)
    if filled > 0 {
      count(.pgfault, filled)
      run.faults += filled
      spaces[space].anonymousPages += filled
      return filled
    }
    while filled < limit, pageTables[first + filled].isNone {
      guard
        let pfn = allocatePages(order: 0, gfp: .zeroedUserPage, inPinScope: scoped).pfn
      else {
        var fault = PageFault(space, page: pages.lowerBound + filled, access)
        refuseMemory(&fault, "the page")
        if case .refused(let refusal) = fault.result { run.refusal = refusal }
        break
      }
      // What a pin faults in comes out of one pageblock after the other.
      if isLarge, filled == 0 { expectDenseFolios(around: PFNRun(pfn, count: 1)) }
      frames.setHead(pfn, state)
      folios.startMapped(
        pfn, .anonymous(region), index: pages.lowerBound + filled - base, references: 2)
      pageTables[first + filled] = PageTableEntry(pfn, .newAnonymous)
      count(.anonMapped, 1, at: pfn)
      let waiting = lruBatches[batch].count
      lruBatches[batch].pages[waiting] = pfn
      lruBatches[batch].count = waiting + 1
      filled += 1
      // At once: the next allocation may ask who has most.
      spaces[space].anonymousPages += 1
      if spaces[space].isKilled { break }
    }
    let faults = filled + (run.refusal == nil ? 0 : 1)
    count(.pgfault, faults)
    run.faults += faults
    if lruBatches[batch].count >= lruBatchCapacity { flush(batch, .add) }
    return filled
  }

  /// Fills empty entries of one existing PMD table with new huge pages, as write faults would.
  ///
  /// - Parameter begun: Gets the fault for which there was no huge page, or no page table.
  /// - Returns: How many pages; 0 when this is no such case.
  private mutating func fillLeaves(
    _ space: Int, _ index: Int, _ pages: Range<Int>, _ access: FaultAccess, inPinScope: Bool,
    writes: Bool, _ begun: inout PageFault?, _ run: inout FaultRun
  ) -> Int {
    let area = spaces[space].areas[index]
    guard access == .write, area.backing == .anonymous, let region = area.region,
      area.flags.contains(.write), !area.flags.contains(.locked), pages.lowerBound & 511 == 0,
      geometry.pageblockOrder == 9, !area.flags.contains(.mightPin) || inPinScope,
      mayHaveHugePage(area, pages.lowerBound),
      let first = pageTables.slot(spaces[space].root, page: pages.lowerBound, level: .pmd)
    else { return 0 }
    let scoped = inPinScope || isAdvisedScope(area, page: pages.lowerBound)
    let isAdvised = area.flags.contains(.hugePage)
    let base = regions[region].base
    let flags = newFolioFlags.union(
      writes ? [.folio, .swapBacked, .written] : [.folio, .swapBacked])
    let limit = min(pages.count >> 9, 512 - pages.lowerBound >> 9 & 511)
    var filled = 0
    while filled < limit, pageTables[first + filled].isNone, !spaces[space].isKilled {
      let page = pages.lowerBound + filled << 9
      count(.pgfault, 1)
      run.faults += 1
      guard let head = allocateHugePage(isAdvised: isAdvised, inPinScope: scoped) else {
        count(.thpFaultFallback, 1)
        var fault = PageFault(space, page: page, access, inPinScope: inPinScope, writes: writes)
        startSmallPage(&fault, area, index)
        begun = fault
        break
      }
      let folio = Folio(head, order: 9)
      guard let table = allocateTableFrame() else {
        makeFolio(folio, .none, index: 0, owner: UInt8(ascii: "A"), [])
        putReferences(folio, 1)
        var fault = PageFault(space, page: page, access, inPinScope: inPinScope, writes: writes)
        refuseMemory(&fault, "a page table")
        begun = fault
        break
      }
      makeFolio(folio, .anonymous(region), index: page - base, owner: UInt8(ascii: "A"), flags)
      addEntireMapping(folio, 1)
      depositTable(table, slot: first + filled)
      count(.thpFaultAlloc, 1)
      pageTables[first + filled] = PageTableEntry(
        head, PageTableEntry.Flags.newAnonymous.union(.leaf))
      spaces[space].anonymousPages += 512
      queue(folio, .add)
      filled += 1
    }
    return filled << 9
  }
}

extension PageTableEntry.Flags {
  /// Of a page that a write fault has just made.
  static let newAnonymous: Self = [.present, .write, .dirty, .young, .exclusive]
}

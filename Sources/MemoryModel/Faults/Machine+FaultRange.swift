// Invariant: the state after ``Machine/faultRange(_:_:_:inPinScope:writes:)`` is the state after as
// many single faults, byte for byte: allocations, LRU batches and counters come in the same order.

/// How far a run of faults came.
public struct FaultRun: Sendable, Equatable {
  /// Pages of the range, from its start, that are mapped now.
  public package(set) var done: Int
  /// Faults that were taken; one maps up to 512 pages.
  public package(set) var faults = 0
  /// Why it ended early.
  public package(set) var refusal: Refusal?
  /// The folio of the migration entry that it ended at.
  public package(set) var waitsFor: PFN?
}

extension Machine {
  /// Faults every page of a range that the access needs a fault for, ascending.
  ///
  /// Kernel: `populate_vma_page_range()`, or a loop over the addresses.
  ///
  /// - Parameter writes: The access really writes (rule P4.21).
  package mutating func faultRange(
    _ space: Int, _ pages: Range<Int>, _ access: FaultAccess, inPinScope: Bool = false,
    writes: Bool = false
  ) -> FaultRun {
    var run = FaultRun(done: 0)
    var page = pages.lowerBound
    while page < pages.upperBound {
      if spaces[space].isAlive, let index = spaces[space].areaIndex(page) {
        let end = min(spaces[space].areas[index].end, pages.upperBound)
        let next = skipPresent(space, index, page..<end, access, writes: writes)
        if next > page {
          page = next
          run.done = page - pages.lowerBound
          continue
        }
        let filled = fillEmpty(
          space, index, page..<end, access, inPinScope: inPinScope, writes: writes, &run)
        page += filled
        run.done = page - pages.lowerBound
        if run.refusal != nil { return run }
        if filled > 0 { continue }
      }
      var fault = PageFault(space, page: page, access, inPinScope: inPinScope, writes: writes)
      run.faults += 1
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

  /// The first page from the start of `pages` that an access would fault at; `pages.upperBound` when
  /// there is none.
  package func firstMissing(_ space: Int, _ pages: Range<Int>, _ access: FaultAccess) -> Int {
    var page = pages.lowerBound
    while page < pages.upperBound {
      guard let area = spaces[space].area(page) else { return page }
      let (entry, _, level) = pageTables.leaf(spaces[space].root, page: page)
      guard entry.isPresent, access != .write || entry.flags.contains(.write),
        access != .unshare || !area.isCopyOnWrite || entry.flags.contains(.exclusive)
      else { return page }
      page = (page & ~((1 << level.order) - 1)) + 1 << level.order
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

  /// Fills empty entries of one existing PTE table with new anonymous pages, as write faults would,
  /// up to the next flush of the LRU batch; the number of pages filled, 0 when this is no such case.
  ///
  /// The batch's flush may free pages, so allocations never run ahead of it.
  private mutating func fillEmpty(
    _ space: Int, _ index: Int, _ pages: Range<Int>, _ access: FaultAccess, inPinScope: Bool,
    writes: Bool, _ run: inout FaultRun
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
    let scoped = inPinScope || area.flags.contains(.noMovable)
    let base = regions[region].base
    var state = FrameState(.allocated, order: 0)
    state.owner = UInt8(ascii: "A")
    state.flags =
      writes ? [.folio, .swapBacked, .active, .written] : [.folio, .swapBacked, .active]
    let flags: PageTableEntry.Flags = [.present, .write, .dirty, .young, .exclusive]
    var filled = 0
    // Added up for neighbours of one node.
    var (counted, countedNode) = (0, 0)
    while filled < limit, pageTables[first + filled].isNone {
      guard
        let pfn = allocatePages(order: 0, gfp: .zeroedUserPage, inPinScope: scoped).pfn
      else {
        var fault = PageFault(space, page: pages.lowerBound + filled, access)
        refuseMemory(&fault, "the page")
        if case .refused(let refusal) = fault.result { run.refusal = refusal }
        break
      }
      frames.setHead(pfn, state)
      folios.startMapped(
        pfn, .anonymous(region), index: pages.lowerBound + filled - base, references: 2)
      pageTables[first + filled] = PageTableEntry(pfn, flags)
      let node = node(of: pfn)
      if node != countedNode {
        countAnonymous(counted, node: countedNode)
        (counted, countedNode) = (0, node)
      }
      counted += 1
      let waiting = lruBatches[batch].count
      lruBatches[batch].pages[waiting] = pfn
      lruBatches[batch].count = waiting + 1
      filled += 1
    }
    countAnonymous(counted, node: countedNode)
    let faults = filled + (run.refusal == nil ? 0 : 1)
    count(.pgfault, faults)
    run.faults += faults
    spaces[space].anonymousPages += filled
    if lruBatches[batch].count >= lruBatchCapacity { flush(batch, .add) }
    return filled
  }

  private mutating func countAnonymous(_ pages: Int, node: Int) {
    nodeItems[node * VMStatNames.nodeItems.count + NodeItem.anonMapped.rawValue] += pages
  }
}

// Invariant: each entry holds the references that its page-table entries held; nobody frees the
// pages before the gather is flushed (rule P9.32). `slots` is how much of the active bundle is used.

/// Pages that an unmap has taken out of the tables and has still to let go, and tables after them.
///
/// Kernel: `struct mmu_gather`, mm/mmu_gather.c.
package struct PageGather: Hashable, Sendable {
  package struct Entry: Hashable, Sendable {
    /// The head of a folio, or pages of order 0 that follow each other, with a reference each.
    var run: PFNRun
    /// Of the folio; -1 for the frame of a page table.
    let order: Int8
    let references: UInt16
  }

  package let space: Int
  package var entries: [Entry] = []
  /// Frames that hold bundles, oldest first.
  package var bundles: [PFN] = []
  /// The active bundle: 0 is the one on the stack, n the n-th frame.
  var active = 0
  var slots = 0
  /// Dirty pages of shared files whose map counts fall with the flush.
  ///
  /// Kernel: `delayed_rmap`.
  var isDelayed = false
  /// A flush is due at the end of the page table.
  ///
  /// Kernel: `force_flush` of `zap_pte_range()`.
  var mustFlush = false

  /// MMU_GATHER_BUNDLE: pages that fit on the stack.
  static let localCapacity = 8
  /// MAX_GATHER_BATCH: pages that fit into a frame behind its header.
  static let capacity = 510
  /// MAX_GATHER_BATCH_COUNT.
  static let bundleLimit = 10000 / 510

  package init(space: Int) { self.space = space }

  /// Folios and tables that it holds.
  package var count: Int { entries.reduce(0) { $0 + $1.run.count } }

  /// Pages of order 0 that can be added before the active bundle is full.
  var room: Int { (active == 0 ? Self.localCapacity : Self.capacity) - 1 - slots }
}

extension Machine {
  /// Adds a folio's pages, one entry for up to 512 neighbours; true when the gather is full and must
  /// be flushed now.
  ///
  /// Kernel: `__tlb_remove_folio_pages_size()`: neighbours take a second slot for their number, and
  /// a bundle keeps one slot free for that.
  mutating func gather(
    _ gather: inout PageGather, _ head: PFN, order: Int, references: Int = 1, slots: Int = 1
  ) -> Bool {
    gather.entries.append(
      PageGather.Entry(
        run: PFNRun(head, count: 1), order: Int8(order), references: UInt16(references)))
    gather.slots += slots
    return gather.room <= 0 && closeBundle(&gather)
  }

  /// Adds pages of order 0, at most ``PageGather/room``; true when the gather is full.
  mutating func gather(_ gather: inout PageGather, _ run: PFNRun) -> Bool {
    let last = gather.entries.count - 1
    if last >= 0, gather.entries[last].order == 0, gather.entries[last].references == 1,
      let joined = gather.entries[last].run.joined(with: run)
    {
      gather.entries[last].run = joined
    } else {
      gather.entries.append(PageGather.Entry(run: run, order: 0, references: 1))
    }
    gather.slots += run.count
    return gather.room <= 0 && closeBundle(&gather)
  }

  /// Goes on to the next bundle; true when there is none.
  private mutating func closeBundle(_ gather: inout PageGather) -> Bool {
    // Kernel: `tlb_next_batch()`.
    if gather.isDelayed && gather.active != 0 { return true }
    if gather.active == gather.bundles.count {
      guard gather.bundles.count < PageGather.bundleLimit,
        let pfn = allocatePages(order: 0, gfp: .gatherBundle).pfn
      else { return true }
      gather.bundles.append(pfn)
    }
    gather.active += 1
    gather.slots = 0
    return false
  }

  /// Lets the gathered pages go, in order, after this CPU's LRU batches.
  ///
  /// Kernel: `tlb_flush_mmu()`, `free_pages_and_swap_cache()`.
  package mutating func flush(_ gather: inout PageGather) {
    gather.active = 0
    gather.slots = 0
    gather.isDelayed = false
    gather.mustFlush = false
    if gather.entries.isEmpty { return }
    drainLRU(cpu: currentCPU)
    for entry in gather.entries {
      let folio = Folio(entry.run.first, order: max(0, Int(entry.order)))
      if entry.order < 0 {
        freeFolio(folio)
      } else if swap.cached > 0 {
        for offset in 0..<entry.run.count {
          let folio = Folio(entry.run[offset], order: folio.order)
          freeSwapOfUnmapped(folio)
          putReferences(folio, Int(entry.references))
        }
      } else if entry.order == 0 && entry.references == 1 {
        putReferences(entry.run)
      } else {
        putReferences(folio, Int(entry.references))
      }
    }
    gather.entries.removeAll(keepingCapacity: true)
  }

  /// Flushes, and gives the frames of the bundles back.
  ///
  /// Kernel: `tlb_finish_mmu()`.
  package mutating func finish(_ gather: inout PageGather) {
    flush(&gather)
    for pfn in gather.bundles { freeFolio(Folio(pfn, order: 0)) }
    gather.bundles.removeAll()
  }
}

extension GFPFlags {
  /// GFP_NOWAIT | __GFP_NOWARN: 0x2800.
  static let gatherBundle: GFPFlags = [.kswapdReclaim, .noWarn]
}

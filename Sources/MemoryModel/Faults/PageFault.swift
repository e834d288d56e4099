// Invariant: between two steps the fault holds what its phase names and nothing else: a folio that
// nobody sees yet, references that it took, a frame for a table. Ending it gives them back.

/// What the faulting access wants to do.
public enum FaultAccess: Sendable, Hashable {
  case read
  case write
  /// Make a page of its own without the right to write, as a read pin needs it (rule P2.21).
  case unshare
}

/// How a fault ended.
public enum FaultResult: Sendable, Hashable {
  /// The entry is there, or another task changed it meanwhile and the access tries again.
  case mapped
  case refused(Refusal)
}

/// One page fault in the kernel's atomic steps (rules P2.10 to P2.14, P10.6).
///
/// Kernel: `handle_mm_fault()`, mm/memory.c.
package struct PageFault: Hashable, Sendable {
  package let space: Int
  package let page: Int
  package let access: FaultAccess
  /// `PF_MEMALLOC_PIN`: what is allocated may not be movable (rule P2.33).
  package let inPinScope: Bool
  /// The access really writes, so the page is not all zero any more (rule P4.21).
  package let writes: Bool
  package var phase = Phase.start
  package var result: FaultResult?

  package enum Phase: Hashable, Sendable {
    /// Looks at area and entry, makes tables, and allocates.
    case start
    /// Holds a new anonymous folio: takes the page-table lock and installs it, unless the entry at
    /// `slot` is not `expected` any more. `source` is the folio that it is a copy of, referenced.
    case install(Folio, slot: Int, expected: PageTableEntry, source: Folio?, table: UInt32)
    /// Holds a referenced page of a file's cache, to be shown at the page.
    case show(PFN, table: UInt32)
    /// Holds a huge page of the pool, to be installed as `install` does.
    case installHuge(Folio, expected: PageTableEntry, source: Folio?)
    /// Holds a referenced page of a hugetlb file, to be shown by a leaf.
    case showHuge(Folio, isNew: Bool)
    /// Holds a referenced page from swap space, for an entry that is to be the expected one still.
    /// `isCached` says that it is in the swap cache.
    case swapIn(Folio, slot: Int, expected: PageTableEntry, isCached: Bool)
    /// Puts the new folio on its way to the LRU lists.
    case queue(Folio)
    case done
  }

  package init(
    _ space: Int, page: Int, _ access: FaultAccess, inPinScope: Bool = false, writes: Bool = false
  ) {
    self.space = space
    self.page = page
    self.access = access
    self.inPinScope = inPinScope
    self.writes = writes
  }
}

/// What one step of a fault led to.
package enum FaultProgress: Sendable, Equatable {
  case running
  /// The entry waits for a migration; the fault looks again once the folio is unlocked (P2.14).
  case waiting(PFN)
  case finished
}

extension Machine {
  /// Does one step of a fault.
  package mutating func advance(_ fault: inout PageFault) -> FaultProgress {
    switch fault.phase {
    case .start:
      return startFault(&fault)
    case .install(let folio, let slot, let expected, let source, let table):
      install(&fault, folio, slot: slot, expected: expected, source: source, table: table)
    case .show(let pfn, let table):
      show(&fault, pfn, table: table)
    case .installHuge(let folio, let expected, let source):
      installHuge(&fault, folio, expected: expected, source: source)
    case .showHuge(let folio, let isNew):
      showHuge(&fault, folio, isNew: isNew)
    case .swapIn(let folio, let slot, let expected, let isCached):
      swapIn(&fault, folio, slot: slot, expected: expected, isCached: isCached)
    case .queue(let folio):
      queueNew(folio, fault)
      finish(&fault, .mapped)
    case .done:
      return .finished
    }
    return fault.phase == .done ? .finished : .running
  }

  /// Ends a fault as a fatal signal between two steps would.
  package mutating func abandon(_ fault: inout PageFault) {
    switch fault.phase {
    case .start, .done: break
    case .install(let folio, _, _, let source, let table):
      dropUnmapped(folio, source: source, table: table)
    case .show(let pfn, let table):
      if table != 0 { freeTableFrame(table) }
      if let folio = folio(of: pfn) { putReferences(folio, 1) }
    case .installHuge(let folio, _, let source):
      dropUnusedHuge(fault, folio, source)
    case .showHuge(let folio, let isNew):
      if isNew { finishHugeFault(folio.head) }
      putReferences(folio, 1)
    case .swapIn(let folio, _, _, _):
      putReferences(folio, 1)
    case .queue(let folio):
      queueNew(folio, fault)
    }
    if fault.phase != .done {
      finish(&fault, .refused(Refusal(.EINTR, "a fatal signal ended the fault", rule: "P2.13")))
    }
  }

  mutating func dropUnmapped(_ folio: Folio, source: Folio?, table: UInt32) {
    if table != 0 { freeTableFrame(table) }
    putReferences(folio, 1)
    if let source { putReferences(source, 1) }
  }

  mutating func finish(_ fault: inout PageFault, _ result: FaultResult) {
    fault.phase = .done
    fault.result = result
  }

  mutating func refuse(_ fault: inout PageFault, _ errno: Errno, _ text: String, _ rule: String) {
    finish(
      &fault,
      .refused(Refusal(errno, "0x\(hex(fault.page << geometry.pageShift)): " + text, rule: rule)))
  }

  /// VM_FAULT_OOM: GUP reports it as ENOMEM; for a user access the OOM killer runs.
  mutating func refuseMemory(_ fault: inout PageFault, _ what: String) {
    refuse(&fault, .ENOMEM, "no memory for \(what)", "P2.10")
  }

  /// Kernel: `folio_add_lru_vma()`.
  private mutating func queueNew(_ folio: Folio, _ fault: PageFault) {
    if let area = spaces[fault.space].area(fault.page), area.flags.contains(.locked),
      area.flags.isDisjoint(with: [.io, .pfnMap])
    {
      mlockNew(folio)
    } else {
      queue(folio, .add)
    }
  }
}

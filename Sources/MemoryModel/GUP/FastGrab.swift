// Invariant: after `reference` it holds `pages` plain references of `folio`, after `convert` as many pins
// instead; ending it early gives them back.

/// The fast walk of one leaf in its atomic steps, between which other CPUs work (rules P3.30, P10.2).
///
/// Kernel: `gup_fast_pte_range()`, `gup_fast_pmd_leaf()`, mm/gup.c.
package struct FastGrab: Hashable, Sendable {
  package enum Stage: Hashable, Sendable {
    case read, reference, test, convert, reread, allowed
    /// The leaf's pages are in the output.
    case taken
    /// The walk stops in front of the leaf.
    case stopped
  }

  package private(set) var stage = Stage.read
  /// The first page that is wanted of the leaf.
  package let page: Int
  /// Where the next leaf begins, or the range ends.
  package private(set) var end: Int
  private var entry = PageTableEntry.none
  private var slot = 0
  /// Whether the entry shows one page, of whatever folio, and not a huge page.
  private var showsPage = true
  private var folio: Folio?
  private var first = PFN(0)

  /// The folio that it has references of, and the first page of it that is wanted.
  package var held: (folio: Folio, first: PFN)? { folio.map { ($0, first) } }

  /// Whether the call's walk comes to the table of this page first here, and reads its entry (rule P8.2).
  private let entersTable: Bool

  package init(page: Int, limit: Int, isFirst: Bool) {
    self.page = page
    end = limit
    entersTable = isFirst || page & 511 == 0
  }

  package var isDone: Bool { stage == .taken || stage == .stopped }

  package mutating func step(
    _ machine: inout Machine, _ space: Int, _ flags: GUPFlags, _ out: inout PinCursor,
    _ costs: inout OperationCosts
  ) {
    switch stage {
    case .read:
      let (found, slot, level) = machine.pageTables.leaf(machine.spaces[space].root, page: page)
      if entersTable, level == .pte { costs.entryReads += 1 }
      guard level == .pte || found.isLeaf, machine.isAccessible(found, flags, fast: true) else {
        stage = .stopped
        return
      }
      entry = found
      self.slot = slot
      showsPage = level == .pte
      end = min(end, (page | ((1 << level.order) - 1)) + 1)
      first = found.pfn + page & ((1 << level.order) - 1)
      stage = .reference
    case .reference:
      // f3 and f4: a page without references is not taken, and it must be of the same folio still.
      guard let found = machine.folio(of: first), machine.references(found) > 0,
        machine.references(found) + (end - page) * FolioTable.pinBias <= Int(Int32.max)
      else {
        stage = .stopped
        return
      }
      folio = found
      machine.addReferences(found, end - page)
      stage = .test
    case .test: test(&machine, flags)
    case .convert: convert(&machine, flags)
    case .reread:
      let now = machine.pageTables[slot]
      let same = entry.rawValue ^ now.rawValue
      let marks = PageTableEntry.Flags([.young, .dirty]).rawValue
      if machine.kernel.protections.rereadsEntry, same & ~UInt64(marks) != 0 {
        undo(&machine, flags, isCounted: true)
      } else {
        stage = .allowed
      }
    case .allowed: allow(&machine, flags, &out, &costs)
    case .taken, .stopped: break
    }
  }

  /// f5.
  private mutating func test(_ machine: inout Machine, _ flags: GUPFlags) {
    guard let folio else { return }
    if machine.fastRefusals(flags) >> machine.frames.pinClass(folio.head) & 1 != 0 {
      machine.putReferences(folio, end - page)
      stage = .stopped
    } else {
      stage = .convert
    }
  }

  /// f6.
  private mutating func convert(_ machine: inout Machine, _ flags: GUPFlags) {
    guard let folio else { return }
    if flags.contains(.pin) {
      machine.addPins(folio, end - page)
      machine.putReferences(folio, end - page)
    }
    stage = .reread
  }

  /// f8, and the page goes into the output.
  private mutating func allow(
    _ machine: inout Machine, _ flags: GUPFlags, _ out: inout PinCursor,
    _ costs: inout OperationCosts
  ) {
    guard let folio else { return }
    var mapping = machine.folios.owner(folio).mapping
    // What migrated away meanwhile stays PageAnon until it is freed; its entry said so.
    if mapping == .none, entry.flags.contains(.exclusive) { mapping = .unknownAnonymous }
    let mustUnshare =
      mapping.isAnonymous && !flags.contains(.write) && flags.contains(.pin)
      && !entry.flags.contains(.exclusive)
    guard !mustUnshare, machine.mayPinFast(mapping, entry, flags) else {
      return undo(&machine, flags, isCounted: false)
    }
    machine.setReferenced(folio)
    machine.write(folio, first, end - page, &out)
    costs.entryReads += showsPage ? 3 : 2
    costs.pinAtomics += flags.contains(.pin) ? 2 : 1
    costs.lookups += flags.contains(.longTerm) ? 1 : 0
    costs.arrayWrites += end - page
    stage = .taken
  }

  private mutating func undo(_ machine: inout Machine, _ flags: GUPFlags, isCounted: Bool) {
    guard let folio else { return }
    machine.drop(folio, end - page, flags)
    if !isCounted, flags.contains(.pin) {
      // The walk in whole tables looks at this first and never takes the page; both count alike.
      machine.count(.pinAcquired, page - end, at: folio.head)
      machine.count(.pinReleased, page - end, at: folio.head)
    }
    stage = .stopped
  }

  /// Gives back what it holds, as a walk that ends does.
  package mutating func abandon(_ machine: inout Machine, _ flags: GUPFlags) {
    switch stage {
    case .test, .convert: if let folio { machine.putReferences(folio, end - page) }
    case .reread, .allowed: undo(&machine, flags, isCounted: true)
    case .read, .reference, .taken, .stopped: break
    }
    stage = .stopped
  }

  package var nextStep: Step {
    let address = "0x" + String(page << 12, radix: 16)
    let name = folio.map { "\($0.head)" } ?? "\(first)"
    return switch stage {
    case .read: Step("f2", "gup_fast_pte_range", "read the entry of \(address) without a lock")
    case .reference:
      Step("f3", "try_get_folio", "take a reference to the folio of \(first) unless it has none")
    case .test:
      Step(
        "f5", "folio_is_longterm_pinnable", "test whether \(name) may be pinned where it is")
    case .convert: Step("f6", "gup_fast_pte_range", "turn the reference to \(name) into a pin")
    case .reread:
      Step("f7", "gup_fast_pte_range", "read the entry of \(address) again: \(name) still?")
    case .allowed, .taken, .stopped:
      Step("f8", "gup_must_unshare", "test whether \(name) may be pinned without a copy")
    }
  }
}

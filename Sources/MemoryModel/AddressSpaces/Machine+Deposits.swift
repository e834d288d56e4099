// Invariant: every PMD leaf that maps anonymous memory has one frame deposited in its PMD table, so
// that its split cannot fail (rule P2.22). A deposited frame counts as a page table and holds no
// table yet; it is linked with the others through the frame table.

/// The deposited frames of one PMD table.
///
/// Kernel: `pmd_huge_pte()`, with split page-table locks a ring for each PMD table.
package struct TableDeposits: BitwiseCopyable {
  /// Where the ring begins: what is withdrawn next; 0 when there is none.
  var next: UInt32
  /// The rest of the ring.
  var others: FrameList
}

extension Machine {
  /// Keeps the frame of a PTE table for the leaf at `slot`.
  ///
  /// Kernel: `pgtable_trans_huge_deposit()`: the new one comes behind the ring's first and becomes
  /// the first, so the old first is withdrawn last.
  package mutating func depositTable(_ frame: UInt32, slot: Int) {
    let table = slot / PageTables.entriesPerTable
    let first = pageTables.deposits[table].next
    if first != 0 {
      frames.pushTail(&pageTables.deposits[table].others, PFN(first), order: 0)
    }
    pageTables.deposits[table].next = frame
  }

  /// Takes a deposited frame of the PMD table that holds `slot`; 0 when there is none.
  ///
  /// Kernel: `pgtable_trans_huge_withdraw()`.
  package mutating func withdrawTable(slot: Int) -> UInt32 {
    let table = slot / PageTables.entriesPerTable
    let frame = pageTables.deposits[table].next
    if let next = frames.first(pageTables.deposits[table].others) {
      frames.remove(&pageTables.deposits[table].others, next, order: 0)
      pageTables.deposits[table].next = next.rawValue
    } else {
      pageTables.deposits[table].next = 0
    }
    return frame
  }

  /// How many frames a PMD table keeps for its leaves.
  func depositCount(table: Int) -> Int {
    let deposits = pageTables.deposits[table]
    return deposits.next == 0 ? 0 : Int(deposits.others.count) + 1
  }
}

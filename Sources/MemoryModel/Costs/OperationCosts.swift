/// What an operation did, in the units of rules P8.1 to P8.9.
///
/// Counted as the modelled kernel would do it, not as the model computes it.
public struct OperationCosts: Sendable, Hashable, Codable {
  /// Calls that take mmap_lock; for the fast walk, calls at all.
  public var calls = 0
  public var walks = 0
  /// Reads of page-table entries at all levels.
  public var entryReads = 0
  /// Atomic operations on folio counts to pin or to get.
  public var pinAtomics = 0
  public var arrayWrites = 0
  /// Records of a scatter list, where the walker writes one.
  public var records = 0
  /// Entries of the output looked at again by the long-term check.
  public var rescanReads = 0
  /// Folios whose pageblock and zone were looked up.
  public var lookups = 0
  public var unpinAtomics = 0
  public var localDrains = 0
  public var fullDrains = 0
  /// Rounds of pin, check, migrate.
  public var rounds = 0
  public var faults = 0
  /// 4 KiB pages moved.
  public var migratedPages = 0

  public init() {}

  public static func += (lhs: inout Self, rhs: Self) {
    lhs.calls += rhs.calls
    lhs.walks += rhs.walks
    lhs.entryReads += rhs.entryReads
    lhs.pinAtomics += rhs.pinAtomics
    lhs.arrayWrites += rhs.arrayWrites
    lhs.records += rhs.records
    lhs.rescanReads += rhs.rescanReads
    lhs.lookups += rhs.lookups
    lhs.unpinAtomics += rhs.unpinAtomics
    lhs.localDrains += rhs.localDrains
    lhs.fullDrains += rhs.fullDrains
    lhs.rounds += rhs.rounds
    lhs.faults += rhs.faults
    lhs.migratedPages += rhs.migratedPages
  }

  /// Every count with its name, in a fixed order.
  public var rows: [(name: String, count: Int)] {
    [
      ("calls", calls), ("walks", walks), ("entry_reads", entryReads),
      ("pin_atomics", pinAtomics), ("array_writes", arrayWrites), ("records", records),
      ("rescan_reads", rescanReads),
      ("lookups", lookups), ("unpin_atomics", unpinAtomics), ("local_drains", localDrains),
      ("full_drains", fullDrains), ("rounds", rounds), ("faults", faults),
      ("migrated_pages", migratedPages),
    ]
  }
}

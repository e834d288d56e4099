// Invariant: a folio in a batch is referenced once by it, so nobody can free or migrate it (rules
// A7.32, AP.14, P1.20, P1.21). Folios in the `add` batch are not on an LRU list yet; folios in the
// others are, and keep their flag (rule P1.26).

/// Folios of one CPU that wait for one kind of change to the LRU lists.
///
/// Kernel: `struct folio_batch` in `struct cpu_fbatches`.
package struct LRUBatch: BitwiseCopyable {
  /// `PAGEVEC_SIZE` of 6.12.
  static let capacity = 31

  var count: Int
  var pages: InlineArray<31, PFN>
  /// In the `mlock` batch, which of them wait to be unlocked: one bit each.
  var unlocks: UInt32
}

/// The batches of a CPU, in the order in which a drain empties them.
public enum LRUBatchKind: Int, Sendable, CaseIterable {
  case add
  case moveTail
  case deactivateFile
  case deactivate
  case lazyFree
  case activate
  case mlock

  static let count = 7

  /// The kernel's name of the batch.
  public var name: String {
    switch self {
    case .add: "lru_add"
    case .moveTail: "lru_move_tail"
    case .deactivateFile: "lru_deactivate_file"
    case .deactivate: "lru_deactivate"
    case .lazyFree: "lru_lazyfree"
    case .activate: "lru_activate"
    case .mlock: "mlock"
    }
  }
}

/// The LRU lists of a node, numbered as the counters are.
///
/// Kernel: `enum lru_list`.
public enum LRUList: Int, Sendable, CaseIterable {
  case inactiveAnon
  case activeAnon
  case inactiveFile
  case activeFile
  case unevictable

  static let count = 5

  public var name: String {
    switch self {
    case .inactiveAnon: "inactive_anon"
    case .activeAnon: "active_anon"
    case .inactiveFile: "inactive_file"
    case .activeFile: "active_file"
    case .unevictable: "unevictable"
    }
  }
}

extension FrameState {
  /// The list that its flags call for.
  ///
  /// Kernel: `folio_lru_list()`.
  public var lruList: LRUList {
    if flags.contains(.unevictable) { return .unevictable }
    if flags.contains(.swapBacked) { return flags.contains(.active) ? .activeAnon : .inactiveAnon }
    return flags.contains(.active) ? .activeFile : .inactiveFile
  }
}

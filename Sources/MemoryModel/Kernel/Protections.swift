/// The tests that keep tasks from harming each other (rule P10), each of which can be taken out to see
/// what breaks then; every kernel has all of them.
public struct Protections: Sendable, Equatable, Codable {
  /// Isolation tests and clears the LRU flag in one step, so that one task alone gets a folio (g6,
  /// race R1; `race.noTestAndClear`).
  ///
  /// Kernel: `folio_test_clear_lru()` in `folio_isolate_lru()`.
  public var testsAndClearsLRU = true
  /// The fast walk reads an entry again after it took its page (f7, race R3).
  ///
  /// Kernel: `gup_fast_pte_range()`.
  public var rereadsEntry = true
  /// The fast walk gives everything back when a fork copied entries meanwhile (f9, race R8).
  ///
  /// Kernel: `gup_fast()`.
  public var checksForkSequence = true
  /// Migration compares a folio's references with those it can account for (m6, m8, race R3).
  ///
  /// Kernel: `folio_migrate_mapping()`.
  public var comparesReferences = true

  public init() {}

  /// The names under which scripts take them out.
  public enum Name: String, Sendable, CaseIterable {
    case testAndClearLRU = "test_and_clear_lru"
    case rereadEntry = "reread_entry"
    case forkSequence = "fork_sequence"
    case compareReferences = "compare_references"
  }

  public subscript(name: Name) -> Bool {
    get { self[keyPath: Self.path(name)] }
    set { self[keyPath: Self.path(name)] = newValue }
  }

  private static func path(_ name: Name) -> WritableKeyPath<Protections, Bool> {
    switch name {
    case .testAndClearLRU: \.testsAndClearsLRU
    case .rereadEntry: \.rereadsEntry
    case .forkSequence: \.checksForkSequence
    case .compareReferences: \.comparesReferences
    }
  }
}

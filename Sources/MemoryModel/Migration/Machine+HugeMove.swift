/// What came of moving a hugetlb page.
package enum HugeMove: Sendable { case moved, again, noMemory, refused }

extension Machine {
  /// Moves one isolated hugetlb page (rule P4.15).
  ///
  /// Kernel: `unmap_and_move_huge_page()`, mm/migrate.c.
  ///
  /// - Parameter isForced: Wait for the lock of the folio.
  package mutating func moveHugePage(
    _ source: Folio, _ target: MigrationTarget, isForced: Bool
  ) -> HugeMove { .refused }
}

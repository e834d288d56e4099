// The migration stage: c6 and c7 of P10.4, rules A6.22 and P5.11. Nothing can be migrated yet, so
// every page in use stays where it is, and the test finds it.

extension ContiguousAllocation {
  /// One step of getting pages in use out of the range.
  ///
  /// Kernel: `__alloc_contig_migrate_range()`, mm/page_alloc.c.
  ///
  /// - Returns: Why the stage ends early; nil while it goes on, or after ``finishMigrating()``.
  mutating func migrate(_ machine: inout Machine) -> Refusal? {
    if hasFatalSignal {
      return Refusal(.EINTR, "a fatal signal ended the migration", rule: "P5.11")
    }
    finishMigrating()
    return nil
  }
}

extension Machine {
  /// Kernel: `trace_mm_migrate_pages_start()`.
  package mutating func traceMigrationStart(_ mode: MigrateMode, _ reason: MigrationReason) {
    trace.append(
      TraceEvent(
        .migratePagesStart, PFN(0), order: 0, UInt32(mode.rawValue), UInt32(reason.rawValue)))
  }

  /// Counts a finished migration and reports it, in two events of the ring (rules P4.30, P4.31).
  ///
  /// Kernel: the end of `migrate_pages()`, `trace_mm_migrate_pages()`.
  package mutating func countMigration(
    succeeded: Int, failed: Int, thps: (succeeded: Int, failed: Int, split: Int), split: Int,
    _ mode: MigrateMode, _ reason: MigrationReason
  ) {
    count(.migrateSuccess, succeeded)
    count(.migrateFail, failed)
    count(.thpMigrationSuccess, thps.succeeded)
    count(.thpMigrationFail, thps.failed)
    count(.thpMigrationSplit, thps.split)
    trace.append(
      TraceEvent(
        .migratePages, PFN(UInt32(succeeded)), order: mode.rawValue << 4 | reason.rawValue,
        UInt32(failed), UInt32(thps.succeeded)))
    trace.append(
      TraceEvent(
        .migratePagesSplits, PFN(UInt32(thps.failed)), order: 0, UInt32(thps.split),
        UInt32(split)))
  }
}

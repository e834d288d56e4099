// What scans of a range report.

extension Machine {
  /// The line of kernels up to 5.13 for a range with a page that is in use (rule P5.16).
  ///
  /// The kernel prints ten of them in five seconds; the model has no clock and prints all.
  /// Kernel: `alloc_contig_range()`, mm/page_alloc.c, `pr_info_ratelimited()` since 4.10.
  mutating func logBusyRange(_ range: PFNRange) {
    guard kernel.logsBusyRanges else { return }
    log.append("alloc_contig_range: [\(hex(range.start)), \(hex(range.end))) PFNs busy")
  }

  /// Kernel: `trace_mm_compaction_isolate_migratepages()`,
  /// `trace_mm_compaction_isolate_freepages()`.
  mutating func traceScan(_ kind: TraceEvent.Kind, _ range: PFNRange, scanned: Int, taken: Int) {
    if kind == .isolateMigratePages { serveThreadsBeforeScan() }
    defer { if kind == .isolateMigratePages { noteMemoryStep() } }
    trace.append(
      TraceEvent(
        kind, PFN(range.start), order: 0, UInt32(range.end), UInt32(scanned) << 12 | UInt32(taken)))
  }

  /// In two events of the ring.
  ///
  /// Kernel: `trace_mm_alloc_contig_migrate_range_info()`.
  package mutating func traceContigMigrate(
    _ range: PFNRange, _ type: MigrateType, migrated: Int, reclaimed: Int, mapped: Int
  ) {
    trace.append(
      TraceEvent(
        .contigMigrateRange, PFN(range.start), order: 0, UInt32(range.end), UInt32(type.rawValue)))
    trace.append(
      TraceEvent(
        .contigMigrateTotals, PFN(UInt32(migrated)), order: 0, UInt32(reclaimed), UInt32(mapped)))
  }
}

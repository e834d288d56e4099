extension Machine {
  /// Kernel: `trace_mm_compaction_try_to_compact_pages()`.
  mutating func traceCompactionTry(_ request: AllocationRequest, _ priority: CompactPriority) {
    trace.append(
      TraceEvent(
        .tryToCompact, PFN(0), order: request.order, request.gfp.rawValue,
        UInt32(priority.rawValue)))
  }

  /// In two events of the ring.
  ///
  /// Kernel: `trace_mm_compaction_begin()`, `trace_mm_compaction_end()`.
  ///
  /// - Parameter result: Nil at the beginning.
  mutating func traceCompaction(_ control: CompactControl, _ result: CompactResult?) {
    let range = zoneTable[control.zone].range
    trace.append(
      TraceEvent(
        result == nil ? .compactionBegin : .compactionEnd, PFN(range.start), order: 0,
        UInt32(control.migrate), UInt32(max(0, control.free))))
    trace.append(
      TraceEvent(
        .compactionRest, PFN(range.end), order: control.wantsEverything ? 255 : control.order,
        control.mode == .async ? 0 : 1, UInt32(result?.rawValue ?? 0)))
  }

  /// Kernel: `trace_mm_compaction_migratepages()`.
  mutating func traceCompactionMigrated(pages: Int, moved: Int) {
    trace.append(
      TraceEvent(.compactionMigrate, PFN(0), order: 0, UInt32(pages), UInt32(moved)))
  }
}

internal import MemoryModel

extension TraceText {
  /// An event of compaction; those that take two events of the ring without what the second holds.
  ///
  /// Kernel: include/trace/events/compaction.h.
  static func compaction(_ event: TraceEvent) -> String {
    switch event.kind {
    case .tryToCompact:
      let flags = GFPFlags(rawValue: event.argument0).description
      return "mm_compaction_try_to_compact_pages: order=\(event.order) gfp_mask=\(flags) "
        + "priority=\(event.argument1)"
    case .compactionBegin, .compactionEnd:
      return "mm_compaction_\(event.kind == .compactionEnd ? "end" : "begin"): "
        + "zone_start=\(event.pfn.hex) migrate_pfn=\(event.argument0.hex) "
        + "free_pfn=\(event.argument1.hex)"
    case .compactionRest:
      return "zone_end=\(event.pfn.hex), mode=\(event.argument0 == 0 ? "async" : "sync")"
    case .compactionMigrate:
      return "mm_compaction_migratepages: nr_migrated=\(event.argument1) "
        + "nr_failed=\(event.argument0 - event.argument1)"
    case .fastIsolateFreePages:
      return "mm_compaction_fast_isolate_freepages: range=(\(event.pfn.hex) ~ "
        + "\(event.argument0.hex)) nr_scanned=\(event.argument1 >> 12) "
        + "nr_taken=\(event.argument1 & 0xFFF)"
    case .wakeupKcompactd, .kcompactdWake:
      let name = event.kind == .kcompactdWake ? "kcompactd_wake" : "wakeup_kcompactd"
      let zone = ZoneIndex(rawValue: Int(event.argument0))?.name ?? "\(event.argument0)"
      let padding = String(repeating: " ", count: max(0, 8 - zone.utf8.count))
      return "mm_compaction_\(name): nid=\(event.pfn) order=\(event.order) "
        + "classzone_idx=\(zone)\(padding)"
    default: return ""
    }
  }

  /// The fields of mm_compaction_begin and mm_compaction_end that the second of the two events holds.
  static func compactionRest(_ event: TraceEvent, _ rest: TraceEvent) -> String {
    let text = " " + compaction(rest)
    guard event.kind == .compactionEnd else { return text }
    return text + " status=\(CompactResult(rawValue: Int(rest.argument1))?.name ?? "?")"
  }
}

/// One thing that happened, as a tracepoint of the kernel would report it.
public struct TraceEvent: BitwiseCopyable, Sendable {
  public enum Kind: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// mm_page_alloc: pfn, order, argument0 = gfp, argument1 = migratetype; `failed` without a page.
    case pageAlloc
    /// mm_page_free: pfn, order.
    case pageFree
    /// mm_page_alloc_zone_locked: pfn, order, argument0 = list's type, argument1 = percpu_refill.
    case pageAllocZoneLocked
    /// mm_page_pcpu_drain: pfn, order, argument0 = type.
    case pagePcpuDrain
    /// mm_page_alloc_extfrag: pfn, order, argument0 = fallback order, argument1 = types and owner.
    case pageAllocExtfrag
    /// mm_migrate_pages_start: argument0 = mode, argument1 = reason.
    case migratePagesStart
    /// mm_migrate_pages: pfn = pages that moved, argument0 = pages that did not, argument1 = THPs
    /// that moved, order = mode << 4 | reason. `migratePagesSplits` follows at once.
    case migratePages
    /// The rest of the event before: pfn = THPs that did not move, argument0 = THPs split, argument1
    /// = large folios split.
    case migratePagesSplits
    /// test_pages_isolated: pfn = start, argument0 = end, argument1 = first frame that is not
    /// isolated and free, or the end.
    case testPagesIsolated
    /// cma_alloc_start: order = alignment, argument0 = pages, argument1 = area.
    case cmaAllocStart
    /// cma_alloc_finish: pfn, order = alignment, argument0 = pages, argument1 = errno and area;
    /// `failed` without pages, and then pfn is the last try's, or ``noFrame``.
    case cmaAllocFinish
    /// cma_alloc_busy_retry: pfn, order = alignment, argument0 = pages, argument1 = area.
    case cmaAllocBusyRetry
    /// cma_release: pfn, argument0 = pages, argument1 = area.
    case cmaRelease
    /// mm_compaction_isolate_migratepages: pfn = start, argument0 = end, argument1 = pages scanned
    /// << 12 | pages taken.
    case isolateMigratePages
    /// mm_compaction_isolate_freepages, with the same arguments.
    case isolateFreePages
    /// mm_alloc_contig_migrate_range_info: pfn = start, argument0 = end, argument1 = migratetype.
    /// `contigMigrateTotals` follows at once.
    case contigMigrateRange
    /// The rest of the event before: pfn = pages migrated, argument0 = reclaimed, argument1 = mapped.
    case contigMigrateTotals
    /// mm_vmscan_wakeup_kswapd: order, argument0 = node << 8 | highest zone, argument1 = gfp.
    case wakeupKswapd
    /// mm_vmscan_kswapd_wake: order, argument0 = node, argument1 = highest zone.
    case kswapdWake
    /// mm_vmscan_kswapd_sleep: argument0 = node.
    case kswapdSleep
    /// mm_vmscan_direct_reclaim_begin: order, argument0 = gfp.
    case directReclaimBegin
    /// mm_vmscan_direct_reclaim_end: argument0 = pages reclaimed.
    case directReclaimEnd
    /// mm_compaction_try_to_compact_pages: order, argument0 = gfp, argument1 = priority.
    case tryToCompact
    /// mm_compaction_begin: pfn = the zone's start, argument0 = migrate scanner, argument1 = free scanner.
    /// `compactionRest` follows at once.
    case compactionBegin
    /// mm_compaction_end, with the same arguments. `compactionRest` follows at once.
    case compactionEnd
    /// The rest of the event before: pfn = the zone's end, order wanted, 255 for -1, argument0 = 0 for
    /// an asynchronous compaction, argument1 = result, ``CompactResult``, at the end.
    case compactionRest
    /// mm_compaction_migratepages: argument0 = pages, argument1 = those of them that moved.
    case compactionMigrate
    /// mm_compaction_fast_isolate_freepages, with the arguments of `isolateFreePages`.
    case fastIsolateFreePages
    /// mm_compaction_wakeup_kcompactd: pfn = node, order, argument0 = highest zone.
    case wakeupKcompactd
    /// mm_compaction_kcompactd_wake, with the same arguments.
    case kcompactdWake
  }

  /// No frame at all: the pfn of a `cma_alloc()` that found no candidate.
  public static let noFrame = PFN(UInt32.max)

  public var kind: Kind
  public var order: UInt8
  public var failed: Bool
  public var pfn: UInt32
  public var argument0: UInt32
  public var argument1: UInt32

  init(
    _ kind: Kind, _ pfn: PFN, order: Int, _ argument0: UInt32 = 0, _ argument1: UInt32 = 0,
    failed: Bool = false
  ) {
    self.kind = kind
    self.order = UInt8(order)
    self.failed = failed
    self.pfn = pfn.rawValue
    self.argument0 = argument0
    self.argument1 = argument1
  }
}

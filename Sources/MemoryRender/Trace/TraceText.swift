// Invariant: everything behind the time stamp is what 6.12 prints for the event (rule A8.20). What a
// model cannot have is replaced by something that is the same on every run:
//
// * the task is `pinlab-1`, on CPU 0, with no interrupt flags;
// * the clock shows the event's number since boot, as microseconds;
// * `%p`, a hash in the kernel, is the address that the page's `struct page` has in an x86_64 kernel
//   without randomisation: 0xffffea0000000000 + 64 · pfn. It is printed as `%p` prints it, sixteen
//   digits without `0x`, and as all zeroes for no page.

public import MemoryModel

/// The trace ring as ftrace prints it, so that scripts for /sys/kernel/tracing/trace work on it.
public enum TraceText {
  /// The events still in the ring with a number of at least `first`, one a line.
  ///
  /// ```
  ///           pinlab-1       [000] .....     0.000003: mm_page_free: page=ffffea0000040000 …
  /// ```
  ///
  /// - Parameter header: Put ftrace's comment lines first, as `cat trace` shows them.
  public static func lines(
    _ machine: borrowing Machine, from first: Int = 0, header: Bool = false
  ) -> String {
    let start = max(first, machine.trace.lost)
    let events = machine.trace.events(from: first)
    var text = ""
    if header {
      text += Self.header(
        held: min(machine.trace.total, TraceRing.capacity), written: machine.trace.total,
        cpus: machine.cpuCount)
    }
    for (offset, event) in events.enumerated() where !isRest(event) {
      text += line(event, number: start + offset, machine)
      if offset + 1 < events.count {
        switch event.kind {
        case .migratePages: text += migrationRest(event, events[offset + 1])
        case .contigMigrateRange: text += contiguousRest(event, events[offset + 1])
        case .compactionBegin, .compactionEnd: text += compactionRest(event, events[offset + 1])
        default: break
        }
      }
      text += "\n"
    }
    return text
  }

  /// Whether it is the second half of the event before.
  private static func isRest(_ event: TraceEvent) -> Bool {
    event.kind == .migratePagesSplits || event.kind == .contigMigrateTotals
      || event.kind == .compactionRest
  }

  /// One event with ftrace's prefix, without a newline.
  ///
  /// Kernel: `trace_print_context()`, kernel/trace/trace_output.c.
  public static func line(
    _ event: TraceEvent, number: Int, _ machine: borrowing Machine
  ) -> String {
    let micros = String(number % 1_000_000)
    let zeros = String(repeating: "0", count: 6 - micros.count)
    let time = " " + (number / 1_000_000).padded(5) + "." + zeros + micros
    return "          pinlab-1       [000] ....." + time + ": " + description(event, machine)
  }

  /// Kernel: include/trace/events/vmscan.h.
  private static func reclaim(_ event: TraceEvent) -> String {
    switch event.kind {
    case .wakeupKswapd:
      return "mm_vmscan_wakeup_kswapd: nid=\(event.argument0 >> 8) order=\(event.order) "
        + "gfp_flags=\(GFPFlags(rawValue: event.argument1).description)"
    case .kswapdWake:
      return "mm_vmscan_kswapd_wake: nid=\(event.argument0) order=\(event.order)"
    case .kswapdSleep: return "mm_vmscan_kswapd_sleep: nid=\(event.argument0)"
    case .directReclaimBegin:
      return "mm_vmscan_direct_reclaim_begin: order=\(event.order) "
        + "gfp_flags=\(GFPFlags(rawValue: event.argument0).description)"
    default: return "mm_vmscan_direct_reclaim_end: nr_reclaimed=\(event.argument0)"
    }
  }

  /// One event, name and fields.
  ///
  /// Kernel: include/trace/events/kmem.h, compaction.h, cma.h and page_isolation.h.
  public static func description(
    _ event: TraceEvent, _ machine: borrowing Machine
  ) -> String {
    let place = event.failed ? page(nil) : page(event.pfn)
    switch event.kind {
    case .pageAlloc:
      let type = number(UInt8(truncatingIfNeeded: event.argument1), machine)
      let flags = GFPFlags(rawValue: event.argument0).description
      return "mm_page_alloc: \(place) order=\(event.order) migratetype=\(type) gfp_flags=\(flags)"
    case .pageFree:
      return "mm_page_free: \(place) order=\(event.order)"
    case .pageAllocZoneLocked:
      let type = number(UInt8(truncatingIfNeeded: event.argument0), machine)
      return "mm_page_alloc_zone_locked: \(place) order=\(event.order) migratetype=\(type) "
        + "percpu_refill=\(event.argument1)"
    case .pagePcpuDrain:
      let type = number(UInt8(truncatingIfNeeded: event.argument0), machine)
      return "mm_page_pcpu_drain: \(place) order=\(event.order) migratetype=\(type)"
    case .pageAllocExtfrag:
      let fallbackOrder = Int(event.argument0)
      let block = machine.geometry.pageblockOrder
      let type = number(UInt8(truncatingIfNeeded: event.argument1), machine)
      let old = number(UInt8(truncatingIfNeeded: event.argument1 >> 8), machine)
      return "mm_page_alloc_extfrag: \(place) alloc_order=\(event.order) "
        + "fallback_order=\(fallbackOrder) pageblock_order=\(block) "
        + "alloc_migratetype=\(type) fallback_migratetype=\(old) "
        + "fragmenting=\(fallbackOrder < block ? 1 : 0) "
        + "change_ownership=\(event.argument1 >> 16 & 1)"
    case .migratePagesStart:
      return
        "mm_migrate_pages_start: mode=\(mode(event.argument0)) reason=\(reason(event.argument1))"
    case .migratePages:
      return "mm_migrate_pages: nr_succeeded=\(event.pfn) nr_failed=\(event.argument0) "
        + "nr_thp_succeeded=\(event.argument1)"
    case .migratePagesSplits:
      return
        "nr_thp_failed=\(event.pfn) nr_thp_split=\(event.argument0) nr_split=\(event.argument1)"
    case .testPagesIsolated:
      let result = event.argument0 <= event.argument1 ? "success" : "fail"
      return "test_pages_isolated: start_pfn=\(event.pfn.hex) end_pfn=\(event.argument0.hex) "
        + "fin_pfn=\(event.argument1.hex) ret=\(result)"
    case .cmaAllocStart, .cmaAllocFinish, .cmaAllocBusyRetry, .cmaRelease:
      return contiguousArea(event, machine)
    case .wakeupKswapd, .kswapdWake, .kswapdSleep, .directReclaimBegin, .directReclaimEnd:
      return reclaim(event)
    case .isolateMigratePages, .isolateFreePages:
      let name = event.kind == .isolateMigratePages ? "migratepages" : "freepages"
      return "mm_compaction_isolate_\(name): range=(\(event.pfn.hex) ~ \(event.argument0.hex)) "
        + "nr_scanned=\(event.argument1 >> 12) nr_taken=\(event.argument1 & 0xFFF)"
    case .contigMigrateRange:
      return "mm_alloc_contig_migrate_range_info: start=\(event.pfn.hex) "
        + "end=\(event.argument0.hex)"
    case .contigMigrateTotals:
      return "migrated=\(event.pfn) reclaimed=\(event.argument0) mapped=\(event.argument1)"
    case .tryToCompact, .compactionBegin, .compactionEnd, .compactionRest, .compactionMigrate,
      .fastIsolateFreePages, .wakeupKcompactd, .kcompactdWake:
      return compaction(event)
    }
  }

  /// Kernel: include/trace/events/cma.h.
  private static func contiguousArea(
    _ event: TraceEvent, _ machine: borrowing Machine
  ) -> String {
    let area = event.kind == .cmaAllocFinish ? event.argument1 >> 8 : event.argument1
    let areas = machine.cmaAreas
    let name = "name=\(areas.indices.contains(Int(area)) ? areas[Int(area)].name : "?")"
    let count = "count=\(event.argument0)"
    // As an unsigned long of -1.
    let pfn = event.pfn == TraceEvent.noFrame.rawValue ? "0xffffffffffffffff" : event.pfn.hex
    let place = "pfn=\(pfn) page=\(address(event.failed ? nil : event.pfn))"
    switch event.kind {
    case .cmaAllocStart: return "cma_alloc_start: \(name) \(count) align=\(event.order)"
    case .cmaAllocBusyRetry:
      return "cma_alloc_busy_retry: \(name) \(place) \(count) align=\(event.order)"
    case .cmaRelease: return "cma_release: \(name) \(place) \(count)"
    default:
      let errno = event.argument1 & 0xFF
      return "cma_alloc_finish: \(name) \(place) \(count) align=\(event.order) "
        + "errorno=\(errno == 0 ? "" : "-")\(errno)"
    }
  }

  /// The fields of mm_migrate_pages that the second of its two events holds.
  ///
  /// Kernel: include/trace/events/migrate.h.
  private static func migrationRest(_ event: TraceEvent, _ splits: TraceEvent) -> String {
    " nr_thp_failed=\(splits.pfn) nr_thp_split=\(splits.argument0) nr_split=\(splits.argument1) "
      + "mode=\(mode(UInt32(event.order >> 4))) reason=\(reason(UInt32(event.order & 15)))"
  }

  /// The fields of mm_alloc_contig_migrate_range_info that the second of its two events holds.
  ///
  /// 6.12 passes them in another order than the event declares, so each is printed under the name of
  /// the next: the type as nr_migrated, and the mapped pages as migratetype.
  private static func contiguousRest(_ event: TraceEvent, _ totals: TraceEvent) -> String {
    " migratetype=\(totals.argument1) nr_migrated=\(event.argument1) "
      + "nr_reclaimed=\(totals.pfn) nr_mapped=\(totals.argument0)"
  }

  private static func mode(_ mode: UInt32) -> String {
    MigrateMode(rawValue: Int(mode))?.name ?? "\(mode)"
  }

  private static func reason(_ reason: UInt32) -> String {
    MigrationReason(rawValue: Int(reason))?.name ?? "\(reason)"
  }

  private static func page(_ pfn: UInt32?) -> String {
    "page=\(address(pfn)) pfn=\((pfn ?? 0).hex)"
  }

  private static func address(_ pfn: UInt32?) -> String {
    let vmemmap: UInt64 = 0xffff_ea00_0000_0000
    let address = pfn.map { vmemmap + UInt64($0) * 64 } ?? 0
    let digits = String(address, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// A type's number in this kernel: without CONFIG_CMA, Isolate is 4 (rule A0.2).
  private static func number(_ type: UInt8, _ machine: borrowing Machine) -> Int {
    !machine.hasCMA && type > MigrateType.cma.rawValue ? Int(type) - 1 : Int(type)
  }

  /// Kernel: `print_event_info()`, `print_func_help_header_irq()`, kernel/trace/trace.c.
  private static func header(held: Int, written: Int, cpus: Int) -> String {
    """
    # tracer: nop
    #
    # entries-in-buffer/entries-written: \(held)/\(written)   #P:\(cpus)
    #
    #                                _-----=> irqs-off/BH-disabled
    #                               / _----=> need-resched
    #                              | / _---=> hardirq/softirq
    #                              || / _--=> preempt-depth
    #                              ||| / _-=> migrate-disable
    #                              |||| /     delay
    #           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
    #              | |         |   |||||     |         |

    """
  }
}

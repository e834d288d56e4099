/// The lines of /proc/vmstat in the order in which 6.12 prints them (rule A8.4).
///
/// A counter is an index into one of these tables, so that the machine keeps plain arrays.
public enum VMStatNames {
  public static let zoneItems = [
    "nr_free_pages", "nr_zone_inactive_anon", "nr_zone_active_anon", "nr_zone_inactive_file",
    "nr_zone_active_file", "nr_zone_unevictable", "nr_zone_write_pending", "nr_mlock",
    "nr_bounce", "nr_free_cma",
  ]

  /// Those of the LRU lists and of locked pages, whose part that a CPU holds back is kept by name.
  public static let laggingItems = [
    "nr_zone_inactive_anon", "nr_zone_active_anon", "nr_zone_inactive_file", "nr_zone_active_file",
    "nr_zone_unevictable", "nr_mlock",
  ]

  public static let numaItems = [
    "numa_hit", "numa_miss", "numa_foreign", "numa_interleave", "numa_local", "numa_other",
  ]

  public static let nodeItems = [
    "nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable",
    "nr_slab_reclaimable", "nr_slab_unreclaimable", "nr_isolated_anon", "nr_isolated_file",
    "workingset_nodes", "workingset_refault_anon", "workingset_refault_file",
    "workingset_activate_anon", "workingset_activate_file", "workingset_restore_anon",
    "workingset_restore_file", "workingset_nodereclaim", "nr_anon_pages", "nr_mapped",
    "nr_file_pages", "nr_dirty", "nr_writeback", "nr_writeback_temp", "nr_shmem",
    "nr_shmem_hugepages", "nr_shmem_pmdmapped", "nr_file_hugepages", "nr_file_pmdmapped",
    "nr_anon_transparent_hugepages", "nr_vmscan_write", "nr_vmscan_immediate_reclaim",
    "nr_dirtied", "nr_written", "nr_throttled_written", "nr_kernel_misc_reclaimable",
    "nr_foll_pin_acquired", "nr_foll_pin_released", "nr_kernel_stack", "nr_page_table_pages",
    "nr_sec_page_table_pages", "nr_swapcached", "pgdemote_kswapd", "pgdemote_direct",
    "pgdemote_khugepaged",
  ]

  public static let events = [
    "pgpgin", "pgpgout", "pswpin", "pswpout", "pgalloc_dma", "pgalloc_dma32", "pgalloc_normal",
    "pgalloc_movable", "pgalloc_device", "allocstall_dma", "allocstall_dma32",
    "allocstall_normal", "allocstall_movable", "allocstall_device", "pgskip_dma", "pgskip_dma32",
    "pgskip_normal", "pgskip_movable", "pgskip_device", "pgfree", "pgactivate", "pgdeactivate",
    "pglazyfree", "pgfault", "pgmajfault", "pglazyfreed", "pgrefill", "pgreuse", "pgsteal_kswapd",
    "pgsteal_direct", "pgsteal_khugepaged", "pgscan_kswapd", "pgscan_direct",
    "pgscan_khugepaged", "pgscan_direct_throttle", "pgscan_anon", "pgscan_file", "pgsteal_anon",
    "pgsteal_file", "zone_reclaim_success", "zone_reclaim_failed", "pginodesteal",
    "slabs_scanned", "kswapd_inodesteal", "kswapd_low_wmark_hit_quickly",
    "kswapd_high_wmark_hit_quickly", "pageoutrun", "pgrotated", "drop_pagecache", "drop_slab",
    "oom_kill", "pgmigrate_success", "pgmigrate_fail", "thp_migration_success",
    "thp_migration_fail", "thp_migration_split", "compact_migrate_scanned",
    "compact_free_scanned", "compact_isolated", "compact_stall", "compact_fail",
    "compact_success", "compact_daemon_wake", "compact_daemon_migrate_scanned",
    "compact_daemon_free_scanned", "htlb_buddy_alloc_success", "htlb_buddy_alloc_fail",
    "cma_alloc_success", "cma_alloc_fail", "unevictable_pgs_culled", "unevictable_pgs_scanned",
    "unevictable_pgs_rescued", "unevictable_pgs_mlocked", "unevictable_pgs_munlocked",
    "unevictable_pgs_cleared", "unevictable_pgs_stranded", "thp_fault_alloc",
    "thp_fault_fallback", "thp_fault_fallback_charge", "thp_collapse_alloc",
    "thp_collapse_alloc_failed", "thp_file_alloc", "thp_file_fallback",
    "thp_file_fallback_charge", "thp_file_mapped", "thp_split_page", "thp_split_page_failed",
    "thp_deferred_split_page", "thp_underused_split_page", "thp_split_pmd",
    "thp_scan_exceed_none_pte", "thp_scan_exceed_swap_pte", "thp_scan_exceed_share_pte",
    "thp_split_pud", "thp_zero_page_alloc", "thp_zero_page_alloc_failed", "thp_swpout",
    "thp_swpout_fallback", "swap_ra", "swap_ra_hit", "swpin_zero", "swpout_zero",
    "direct_map_level2_splits", "direct_map_level3_splits",
  ]
}

/// The events that the model counts, as indices into ``VMStatNames/events``.
public enum VMEvent: Int, Sendable {
  case swapIn = 2
  case swapOut = 3
  case pgallocDMA = 4
  case allocstallDMA = 9
  case pgfree = 19
  case pgactivate = 20
  case pgdeactivate = 21
  case pgfault = 23
  case pgmajfault = 24
  case refill = 26
  case pgreuse = 27
  case stealKswapd = 28
  case stealDirect = 29
  case scanKswapd = 31
  case scanDirect = 32
  case scanDirectThrottle = 34
  case scanAnon = 35
  case scanFile = 36
  case stealAnon = 37
  case stealFile = 38
  case kswapdLowQuickly = 44
  case kswapdHighQuickly = 45
  case pageOutRun = 46
  case pgrotated = 47
  case dropPageCache = 48
  case dropSlab = 49
  case oomKill = 50
  case migrateSuccess = 51
  case migrateFail = 52
  case thpMigrationSuccess = 53
  case thpMigrationFail = 54
  case thpMigrationSplit = 55
  case hugeAllocation = 65
  case hugeAllocationFail = 66
  case unevictableCulled = 69
  case unevictableRescued = 71
  case unevictableMlocked = 72
  case unevictableMunlocked = 73
  case unevictableCleared = 74
  case unevictableStranded = 75
  case thpFaultAlloc = 76
  case thpFaultFallback = 77
  case thpFileAlloc = 81
  case thpFileFallback = 82
  case thpFileMapped = 84
  case thpSplitPage = 85
  case thpSplitPageFailed = 86
  case thpDeferredSplitPage = 87
  case thpSplitPMD = 89
  case thpZeroPageAlloc = 94
  case thpZeroPageAllocFailed = 95
  case thpSwapOut = 96
  case thpSwapOutFallback = 97
  case compactMigrateScanned = 56
  case compactFreeScanned = 57
  case compactIsolated = 58
  case compactStall = 59
  case compactFail = 60
  case compactSuccess = 61
  case compactDaemonWake = 62
  case compactDaemonMigrateScanned = 63
  case compactDaemonFreeScanned = 64
  case cmaAllocSuccess = 67
  case cmaAllocFail = 68
}

/// The NUMA counters, as indices into ``VMStatNames/numaItems``.
enum NUMAItem: Int {
  case hit = 0
  case miss = 1
  case foreign = 2
  case local = 4
  case other = 5
}

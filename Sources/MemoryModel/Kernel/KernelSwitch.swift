// Invariant: the table names every switch of Kernel and PinningRules, once. What reads a switch is
// told in its `readAt`.

/// One difference between kernels: its name, its values, and what it means (rules P0.6, A9.2).
public struct KernelSwitch: Sendable {
  /// The name that a user types, such as `lt_on_migrate_fail`; in the rules `lt.onMigrateFail`.
  public let name: String
  /// The values that it may take, in words.
  public let values: [String]
  public let doc: String
  public let rule: String
  /// The Swift function that reads it.
  public let readAt: String
  private let get: @Sendable (Kernel) -> String
  private let put: @Sendable (inout Kernel, Int) -> Void

  /// The value in a kernel, one of ``values``.
  public func value(in kernel: Kernel) -> String { get(kernel) }

  /// Turns the switch in a kernel.
  ///
  /// - Precondition: `value` is one of ``values``.
  public func set(_ value: String, in kernel: inout Kernel) {
    guard let index = values.firstIndex(of: value) else {
      preconditionFailure("\(name) has no value \(value)")
    }
    put(&kernel, index)
  }

  /// Whether its values are yes and no.
  public var isBoolean: Bool { values == Self.booleans }
  private static let booleans = ["false", "true"]

  init<Value: RawRepresentable<String> & CaseIterable & Sendable>(
    _ name: String, _ path: any WritableKeyPath<Kernel, Value> & Sendable, _ doc: String,
    rule: String, readAt: String
  ) {
    let cases = Array(Value.allCases)
    self.name = name
    values = cases.map(\.rawValue)
    self.doc = doc
    self.rule = rule
    self.readAt = readAt
    get = { $0[keyPath: path].rawValue }
    put = { $0[keyPath: path] = cases[$1] }
  }

  init(
    _ name: String, _ path: any WritableKeyPath<Kernel, Bool> & Sendable, _ doc: String,
    rule: String, readAt: String
  ) {
    self.name = name
    values = Self.booleans
    self.doc = doc
    self.rule = rule
    self.readAt = readAt
    get = { $0[keyPath: path] ? "true" : "false" }
    put = { $0[keyPath: path] = $1 == 1 }
  }

  init(
    _ name: String, _ path: any WritableKeyPath<Kernel, Int> & Sendable, _ numbers: [Int],
    _ doc: String, rule: String, readAt: String
  ) {
    self.name = name
    values = numbers.map { "\($0)" }
    self.doc = doc
    self.rule = rule
    self.readAt = readAt
    get = { "\($0[keyPath: path])" }
    put = { $0[keyPath: path] = numbers[$1] }
  }
}

extension Kernel {
  /// Why its switches cannot stand together, in words with the fix; nil when they can.
  ///
  /// Three of the allocator's changes came as one, because each needs the others' accounting (rule
  /// A9.6).
  public var contradiction: String? {
    if (fallback == .moveAndRetry) == typesFollowPageblocks {
      return "alloc_fallback = \"\(fallback.rawValue)\" needs alloc_types_follow_pageblocks = "
        + "\(fallback != .moveAndRetry)"
    }
    if mergesAcrossTypes && typesFollowPageblocks {
      return "alloc_merges_across_types = true needs alloc_types_follow_pageblocks = false"
    }
    return nil
  }
}

extension KernelSwitch {
  public static let all: [KernelSwitch] = longTerm + gup + others + allocator

  public static func named(_ name: some StringProtocol) -> KernelSwitch? {
    all.first { $0.name == name }
  }

  private static let longTerm: [KernelSwitch] = [
    KernelSwitch(
      "lt_check", \.pinning.check, "Which folios a long-term pin may not stay on.", rule: "P3.4",
      readAt: "PinningRules.Check.refusedClasses(hasCMA:)"),
    KernelSwitch(
      "lt_users", \.pinning.users, "Whose pins are checked at all.", rule: "P3.58",
      readAt: "PinningRules.checksEveryPin, PinningRules.regions"),
    KernelSwitch(
      "lt_fast_check", \.pinning.fastCheck, "What the fast walk tests.", rule: "P3.32",
      readAt: "PinningRules.checkOfFastWalk"),
    KernelSwitch(
      "lt_scan", \.pinning.scan, "Which entries of the output the check looks at.", rule: "P3.44",
      readAt: "PinningRules+LongTerm"),
    KernelSwitch(
      "lt_on_migrate_fail", \.pinning.onMigrateFail, "What a failed migration means.",
      rule: "P3.50", readAt: "PinningRules.pinsAnyway"),
    KernelSwitch(
      "lt_on_isolate_fail", \.pinning.onIsolateFail,
      "What it means that nothing could be isolated.", rule: "P3.43",
      readAt: "PinningRules.staysIfNothingIsolated"),
    KernelSwitch(
      "lt_drain", \.pinning.drain, "When the LRU batches are drained.", rule: "P3.45",
      readAt: "PinningRules+LongTerm"),
    KernelSwitch(
      "lt_isolate_inverted", \.pinning.isolateInverted,
      "The test after isolation is the wrong way round.", rule: "P3.46",
      readAt: "LongTermCheck.isolate(_:_:_:)"),
    KernelSwitch(
      "lt_dest", \.pinning.destination, "How frames to move to are asked for.", rule: "P4.8",
      readAt: "PinningRules.destinationFlags"),
    KernelSwitch(
      "lt_scope", \.pinning.scope, "What allocations lose inside a long-term pin.",
      rule: "P2.34", readAt: "PinningRules+LongTerm"),
    KernelSwitch(
      "lt_compound", \.pinning.compound, "Whether compound pages are moved.", rule: "P3.56",
      readAt: "PinningRules.leavesCompounds"),
    KernelSwitch(
      "lt_reason", \.pinning.reason, "The reason that trace events print.", rule: "P3.59",
      readAt: "PinningRules.migrationReason"),
    KernelSwitch(
      "lt_check_array", \.pinning.checkArray,
      "The check allocates an array of pointers by kmalloc, 4 MiB at most.", rule: "P3.48",
      readAt: "Pin.advanceCheck(_:_:)"),
    KernelSwitch(
      "lt_batched_unpin", \.pinning.batchedRoundUnpin,
      "A failed round unpins folio by folio instead of page by page.", rule: "P8.3",
      readAt: "LongTermCheck.unpinRound(_:_:_:)"),
  ]

  private static let gup: [KernelSwitch] = [
    KernelSwitch(
      "gup_slow_batch", \.pinning.slowBatch, "The slow walk takes a leaf at once.", rule: "P3.21",
      readAt: "Machine.grabSlow"),
    KernelSwitch(
      "gup_slow_grab_checks_zone", \.pinning.slowGrabChecksZone,
      "The grab of the rest of a leaf refuses folios that may not stay.", rule: "P3.23",
      readAt: "Machine.grabSlow"),
    KernelSwitch(
      "gup_unpin_batch", \.pinning.unpinBatch, "Unpinning goes folio by folio.", rule: "P3.80",
      readAt: "UnpinOperation"),
    KernelSwitch(
      "gup_vmas_array", \.pinning.vmasArray, "An array of VMAs beside the array of pages.",
      rule: "P3.48", readAt: "Pin.needsAreas(_:)"),
    KernelSwitch(
      "gup_counting", \.pinning.counting, "Whether pins are counted, or are plain references.",
      rule: "P1.3", readAt: "PinningRules.countsPins"),
    KernelSwitch(
      "gup_unshare", \.pinning.unsharing, "When a read pin gets a private copy first.",
      rule: "P3.14", readAt: "PinningRules.unshares(anonymous:)"),
    KernelSwitch(
      "gup_refuses_dirty_tracking", \.pinning.refusesDirtyTracking,
      "No long-term write pin of a shared file that tracks dirty pages.", rule: "P3.13",
      readAt: "Machine.mayWriteForLong(_:)"),
    KernelSwitch(
      "gup_walker", \.pinning.walker, "Whether the walker tests each page as it finds it.",
      rule: "P3.60", readAt: "PinningRules.testsWhileWalking"),
    KernelSwitch(
      "gup_output", \.pinning.output, "Whether the walker writes pointers or a scatter list.",
      rule: "P7.51", readAt: "PinningRules.writesScatterList"),
    KernelSwitch(
      "bug_zero_page_unpinnable", \.pinning.zeroPageUnpinnable,
      "The page of zeros may not stay pinned.", rule: "P3.5",
      readAt: "Machine.unpinnableReason(_:)"),
  ]

  private static let others: [KernelSwitch] = [
    KernelSwitch(
      "mig_mode", \.pinning.migrationMode, "How migrate_pages goes over its list.", rule: "P4.1",
      readAt: "Migration.step(_:)"),
    KernelSwitch(
      "mig_split_retry_longterm", \.pinning.splitRetry,
      "Whether a split that found a reference is tried again.", rule: "P4.9",
      readAt: "PinningRules.retriesSplit(_:)"),
    KernelSwitch(
      "vfio_batch", \.pinning.vfioBatch, [1, 512], "Pages that VFIO pins in one call.",
      rule: "P7.3", readAt: "DeviceAttachment.batch(_:)"),
    KernelSwitch(
      "vfio_skip_tails", \.pinning.vfioSkipsTails,
      "VFIO pins no page behind the first of a compound page, and maps the frames that follow; never "
        + "merged.", rule: "P7.9", readAt: "DeviceMap.request(_:_:)"),
    KernelSwitch(
      "spapr_pin", \.pinning.registration, "What powerpc does before it keeps a guest's pages.",
      rule: "P3.56", readAt: "PinningRules+Walk"),
    KernelSwitch(
      "lru_batch_size", \.pinning.lruBatchSize, [14, 15, 31], "Folios in an LRU batch.",
      rule: "P1.20", readAt: "Machine.lruBatchCapacity"),
    KernelSwitch(
      "lru_clear_flag_on_queue", \.pinning.clearsFlagOnQueue,
      "A folio that waits in a batch loses its LRU flag.", rule: "P1.26",
      readAt: "Machine.clearsFlag(_:)"),
  ]

  private static let allocator: [KernelSwitch] = [
    KernelSwitch(
      "thp_pcp_lists", \.hugeLists, [0, 1, 2],
      "Per-CPU lists for pages of 2 MiB: none, one for all types, two.", rule: "P2.35",
      readAt: "Machine+AllocatorRules"),
    KernelSwitch(
      "alloc_fallback", \.fallback, "Which block a request takes when its own lists are empty.",
      rule: "A9.5", readAt: "Machine.take"),
    KernelSwitch(
      "alloc_cma_first", \.takesCMAFirst,
      "Movable requests take CMA first while more than half of the free memory is CMA.",
      rule: "A9.3g", readAt: "Machine.prefersCMA(_:)"),
    KernelSwitch(
      "alloc_inserts_at_head", \.insertsAtHead,
      "Blocks that are moved or put back go to the head of a list.", rule: "A9.2a",
      readAt: "Machine.movesToTail"),
    KernelSwitch(
      "alloc_merges_across_types", \.mergesAcrossTypes,
      "Whole pageblocks merge across types, but for isolated ones.", rule: "A9.2p",
      readAt: "Machine.mergeAndInsert"),
    KernelSwitch(
      "alloc_wakes_without_boost", \.wakesWithoutBoost,
      "A fallback wakes kswapd even when nothing was boosted.", rule: "A9.2q",
      readAt: "Machine.noteBoost"),
    KernelSwitch(
      "alloc_harder", \.hasHarder, "__GFP_ATOMIC stands for ALLOC_HARDER.", rule: "A9.8",
      readAt: "Machine.slowPathFlags"),
    KernelSwitch(
      "alloc_compares_unsigned", \.comparesUnsigned,
      "A negative number of usable pages passes the first test of order 0.", rule: "A9.2v",
      readAt: "Machine.isWatermarkOKFast"),
    KernelSwitch(
      "alloc_types_follow_pageblocks", \.typesFollowPageblocks,
      "A page's type is always its pageblock's.", rule: "A9.6", readAt: "Machine+Accounting"),
    KernelSwitch(
      "alloc_empty_zone_drops_reserve", \.emptyZoneDropsReserve,
      "An empty upper zone zeroes the reserve of the lower zones.", rule: "A9.2e",
      readAt: "Machine+Sizing"),
    KernelSwitch(
      "alloc_high_atomic_needs_high", \.highAtomicNeedsHigh,
      "HighAtomic blocks want __GFP_HIGH.", rule: "A9.2t", readAt: "Machine.slowPathFlags"),
    KernelSwitch(
      "alloc_non_blocking_takes_high_atomic", \.nonBlockingTakesHighAtomic,
      "Non-blocking requests may take HighAtomic blocks last.", rule: "A3.28",
      readAt: "Machine.takeUnaccounted"),
    KernelSwitch(
      "alloc_counts_free_high_atomic", \.countsFreeHighAtomic,
      "Only free HighAtomic pages are held back.", rule: "A4.11", readAt: "Machine+Watermarks"),
    KernelSwitch(
      "alloc_limits_high_atomic_strictly", \.limitsHighAtomicStrictly,
      "HighAtomic reserves stay below a hundredth of the zone.", rule: "A3.29",
      readAt: "Machine.reserveHighAtomic"),
    KernelSwitch(
      "alloc_atomic_bit", \.hasAtomicBit, "__GFP_ATOMIC exists.", rule: "A9.8",
      readAt: "Machine+Watermarks"),
    KernelSwitch(
      "log_busy_ranges", \.logsBusyRanges,
      "A contiguous allocation that fails says which range is busy.", rule: "P5.16",
      readAt: "Machine.logBusyRange(_:)"),
    KernelSwitch(
      "kvm_guest_memfd", \.hasGuestMemory, "KVM has guest_memfd.", rule: "P2.2",
      readAt: "Machine.createGuestMemory(_:name:pages:)"),
    KernelSwitch(
      "madv_nomovable", \.hasMovableAdvice,
      "madvise knows MADV_NOMOVABLE, MADV_PINNABLE and MADV_MIGHT_PIN; never merged.",
      rule: "P9.20", readAt: "Machine.advisePlacement(_:_:_:)"),
    KernelSwitch(
      "madv_might_pin", \.mightPinPercent, [0, 10, 25, 50, 75, 90, 100],
      "Of a hundred pages with MADV_MIGHT_PIN, those for which the hint is followed.",
      rule: "P9.22", readAt: "Machine.isAdvisedScope(_:page:)"),
    KernelSwitch(
      "cma_disable_borrow", \.disablesCMABorrowing,
      "Nobody borrows pages of CMA; never merged.", rule: "P9.24",
      readAt: "Machine.borrowsFromCMA"),
    KernelSwitch(
      "revoke", \.revocation,
      "Whether cma_alloc and offline demand pages back from devices that pin them; never merged.",
      rule: "P9.11", readAt: "Machine.askForPages(in:)"),
    KernelSwitch(
      "pcp_regime", \.perCPULists, "How per-CPU lists are sized, filled and flushed.",
      rule: "A9.7", readAt: "Machine+AllocatorRules"),
    KernelSwitch(
      "pcp_high_orders", \.cachesHighOrders, "Orders 1 to 3 go through the per-CPU lists.",
      rule: "A9.2j", readAt: "Machine.isPerCPUOrder(_:)"),
    KernelSwitch(
      "pcp_decays_in_batches", \.decaysInBatches, "The decay of pcp->high frees in batches.",
      rule: "A5.26", readAt: "Machine.decay"),
  ]
}

// Invariant: what the values of the long-term check's switches mean is written here and nowhere else;
// the check, its bulk paths and `why` ask.

extension PinningRules {
  // MARK: Who is checked, and against what

  /// Whether every pin that says FOLL_LONGTERM is checked: 5.1 and later (9a4e9f3b2d73, rule P3.58).
  public var checksEveryPin: Bool { users == .gup }

  /// Whether not even powerpc looks where a page lies.
  var checksNobody: Bool { users == .none }

  /// What the fast walk tests: up to 5.6 nothing, from 5.7 on CMA (df3a0a21b698), from 5.13 on what the
  /// slow walk tests (rule P3.32).
  var checkOfFastWalk: Check {
    switch fastCheck {
    case .absent: .none
    case .cma: .cmaBlock
    case .same: check
    }
  }

  // MARK: Going over the output (rule P3.44)

  /// Up to 5.2: every page is looked up, also those of one folio.
  var looksUpEveryPage: Bool { scan == .perPage }
  /// 5.3 to 5.12: the scan goes on behind the compound page that it has seen (aa712399c1e8).
  public var stepsOverCompounds: Bool { scan == .compoundStep }
  /// 5.12.5 to 6.12.0: entries with the head of the one before are passed.
  public var comparesHeads: Bool { scan == .headCompare }
  /// The last 6.12: entries are passed whose frames lie in the folio before.
  public var goesByFrames: Bool { scan == .pfnRange }

  // MARK: Draining (rules P3.41, P3.45)

  /// Up to 5.0: this CPU's batches, for each folio.
  public var drainsHere: Bool { drain == .localOnly }
  /// 5.1 to 6.12.4x: all CPUs' batches, when a folio has no LRU flag, once a round; later ones go by
  /// references.
  public var drainsAllIfNotLRU: Bool { drain == .allIfNotLRU }

  /// The references of a pin that the drain expects beside a folio's own: the backport of 6.1.176 forgot
  /// that a counted pin is 1024 of them.
  public func referencesOfPin(isCounted: Bool) -> Int {
    isCounted && drain != .refcountPlusOne ? FolioTable.pinBias : 1
  }

  /// Whether folios of order 0 that need no drain are isolated in runs: what the drain expects, what
  /// becomes of them, and which are looked at, is the same for all of a run.
  public var isolatesTogether: Bool {
    goesByFrames && drain == .referencesLocalThenAll && !isolateInverted
  }

  /// 4.9 to 5.0: pages of order 0 alone are moved (2e5bbb5461f1, rule P3.56).
  public var leavesCompounds: Bool { compound == .skip }

  // MARK: What becomes of failures

  /// Up to 5.12: after a failed migration the pages are pinned where they are, and nothing is checked any
  /// more; an error since 5.12.5 (f0f4463837da, rules P3.50, P3.51).
  public var pinsAnyway: Bool { onMigrateFail == .pinAnyway }

  /// Up to 5.12, and in 6.14 (1aaf8c122918, back in 517f496e1e61): that nothing could be isolated is a
  /// success; otherwise the round is repeated (6e7f34ebb8d2, rules P3.43, P3.47).
  public var staysIfNothingIsolated: Bool { onIsolateFail == .ignoreIfListEmpty }

  // MARK: Moving

  /// How frames to move to are asked for (rule P4.8).
  public var destinationFlags: GFPFlags {
    switch destination {
    case .userNoRetry: [.user, .noRetry, .noWarn]
    case .userThisNode: [.user, .thisNode, .noWarn]
    case .user: [.user, .noWarn]
    case .userMovableNoCMA: [.user, .movable, .noWarn]
    }
  }

  /// What the trace events of these migrations say: contig_range until the series of 2020 (rule P3.59).
  public var migrationReason: MigrationReason {
    reason == .longtermPin ? .longtermPin : .contigRange
  }

  /// Whether a split that found a reference is tried again: 6.2 and later, for long-term pins
  /// (fd4a7ac32918, rule P4.9).
  func retriesSplit(_ reason: MigrationReason) -> Bool { splitRetry && reason == .longtermPin }

  // MARK: The scope: allocations of a task inside of a long-term pin (rules P2.33, P2.34)

  /// 5.13 and later drop `__GFP_MOVABLE` from the start; 5.1 to 5.8 in the slow path alone.
  func scopeDropsMovable(isSlow: Bool) -> Bool {
    scope == .pin || isSlow && scopeStartsInSlowPath
  }

  /// 5.1 to 5.8: the first attempt is made as if there were no pin.
  var scopeStartsInSlowPath: Bool { scope == .noCMASlowPath }

  /// 5.9 to 5.12: requests stay movable, and get nothing of CMA (8510e69c8efe).
  var scopeAvoidsCMA: Bool { scope == .noCMA }

  /// Whether free pages of the hugetlb pool are passed on which the pin could not stay: 5.9 and later
  /// (rule P2.36).
  var scopeGuardsHugePool: Bool { scope == .noCMA || scope == .pin }
}

extension PinningRules.Check {
  /// The classes of pageblocks on which a long-term pin may not stay: bits 0 to 7 for the types in
  /// ordinary zones, bits 8 to 15 for those in ZONE_MOVABLE (rules P3.1, P3.4, P3.52, P3.54).
  ///
  /// Without CONFIG_CMA types are not looked at (rule P0.3).
  func refusedClasses(hasCMA: Bool) -> UInt16 {
    let cma: UInt16 = 1 << MigrateType.cma.rawValue
    let isolate: UInt16 = 1 << MigrateType.isolate.rawValue
    let movable: UInt16 = 1 << MigrateType.movable.rawValue
    let zone: UInt16 = 0xFF00
    func types(_ bits: UInt16) -> UInt16 { hasCMA ? bits | bits << 8 : 0 }
    return switch self {
    case .none: 0
    case .cmaBlock: types(cma)
    case .movableType: types(cma) | movable | movable << 8
    case .zoneOrCMA: types(cma) | zone
    case .zoneAndCMA: types(cma) & zone
    case .pinnable: types(cma | isolate) | zone
    }
  }

  /// Whether it is for their type that Movable pageblocks are refused, and not for their zone (rule P3.52).
  var refusesMovableBlocks: Bool { self == .movableType }
}

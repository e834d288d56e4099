/// How a kernel pins for long, switch by switch (rule P0.6); the defaults are 6.12.117's.
public struct PinningRules: Sendable, Equatable {
  /// Which folios a long-term pin may not stay on (`lt.check`, rules P3.1, P3.4).
  public enum Check: String, Sendable, CaseIterable {
    case none
    /// 5.1 to 5.12: pageblocks of type CMA.
    case cmaBlock
    /// The 2020 RFC: pageblocks of type Movable or CMA (rule P3.52).
    case movableType
    /// 5.13 to 5.18: ZONE_MOVABLE or CMA.
    case zoneOrCMA
    /// Suggested in 2020: both at once (rule P3.54).
    case zoneAndCMA
    /// 5.19 and later: CMA, isolated pageblocks, ZONE_MOVABLE (rule P3.1).
    case pinnable
  }

  /// What the fast walk tests (`lt.fastCheck`, rule P3.32).
  public enum FastCheck: String, Sendable, CaseIterable { case absent, cma, same }

  /// Which entries of the output the check looks at (`lt.scan`, rule P3.44).
  public enum Scan: String, Sendable, CaseIterable {
    case perPage, compoundStep, headCompare, pfnRange
  }

  /// What a failed migration means (`lt.onMigrateFail`, rules P3.50, P3.51).
  public enum MigrationFailure: String, Sendable, CaseIterable { case pinAnyway, error }

  /// What it means that nothing could be isolated (`lt.onIsolateFail`, rules P3.43, P3.47).
  public enum IsolationFailure: String, Sendable, CaseIterable {
    case ignoreIfListEmpty, retryForever
  }

  /// When the LRU batches are drained (`lt.drain`, rules P3.41, P3.45).
  public enum Drain: String, Sendable, CaseIterable {
    case localOnly, allIfNotLRU, referencesLocalThenAll
  }

  /// How the destinations are asked for (`lt.dest`, rule P4.8).
  public enum Destination: String, Sendable, CaseIterable {
    case userNoRetry, userThisNode, user, userMovableNoCMA
  }

  /// What the task's allocations lose inside a long-term pin (`lt.scope`, rules P2.33, P2.34).
  public enum Scope: String, Sendable, CaseIterable {
    case none, noCMASlowPath, noCMA, pin
  }

  /// How migrate_pages() goes over its list (`mig.mode`, rules P4.1, P4.2).
  public enum MigrationMode: String, Sendable, CaseIterable { case classic, batched }

  public var check = Check.pinnable
  public var fastCheck = FastCheck.same
  public var scan = Scan.pfnRange
  public var onMigrateFail = MigrationFailure.error
  public var onIsolateFail = IsolationFailure.retryForever
  public var drain = Drain.referencesLocalThenAll
  /// 6.1.0 to 6.1.12 (rule P3.46).
  public var isolateInverted = false
  public var destination = Destination.user
  public var scope = Scope.pin
  /// Whether compound pages are moved at all (`lt.compound`).
  public var movesCompound = true
  /// One walk a leaf instead of one a page (`gup.slowBatch`, 6.6, rule P3.21).
  public var slowBatch = true
  /// 6.6 to 6.9: the grab of the rest of a leaf refuses unpinnable folios (rule P3.23).
  public var slowGrabChecksZone = false
  /// One update of the counts for all consecutive pages of a folio (5.13, rule P3.80).
  public var unpinBatch = true
  /// 5.1 to 5.10: an array of VMAs beside the array of pages (rule P3.48).
  public var vmasArray = false
  public var migrationMode = MigrationMode.batched
  /// Whether a split that found a reference is tried again (6.2, rule P4.9).
  public var splitRetry = true

  public init() {}
}

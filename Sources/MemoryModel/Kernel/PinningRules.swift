// Invariant: what a value means is written once, in PinningRules+LongTerm and PinningRules+Walk or at the
// only place that looks at the switch, with the rule and the commit that turned it. A switch of two values
// means what its name says. The raw values are the names of rule P0.6, which a user types.

/// How a kernel pins for long, and migrates, switch by switch (rule P0.6); the defaults are
/// 6.12.117's.
public struct PinningRules: Sendable, Equatable, Codable {
  /// Which folios a long-term pin may not stay on (`lt.check`, rules P3.1, P3.4).
  public enum Check: String, Sendable, CaseIterable, Codable {
    case none
    /// 5.1 to 5.12: pageblocks of type CMA (9a4e9f3b2d73).
    case cmaBlock
    /// The 2020 RFC: pageblocks of type Movable or CMA (rule P3.52).
    case movableType = "mtMovable"
    /// 5.13 to 5.18: ZONE_MOVABLE or CMA (d1e153fea2a8).
    case zoneOrCMA = "zoneOrCma"
    /// Suggested in 2020: both at once (rule P3.54).
    case zoneAndCMA = "zoneAndCma"
    /// 5.19 and later: CMA, isolated pageblocks, ZONE_MOVABLE (1c563432588d, rule P3.1).
    case pinnable = "pinnable519"
  }

  /// Whose pins are looked at, at all (rule P3.58).
  public enum Users: String, Sendable, CaseIterable, Codable {
    /// Nobody's: FOLL_LONGTERM does not exist, or means nothing.
    case none
    /// 4.9 to 5.0: powerpc's mm_iommu_get() alone.
    case spapr
    /// 5.1 and later: every long-term pin (9a4e9f3b2d73).
    case gup
  }

  /// What powerpc does before it keeps a guest's pages (`mm_iommu_get`, rules P3.10, P3.55, P3.56).
  public enum Registration: String, Sendable, CaseIterable, Codable {
    /// Up to 4.8: pins page by page, wherever they lie.
    case plain
    /// The patch of August 2015: unlinks the page and migrates an empty list.
    case rfc2015
    /// 4.9 to 4.20: page by page, migrates those of order 0 that lie in CMA (2e5bbb5461f1).
    case pageByPage
    /// The helper of 2018: one fast pin of all, then a scan.
    case helper
    /// 5.1 and later: long-term pins in chunks (d7fefcc8de91, rule P3.57).
    case longTerm
  }

  /// What the fast walk tests (`lt.fastCheck`, rule P3.32).
  public enum FastCheck: String, Sendable, CaseIterable, Codable { case absent, cma, same }

  /// Which entries of the output the check looks at (`lt.scan`, rule P3.44).
  public enum Scan: String, Sendable, CaseIterable, Codable {
    case perPage, compoundStep, headCompare, pfnRange
  }

  /// What a failed migration means (`lt.onMigrateFail`, rules P3.50, P3.51).
  public enum MigrationFailure: String, Sendable, CaseIterable, Codable { case pinAnyway, error }

  /// What it means that nothing could be isolated (`lt.onIsolateFail`, rules P3.43, P3.47).
  public enum IsolationFailure: String, Sendable, CaseIterable, Codable {
    case ignoreIfListEmpty, retryForever
  }

  /// When the LRU batches are drained (`lt.drain`, rules P3.41, P3.45).
  public enum Drain: String, Sendable, CaseIterable, Codable {
    case localOnly, allIfNotLRU
    /// The backport of 6.1.176: expects one reference where a pin counts 1024, so that every folio of
    /// order 0 drains.
    case refcountPlusOne
    case referencesLocalThenAll = "refcountLocalThenAll"
  }

  /// How the destinations are asked for (`lt.dest`, rule P4.8).
  public enum Destination: String, Sendable, CaseIterable, Codable {
    case userNoRetry = "ppcGfpUserNoretry"
    case userThisNode = "gfpUserThisnode"
    case user = "gfpUser"
    case userMovableNoCMA = "gfpUserMovableNoCma"
  }

  /// What the task's allocations lose inside a long-term pin (`lt.scope`, rules P2.33, P2.34).
  public enum Scope: String, Sendable, CaseIterable, Codable {
    case none
    /// 5.1 to 5.8: `__GFP_MOVABLE`, but in the slow path alone.
    case noCMASlowPath = "nocmaSlowpathOnly"
    /// 5.9 to 5.12: CMA pageblocks (8510e69c8efe).
    case noCMA = "nocma"
    /// 5.13 and later: `__GFP_MOVABLE` (PF_MEMALLOC_PIN).
    case pin
  }

  /// Whether compound pages are moved at all (`lt.compound`, rule P3.56).
  public enum Compound: String, Sendable, CaseIterable, Codable { case skip, move }

  /// The reason that the migration of a pin is labelled with (rule P3.59).
  public enum Reason: String, Sendable, CaseIterable, Codable {
    case contigRange = "contig_range"
    case longtermPin = "longterm_pin"
  }

  /// How FOLL_PIN counts (rules P1.3, P9.41).
  public enum Counting: String, Sendable, CaseIterable, Codable {
    /// Up to 5.6: a pin is a plain reference.
    case references
    /// 5.7 and later (df3a0a21b698).
    case pins
  }

  /// When a read pin gets a private copy first (rule P3.14).
  public enum Unsharing: String, Sendable, CaseIterable, Codable {
    case none
    /// 5.19 to 6.1: of anonymous memory that is not exclusive.
    case anonymous
    /// 6.2 and later: also of what a private mapping of a file shows, for long-term pins.
    case all
  }

  /// How the check is made (rule P3.60).
  public enum Walker: String, Sendable, CaseIterable, Codable {
    /// All pages are pinned, then looked at again.
    case rescan
    /// Proposed in 2020: the walker tests each page as it finds it.
    case integrated
  }

  /// What the walker writes (rule P7.51).
  public enum Output: String, Sendable, CaseIterable, Codable {
    /// A pointer a page.
    case pages
    /// Proposed in 2020: a record a leaf, neighbours merged.
    case scatter
  }

  /// How migrate_pages() goes over its list (`mig.mode`, rules P4.1, P4.2).
  public enum MigrationMode: String, Sendable, CaseIterable, Codable {
    case classic = "classic10"
    case batched = "batch3plus7"
  }

  var check = Check.pinnable
  var users = Users.gup
  var registration = Registration.longTerm
  var fastCheck = FastCheck.same
  var scan = Scan.pfnRange
  var onMigrateFail = MigrationFailure.error
  var onIsolateFail = IsolationFailure.retryForever
  var drain = Drain.referencesLocalThenAll
  /// 6.1.0 to 6.1.12 (67e139b02d99, rule P3.46).
  public var isolateInverted = false
  var destination = Destination.user
  var scope = Scope.pin
  var compound = Compound.move
  var reason = Reason.longtermPin
  /// 6.11.0: the check allocates an array of page pointers by kmalloc (rule P3.48).
  public var checkArray = false
  /// 5.13 to 6.0: a failed round unpins folio by folio (rule P8.3).
  public var batchedRoundUnpin = false
  var counting = Counting.pins
  var unsharing = Unsharing.all
  /// 6.5 and later: no long-term write pin of a shared file that tracks dirty pages (rule P3.13).
  public var refusesDirtyTracking = true
  /// One walk a leaf instead of one a page (`gup.slowBatch`, 57edfcfd3419, rule P3.21).
  public var slowBatch = true
  /// 6.6 to 6.9: the grab of the rest of a leaf refuses unpinnable folios (f442fa614137 ends it, rule
  /// P3.23).
  public var slowGrabChecksZone = false
  /// One update of the counts for all consecutive pages of a folio (`gup.unpinBatch`, rule P3.80).
  public var unpinBatch = true
  /// 5.1 to 5.10: an array of VMAs beside the array of pages (rules P3.48, P8.6).
  public var vmasArray = false
  var walker = Walker.rescan
  var output = Output.pages
  var migrationMode = MigrationMode.batched
  /// Whether a split that found a reference is tried again (fd4a7ac32918, rule P4.9).
  var splitRetry = true
  /// Pages that VFIO pins in one call (`vfio.batch`, 4d83de6da265, rules P7.1, P7.3).
  public var vfioBatch = 512
  /// VFIO calls for the first page of a compound page alone, and takes the frames behind it for the rest:
  /// Daniel Jordan's experiment of December 2020, never posted (rule P7.9).
  public var vfioSkipsTails = false
  /// Folios in an LRU batch (`lru.batchSize`, 9cecde80aae0, rule P1.20).
  public var lruBatchSize = 31
  /// Whether a folio that waits in a batch loses its LRU flag (33dfe9204f29, rule P1.26).
  public var clearsFlagOnQueue = false
  /// A window of 5.19: the page of zeros may not stay pinned (rule P3.5).
  public var zeroPageUnpinnable = false

  public init() {}
}

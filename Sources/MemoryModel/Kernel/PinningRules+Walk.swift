// Invariant: what the values of the walker's and the drivers' switches mean is written here and nowhere
// else.

extension PinningRules {
  // MARK: The walk

  /// Whether FOLL_PIN is counted apart from other references: 5.7 and later (df3a0a21b698, rules P1.3,
  /// P9.41).
  public var countsPins: Bool { counting == .pins }

  /// Whether a read pin gets a private copy first: of anonymous memory that is not exclusive from 5.19
  /// on, of what private mappings of files show from 6.2 on (rule P3.14).
  ///
  /// Kernel: `gup_must_unshare()`, mm/internal.h.
  public func unshares(anonymous: Bool) -> Bool {
    switch unsharing {
    case .none: false
    case .anonymous: anonymous
    case .all: true
    }
  }

  /// Whether the walker tests each page as it finds it, so that nothing is gone over again; proposed in
  /// December 2020, never merged (rule P3.60).
  public var testsWhileWalking: Bool { walker == .integrated }

  /// Whether the walker writes a record a leaf, neighbours merged, in place of a pointer a page; proposed
  /// in December 2020, never merged (rule P7.51).
  public var writesScatterList: Bool { output == .scatter }

  // MARK: Regions of powerpc (`mm_iommu_get()`)

  /// What is done to a region: who checks nobody's pins moves nothing either (rule P3.58).
  private var regions: Registration {
    checksNobody && registration != .longTerm ? .plain : registration
  }

  /// The patch of 2015, and 4.9 to 4.20 (2e5bbb5461f1): each page is moved out of CMA before it is kept
  /// (rules P3.10, P3.56).
  public var movesRegionsPageByPage: Bool { regions == .rfc2015 || regions == .pageByPage }

  /// The patch of 2015: the page leaves its LRU list behind the list's back (rule P3.10).
  public var unlinksRegions: Bool { regions == .rfc2015 }

  /// The helper of 2018: one fast pin of all, then a scan (rule P3.55).
  public var pinsRegionsAtOnce: Bool { regions == .helper }

  /// The helper of 2018 isolates the page that it found, and a tail is no huge page (rule P3.55).
  public var isolatesPageAsFound: Bool { regions == .helper }

  /// 5.1 and later: long-term pins in chunks (d7fefcc8de91, rule P3.57); pages of THP no longer count for
  /// the size of a region's pages (rule P7.41).
  public var pinsRegionsInChunks: Bool { regions == .longTerm }
}

/// What a migration did, counted as rule P4.30 says.
///
/// Kernel: `struct migrate_pages_stats`.
public struct MigrationCounts: Sendable, Hashable {
  /// In base pages.
  public var succeeded = 0
  public var failedPages = 0
  public var thpSucceeded = 0
  public var thpFailed = 0
  public var thpSplit = 0
  /// Large folios of any size that were split.
  public var split = 0

  public init() {}
}

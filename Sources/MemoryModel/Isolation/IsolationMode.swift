/// Why a range is isolated: it decides which pages are in the way, and what its pageblocks become
/// afterwards (rules A6.1, A6.5, P5.10, P6.1).
public enum IsolationMode: Sendable, Hashable {
  /// `cma_alloc()`: a CMA pageblock is taken whatever it holds.
  ///
  /// Kernel: `MIGRATE_CMA`.
  case cmaAllocation
  /// Memory is going offline; a CMA pageblock is in the way.
  ///
  /// Kernel: `MIGRATE_MOVABLE` with `MEMORY_OFFLINE`.
  case memoryOffline
  /// Any other caller of `alloc_contig_range()`; a CMA pageblock is in the way.
  ///
  /// Kernel: `MIGRATE_MOVABLE`.
  case contiguousPages

  /// What the pageblocks are when isolation ends, whatever they were before.
  public var restoredType: MigrateType { self == .cmaAllocation ? .cma : .movable }
}

/// Why folios move, numbered as in 6.12 (rule P4.31).
///
/// Kernel: `enum migrate_reason`.
public enum MigrationReason: Int, Sendable, CaseIterable {
  case compaction, memoryFailure, memoryHotplug, syscall, mempolicyMbind, numaMisplaced
  case contigRange, longtermPin, demotion, damon

  /// The name that the trace event prints.
  public var name: String {
    switch self {
    case .compaction: "compaction"
    case .memoryFailure: "memory_failure"
    case .memoryHotplug: "memory_hotplug"
    case .syscall: "syscall_or_cpuset"
    case .mempolicyMbind: "mempolicy_mbind"
    case .numaMisplaced: "numa_misplaced"
    case .contigRange: "contig_range"
    case .longtermPin: "longterm_pin"
    case .demotion: "demotion"
    case .damon: "damon"
    }
  }
}

/// How hard a migration tries.
///
/// Kernel: `enum migrate_mode`.
public enum MigrateMode: Int, Sendable, Codable {
  case async, syncLight, sync

  public var name: String {
    switch self {
    case .async: "MIGRATE_ASYNC"
    case .syncLight: "MIGRATE_SYNC_LIGHT"
    case .sync: "MIGRATE_SYNC"
    }
  }
}

/// Where the folios of a migration go (rule P4.8).
///
/// Kernel: `struct migration_target_control`.
public struct MigrationTarget: Sendable, Hashable {
  public var gfp: GFPFlags
  /// Nil: the node of each source.
  public var node: Int?
  public var reason: MigrationReason
  /// The task runs inside a long-term pin (rule P2.33).
  public var inPinScope: Bool
  /// Other nodes only, the nearest first: a part of the node is going away.
  ///
  /// Kernel: `nmask` without the node, as `do_migrate_range()` sets it.
  public var leavesNode: Bool

  public init(
    gfp: GFPFlags, node: Int? = nil, reason: MigrationReason, inPinScope: Bool = false,
    leavesNode: Bool = false
  ) {
    self.gfp = gfp
    self.leavesNode = leavesNode
    self.node = node
    self.reason = reason
    self.inPinScope = inPinScope
  }
}

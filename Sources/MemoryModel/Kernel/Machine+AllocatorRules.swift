// Invariant: what the values of the allocator's switches mean is written here and nowhere else. A switch
// of two values is asked by its name.

extension Machine {
  /// 6.7 and later: `high` of the per-CPU lists grows with use and decays (rules A5.5 to A5.16).
  ///
  /// The fields of `per_cpu_pages` that count frees and scale batches exist with it.
  package var tunesPerCPULists: Bool { kernel.perCPULists == .autoTuned }

  /// Up to 5.13: `high` is six batches, and a flush frees one batch from the lists in turn (row l, rule
  /// A5.29).
  var hasFixedPerCPULists: Bool { kernel.perCPULists == .fixed }

  /// 6.0 to 6.9: blocks of 2 MiB of all types are on one per-CPU list (row k, rule P2.35; 5d0a661d808f,
  /// ended by bf14ed81f571).
  var sharesHugeList: Bool { kernel.hugeLists == 1 }

  /// 5.14 and later: blocks of 2 MiB go through the per-CPU lists (row k, rules A5.3, P2.35).
  var cachesHugePages: Bool { kernel.hugeLists > 0 }
}

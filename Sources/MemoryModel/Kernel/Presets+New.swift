// The kernels from 5.14 on, oldest first (rule P0.7).

extension Presets {
  /// The pins of 5.13; the allocator's per-CPU lists change.
  mutating func addHighOrderLists() {
    add(
      "5.14", from: "5.13", 2021, first: "5.14", ["44042b449872", "b92ca18e8ca5"],
      threads: ["002"],
      "per-CPU lists for orders 1 to 3 and for 2 MiB pages, sized after the low watermark"
    ) { kernel in
      kernel.perCPULists = .lowWatermark
      kernel.cachesHighOrders = true
      kernel.hugeLists = 2
      kernel.logsBusyRanges = false
    }
    add(
      "5.15", from: "5.14", 2021, first: "5.15", threads: ["001"],
      "a long-term kernel: pins of 5.13, per-CPU lists of 5.14"
    ) { _ in }
    for (name, year) in [("5.16", 2022), ("5.17", 2022)] {
      add(
        name, from: "5.15", year, first: name, threads: ["001"], "pins and allocates as 5.15"
      ) { _ in }
    }
    add(
      "5.18", from: "5.17", 2022, first: "5.18", ["1dd214b8f21c"], threads: ["001"],
      "free pageblocks of HighAtomic no longer merge with others"
    ) { kernel in
      kernel.mergesAcrossTypes = false
    }
  }

  mutating func addPinnable() {
    add(
      "5.19", from: "5.18", 2022, first: "5.19", ["1c563432588d"], threads: ["001"],
      "isolated pageblocks are forbidden; anonymous memory that is shared is copied for a read pin"
    ) { kernel in
      kernel.pinning.check = .pinnable
      kernel.pinning.unsharing = .anonymous
      kernel.pinning.lruBatchSize = 15
    }
    add(
      "5.19-rc1", from: "5.19", 2022, first: "5.19-rc1", ["034e5afad921"], threads: ["001"],
      "the page of zeros may not stay pinned: a read pin of it never ends"
    ) { $0.pinning.zeroPageUnpinnable = true }
    add(
      "6.0", from: "5.19", 2022, first: "6.0", ["b05a79d4377f", "5d0a661d808f"],
      threads: ["002"], "one per-CPU list for 2 MiB pages of all types"
    ) { kernel in
      kernel.hugeLists = 1
      kernel.comparesUnsigned = false
    }
    add(
      "6.1.0", from: "6.0", 2022, first: "6.1", ["67e139b02d99"], threads: ["001"],
      "the test after isolation is the wrong way round, until 6.1.13"
    ) { kernel in
      kernel.pinning.isolateInverted = true
      kernel.pinning.batchedRoundUnpin = false
    }
    add(
      "6.1.13", from: "6.1.0", 2023, first: "6.1.13", ["aa1e6a932ca6"], threads: ["001", "004"],
      "isolation is right again; a split that finds a reference is not tried again"
    ) { $0.pinning.isolateInverted = false }
    add(
      "6.1", from: "6.1.13", release: "6.1.192", 2025, first: "6.1.176", threads: ["004"],
      "Debian 12's kernel with its backports: two lists for 2 MiB pages, drains by references"
    ) { kernel in
      kernel.hugeLists = 2
      kernel.hasHarder = false
      kernel.highAtomicNeedsHigh = true
      kernel.nonBlockingTakesHighAtomic = true
      kernel.pinning.drain = .refcountPlusOne
    }
    add(
      "6.2", from: "6.1.13", 2023, first: "6.2", ["fd4a7ac32918"], threads: ["004"],
      "a split that finds a reference is tried again; read pins of private file mappings copy"
    ) { kernel in
      kernel.pinning.splitRetry = true
      kernel.pinning.unsharing = .all
    }
    add(
      "6.3", from: "6.2", 2023, first: "6.3", threads: ["004"],
      "migration in batches: three attempts without waiting, then seven alone"
    ) { kernel in
      kernel.hasHarder = false
      kernel.hasAtomicBit = false
      kernel.pinning.migrationMode = .batched
    }
    add(
      "6.6", from: "6.3", 2023, first: "6.6", ["57edfcfd3419"], threads: ["001"],
      "the slow walk takes a whole leaf at once, and refuses 2 MiB pages in CMA"
    ) { kernel in
      kernel.pinning.refusesDirtyTracking = true
      kernel.pinning.slowBatch = true
      kernel.pinning.slowGrabChecksZone = true
    }
  }

  mutating func addRecent() {
    add(
      "6.9", from: "6.6", release: "6.9.0", 2024, first: "6.9", ["9cecde80aae0"],
      threads: ["002"], "the last kernel with one list for 2 MiB pages; LRU batches of 31"
    ) { kernel in
      kernel.perCPULists = .autoTuned
      kernel.limitsHighAtomicStrictly = true
      kernel.hasGuestMemory = true
      kernel.pinning.lruBatchSize = 31
    }
    add(
      "6.10", from: "6.9", 2024, first: "6.10", ["bf14ed81f571", "f442fa614137"],
      threads: ["002", "001"],
      "two lists for 2 MiB pages; pages have their pageblock's type; 2 MiB pages move again"
    ) { kernel in
      kernel.hugeLists = 2
      kernel.fallback = .single
      kernel.typesFollowPageblocks = true
      kernel.emptyZoneDropsReserve = true
      kernel.pinning.slowGrabChecksZone = false
    }
    add(
      "6.11", from: "6.10", 2024, first: "6.11", ["33dfe9204f29"], threads: ["004"],
      "memfd_pin_folios; a check of more than 2 GiB in one call has no memory for its array"
    ) { kernel in
      kernel.nonBlockingTakesHighAtomic = true
      kernel.pinning.checkArray = true
      kernel.pinning.clearsFlagOnQueue = true
    }
    add(
      "6.12.0", from: "6.11", 2024, first: "6.12", threads: ["001"],
      "the first 6.12: one fallback search, and the check goes by folios"
    ) { kernel in
      kernel.countsFreeHighAtomic = true
      kernel.pinning.checkArray = false
    }
    add(
      "6.14", from: "6.12.0", 2025, first: "6.14", ["1aaf8c122918", "517f496e1e61"],
      threads: ["001"],
      "success when nothing could be isolated: seed 001's bug again, until 6.16"
    ) { kernel in
      kernel.emptyZoneDropsReserve = false
      kernel.pinning.scan = .pfnRange
      kernel.pinning.onIsolateFail = .ignoreIfListEmpty
    }
    add(
      "6.12", from: nil, release: "6.12.117", 2025, first: "6.12.117",
      threads: ["001", "002", "004"],
      "the reference: drains by reference counts, claims pageblocks before it steals"
    ) { _ in }
  }
}

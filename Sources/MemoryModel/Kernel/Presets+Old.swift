// The kernels before 5.13, oldest first (rule P0.7), and the patches that they argued about.

extension Presets {
  /// Nobody looks where a page lies, but for powerpc.
  mutating func addBeforeLongTerm() {
    add(
      "4.2", from: nil, 2015, first: "4.2", threads: ["003", "001"],
      "pins are plain references and stay where they are; VFIO pins page by page"
    ) { kernel in
      kernel.perCPULists = .fixed
      kernel.fallback = .moveAndRetry
      kernel.typesFollowPageblocks = false
      kernel.hugeLists = 0
      kernel.cachesHighOrders = false
      kernel.takesCMAFirst = false
      kernel.insertsAtHead = true
      kernel.mergesAcrossTypes = true
      kernel.wakesWithoutBoost = true
      kernel.hasHarder = true
      kernel.hasAtomicBit = true
      kernel.highAtomicNeedsHigh = false
      kernel.decaysInBatches = false
      kernel.logsBusyRanges = true
      kernel.hasGuestMemory = false
      kernel.nonBlockingTakesHighAtomic = false
      kernel.countsFreeHighAtomic = false
      kernel.limitsHighAtomicStrictly = false
      kernel.pinning.check = .none
      kernel.pinning.users = .none
      kernel.pinning.registration = .plain
      kernel.pinning.fastCheck = .absent
      kernel.pinning.scan = .perPage
      kernel.pinning.onMigrateFail = .pinAnyway
      kernel.pinning.onIsolateFail = .ignoreIfListEmpty
      kernel.pinning.drain = .localOnly
      kernel.pinning.destination = .user
      kernel.pinning.scope = .none
      kernel.pinning.compound = .skip
      kernel.pinning.reason = .contigRange
      kernel.pinning.counting = .references
      kernel.pinning.unsharing = .none
      kernel.pinning.refusesDirtyTracking = false
      kernel.pinning.slowBatch = false
      kernel.pinning.unpinBatch = false
      kernel.pinning.migrationMode = .classic
      kernel.pinning.splitRetry = false
      kernel.pinning.vfioBatch = 1
      kernel.pinning.lruBatchSize = 14
    }
    add(
      "RFC2015", from: "4.2", 2015, first: nil, threads: ["003"],
      "powerpc unlinks CMA pages without a lock and migrates an empty list"
    ) { kernel in
      kernel.pinning.check = .cmaBlock
      kernel.pinning.users = .spapr
      kernel.pinning.registration = .rfc2015
    }
    add(
      "4.9ppc", from: "4.2", release: "4.9", 2016, first: "4.9", ["2e5bbb5461f1"],
      threads: ["000", "003"],
      "powerpc moves single pages out of CMA before it pins; compound pages stay"
    ) { kernel in
      kernel.pinning.check = .cmaBlock
      kernel.pinning.users = .spapr
      kernel.pinning.registration = .pageByPage
      kernel.pinning.destination = .userNoRetry
    }
    add(
      "HELPER2018V2", from: "4.9ppc", 2018, first: nil, threads: ["000"],
      "one fast GUP of all pages, then a scan; compound pages move, too"
    ) { kernel in
      kernel.pinning.registration = .helper
      kernel.pinning.destination = .userThisNode
      kernel.pinning.compound = .move
      kernel.pinning.drain = .allIfNotLRU
      kernel.pinning.lruBatchSize = 15
    }
  }

  /// The check of CMA pages, from 5.1 on.
  mutating func addFirstChecks() {
    add(
      "5.1", from: "HELPER2018V2", 2019, first: "5.1", ["9a4e9f3b2d73", "d7fefcc8de91"],
      threads: ["000", "001"],
      "get_user_pages_longterm moves pages out of CMA; a failure pins them where they are"
    ) { kernel in
      kernel.pinning.users = .gup
      kernel.pinning.registration = .longTerm
      kernel.pinning.destination = .user
      kernel.pinning.scope = .noCMASlowPath
      kernel.pinning.vmasArray = true
    }
    add(
      "5.2", from: "5.1", 2019, first: "5.2", ["932f4a630a69"], threads: ["001"],
      "FOLL_LONGTERM is a flag, and fast GUP takes it without a check"
    ) { _ in }
    add(
      "5.3", from: "5.2", 2019, first: "5.3", ["aa712399c1e8"], threads: ["001"],
      "the scan steps over the rest of a compound page, whatever is mapped there"
    ) { kernel in kernel.pinning.scan = .compoundStep }
    add(
      "5.7", from: "5.3", 2020, first: "5.7", ["df3a0a21b698"], threads: ["001"],
      "pins are counted; fast GUP refuses CMA pages"
    ) { kernel in
      kernel.pinning.fastCheck = .cma
      kernel.pinning.counting = .pins
    }
    add(
      "5.9", from: "5.7", release: "5.9.1", 2020, first: "5.9",
      ["41b4dc14ee80", "8510e69c8efe"], threads: ["001"],
      "pages move to ZONE_MOVABLE, too: only CMA is forbidden"
    ) { kernel in
      kernel.takesCMAFirst = true
      kernel.comparesUnsigned = true
      kernel.pinning.destination = .userMovableNoCMA
      kernel.pinning.scope = .noCMA
    }
    add(
      "5.10", from: "5.9", 2020, first: "5.10", threads: ["001"],
      "the kernel that the series of 2020 changes; the last one with an array of VMAs"
    ) { kernel in
      kernel.insertsAtHead = false
      kernel.wakesWithoutBoost = false
    }
  }

  /// The series of December 2020 and what became of it.
  mutating func addSeries2020() {
    add(
      "RFC2020-6/6", from: "5.10", 2020, first: nil, threads: ["001"],
      "tests the type of the pageblock, not the zone: nearly every page moves"
    ) { kernel in
      kernel.pinning.check = .movableType
      kernel.pinning.destination = .user
      kernel.pinning.scope = .pin
      kernel.pinning.reason = .longtermPin
    }
    add(
      "RFC2020-AND", from: "RFC2020-6/6", 2020, first: nil, threads: ["001"],
      "CMA and ZONE_MOVABLE at once, which no page is"
    ) { $0.pinning.check = .zoneAndCMA }
    add(
      "RFC2020-OR", from: "RFC2020-6/6", 2020, first: nil, threads: ["001"],
      "CMA or ZONE_MOVABLE; failures still pin"
    ) { $0.pinning.check = .zoneOrCMA }
    add(
      "5.12", from: "5.10", 2021, first: "5.12", ["4d83de6da265"], threads: ["001"],
      "VFIO pins 512 pages a call, and the array of VMAs is gone"
    ) { kernel in
      kernel.pinning.vmasArray = false
      kernel.pinning.vfioBatch = 512
    }
    add(
      "5.12.5", from: "5.12", 2021, first: "5.12.5", ["f0f4463837da", "6e7f34ebb8d2"],
      threads: ["001"],
      "a failed migration is an error; what cannot be isolated is waited for"
    ) { kernel in
      kernel.pinning.scan = .headCompare
      kernel.pinning.onMigrateFail = .error
      kernel.pinning.onIsolateFail = .retryForever
      kernel.pinning.destination = .user
    }
    add(
      "5.13", from: "5.12.5", 2021, first: "5.13", ["d1e153fea2a8", "f68749ec342b"],
      threads: ["001"],
      "ZONE_MOVABLE is forbidden, too, also for what the pin faults in"
    ) { kernel in
      kernel.pinning.check = .zoneOrCMA
      kernel.pinning.fastCheck = .same
      kernel.pinning.scope = .pin
      kernel.pinning.reason = .longtermPin
      kernel.pinning.unpinBatch = true
      kernel.pinning.batchedRoundUnpin = true
    }
  }
}

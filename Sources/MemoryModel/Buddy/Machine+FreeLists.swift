// Invariant (AI.3): below the order of a pageblock no two free buddies of one order exist in a
// zone. It is broken only inside `freeBlock`, which merges before it inserts.

extension Machine {
  /// Puts a block on a free list; no accounting, no merging.
  mutating func insertFree(
    _ zone: Int, _ pfn: PFN, order: Int, _ type: MigrateType, atTail: Bool
  ) {
    let list = order * MigrateType.count + Int(type.rawValue)
    if atTail {
      frames.pushTail(&zoneTable[zone].freeLists[list], pfn, order: order)
    } else {
      frames.pushHead(&zoneTable[zone].freeLists[list], pfn, order: order)
    }
    frames.setHead(pfn, FrameState(.free, order: order, listed: type))
    zoneTable[zone].freeCounts[order] += 1
  }

  /// Takes a block off the list it is on; no accounting.
  mutating func removeFree(_ zone: Int, _ pfn: PFN, order: Int) {
    let type = frames.head(pfn).listedType
    let list = order * MigrateType.count + Int(type.rawValue)
    frames.remove(&zoneTable[zone].freeLists[list], pfn, order: order)
    frames.clearHead(pfn, order: order)
    zoneTable[zone].freeCounts[order] -= 1
  }

  /// The free list of one order and type.
  func freeList(_ zone: Int, order: Int, _ type: MigrateType) -> FrameList {
    zoneTable.value(in: zone, at: Zone.freeListOffset(order: order, type))
  }

  func firstFree(_ zone: Int, order: Int, _ type: MigrateType) -> PFN? {
    frames.first(freeList(zone, order: order, type))
  }

  /// Whether `pfn` starts a free block of exactly `order` in the zone of `neighbour` (rule A3.4).
  func isFreeBuddy(_ pfn: PFN, order: Int, of neighbour: PFN) -> Bool {
    pfn.index < frames.count && frames.isFree(pfn, order: order)
      && frames.sameZone(pfn, neighbour)
  }
}

extension Machine {
  /// Gives a HighAtomic pageblock back to ordinary requests, as its type (rule A3.30).
  ///
  /// Kernel: `unreserve_highatomic_pageblock()`, mm/page_alloc.c.
  ///
  /// - Parameter force: The last pageblock of a zone, too.
  /// - Returns: Whether free pages came back.
  mutating func giveUpHighAtomic(_ request: AllocationRequest, force: Bool) -> Bool {
    for zone in allowedZones(request) {
      if !force, zoneTable[zone].reservedHighAtomic <= geometry.pageblockPages { continue }
      for order in 0...geometry.maxOrder {
        guard let pfn = firstFree(zone, order: order, .highAtomic) else { continue }
        let type = frames.migrateType(pfn)
        if type == .highAtomic {
          let pages = max(geometry.pageblockPages, 1 << order)
          zoneTable[zone].reservedHighAtomic -= min(pages, zoneTable[zone].reservedHighAtomic)
        }
        if order >= geometry.pageblockOrder {
          removeFree(zone, pfn, order: order)
          insertFree(zone, pfn, order: order, request.type, atTail: true)
          account(zone, -(1 << order), type)
          account(zone, 1 << order, request.type)
          setPageblockTypes(pfn, order: order, request.type)
          return true
        }
        guard let pageblock = wholePageblock(zone, pfn) else { continue }
        moveFreePages(zone, pageblock, from: type, to: request.type)
        return true
      }
    }
    return false
  }
}

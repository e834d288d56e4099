public import MemoryModel

/// The first thing in which two machines differ: lists, types, frames, counters, trace; nil if none.
public func difference(_ one: borrowing Machine, _ other: borrowing Machine) -> String? {
  if let lists = ListSnapshot(one).difference(from: ListSnapshot(other)) { return lists }
  for frame in 0..<one.frames.count
  where one.frames.head(PFN(frame)) != other.frames.head(PFN(frame)) {
    return "state of frame \(frame)"
  }
  if !one.zoneTable.isEqual(to: other.zoneTable) { return "zones" }
  if !one.perCPU.isEqual(to: other.perCPU) { return "per-CPU pages" }
  if !one.lruBatches.isEqual(to: other.lruBatches) { return "LRU batches" }
  if !one.events.isEqual(to: other.events) { return "event counters" }
  if !one.numaItems.isEqual(to: other.numaItems) { return "NUMA counters" }
  if !one.folios.frames.isEqual(to: other.folios.frames) { return "folios" }
  if !one.folios.large.isEqual(to: other.folios.large) { return "large folios" }
  if !one.pageTables.entries.isEqual(to: other.pageTables.entries) { return "page tables" }
  if !one.pageTables.frames.isEqual(to: other.pageTables.frames) { return "frames of page tables" }
  if !one.pageTables.deposits.isEqual(to: other.pageTables.deposits) { return "deposits" }
  if !one.pageCache.entries.isEqual(to: other.pageCache.entries) { return "page caches" }
  if !one.lruLists.isEqual(to: other.lruLists) { return "LRU lists" }
  if !one.nodeItems.isEqual(to: other.nodeItems) { return "node counters" }
  if !one.zoneItems.isEqual(to: other.zoneItems) { return "zone counters" }
  if one.spaces != other.spaces { return "address spaces" }
  if one.files != other.files { return "files" }
  if one.regions != other.regions { return "regions" }
  if one.deferredSplits != other.deferredSplits { return "deferred splits" }
  if !one.hugeFlags.isEqual(to: other.hugeFlags) { return "flags of huge pages" }
  for (left, right) in zip(one.hugePools, other.hugePools) where left != right {
    return "huge pages of order \(left.order)"
  }
  if one.settings != other.settings { return "settings" }
  if one.currentCPU != other.currentCPU { return "running CPU" }
  if one.totalReserve != other.totalReserve { return "totalreserve_pages" }
  if one.kswapdWakeups != other.kswapdWakeups { return "kswapd wakeups" }
  if one.failAllocation != other.failAllocation { return "injected failure" }
  if one.cmaAreas != other.cmaAreas || !one.cmaBitmap.isEqual(to: other.cmaBitmap) {
    return "CMA areas"
  }
  if one.memory != other.memory || one.offlineMemory != other.offlineMemory { return "memory" }
  if one.operationsInProgress != other.operationsInProgress { return "operations under way" }
  if one.isCMAMutexHeld != other.isCMAMutexHeld { return "cma_mutex" }
  if one.log.lines != other.log.lines { return "kernel log" }
  let events = one.trace.events()
  let others = other.trace.events()
  if one.trace.total != other.trace.total || events.count != others.count { return "trace length" }
  for index in events.indices {
    let (left, right) = (events[index], others[index])
    if left.kind != right.kind || left.pfn != right.pfn || left.order != right.order
      || left.failed != right.failed || left.argument0 != right.argument0
      || left.argument1 != right.argument1
    {
      return "trace event \(index)"
    }
  }
  return nil
}

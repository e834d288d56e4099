// Which pages can be got out of the way: a look at the state of the block, and a lagging one. A page
// that passes here may still refuse to move.

extension FrameState {
  /// Whether the pages of this block, which lies outside of ZONE_MOVABLE, may become free in time
  /// (rule A6.5).
  ///
  /// A page on a per-CPU list has no reference, so it is no obstacle (AP.13); a page that waits in
  /// an LRU batch has no LRU flag yet, so it is one (AP.14). Neither references nor pins count: they
  /// show when the page is to move.
  public var mayBeVacated: Bool {
    switch kind {
    case .none: false
    case .free, .perCPU, .hugePool: true
    case .allocated: isLRU || isDriverMovable || isHugetlb
    }
  }

  /// A huge page of hugetlbfs, in use or in its pool: not on an LRU list, yet movable.
  ///
  /// Kernel: `PageHuge`.
  var isHugetlb: Bool { kind == .hugePool || kind == .allocated && flags.contains(.hugetlb) }
}

extension Machine {
  /// The first page of a part of one pageblock that stands in the way of isolating it (rule A6.5).
  ///
  /// Frames of no block are reserved since boot, or holes: they are obstacles in every zone, also in
  /// ZONE_MOVABLE, where all others pass. A block that is neither free nor movable is found at any
  /// of its pages, as a compound page is.
  /// Kernel: `has_unmovable_pages()`, mm/page_isolation.c.
  public func firstUnmovable(in range: PFNRange, _ mode: IsolationMode) -> PFN? {
    if range.isEmpty { return nil }
    let first = PFN(range.start)
    if frames.migrateType(first) == .cma { return mode == .cmaAllocation ? nil : first }
    let isMovableZone = frames.zone(of: first).map { zoneTable[$0].index == .movable } ?? false
    var at = range.start
    while at < range.end {
      guard let block = block(containing: PFN(at)),
        isMovableZone || block.state.mayBeVacated
      else { return PFN(at) }
      at = block.start.index + 1 << block.state.order
    }
    return nil
  }
}

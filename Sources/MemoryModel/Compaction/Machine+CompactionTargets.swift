// The targets of a compaction's migrations: free blocks that its free scanner has taken.

extension Machine {
  /// A frame for a folio to move to, from the blocks of the compaction that runs; the smallest block that
  /// is large enough, its upper halves back on the lists (rule A7.10).
  ///
  /// Kernel: `compaction_alloc()`, mm/compaction.c.
  mutating func takeCompactionTarget(for source: Folio) -> Folio? {
    guard var control = compacting else { return nil }
    // Held in one place only, so that its lists are changed where they are.
    compacting = nil
    defer { compacting = control }
    let fits = { (control: CompactControl) in
      (source.order..<control.freeLists.count).first { !control.freeLists[$0].isEmpty }
    }
    var found = fits(control)
    if found == nil {
      isolateTargets(&control)
      found = fits(control)
    }
    guard var order = found else { return nil }
    let pfn = control.freeLists[order].removeFirst()
    while order > source.order {
      order -= 1
      control.freeLists[order].insert(pfn + (1 << order), at: 0)
    }
    control.freePages -= source.pages
    control.pages -= source.pages
    let destination = Folio(pfn, order: source.order)
    makeFolio(destination, .none, index: 0, owner: UInt8(ascii: "K"), [.locked])
    return destination
  }

  /// Gives a target back that was not used.
  ///
  /// Kernel: `compaction_free()`.
  mutating func returnCompactionTarget(_ destination: Folio) {
    folios.addReferences(destination, -1)
    compacting?.pages += destination.pages
    // Somebody else looks at it, and will free it.
    if folios.references(destination) > 0 { return }
    folios.clear(destination)
    frames.clearHead(destination.head, order: destination.order)
    compacting?.freeLists[destination.order].insert(destination.head, at: 0)
    compacting?.freePages += destination.pages
  }

  /// Frees the blocks that were taken and not used, lowest order first (rule A7.5).
  ///
  /// Kernel: `release_free_list()`.
  ///
  /// - Returns: The highest frame among them.
  mutating func releaseTargets(_ control: inout CompactControl) -> Int {
    var highest = 0
    for order in control.freeLists.indices {
      for pfn in control.freeLists[order] {
        frames.setHead(pfn, FrameState(.allocated, order: order))
        freeBlock(control.zone, pfn, order: order)
        highest = max(highest, pfn.index)
      }
      control.freeLists[order] = []
    }
    control.freePages = 0
    return highest
  }
}

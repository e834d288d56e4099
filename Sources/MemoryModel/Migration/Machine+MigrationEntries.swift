// Invariant (I13): an entry is a migration entry only while its folio is locked by a migration or a
// split. It keeps every flag of the entry that it stands for.

extension Machine {
  /// A frame for a folio to move to, or nil (rules P4.8, P4.15).
  ///
  /// Kernel: `alloc_migration_target()`, mm/migrate.c.
  package mutating func allocateTarget(for source: Folio, _ target: MigrationTarget) -> Folio? {
    if target.reason == .compaction { return takeCompactionTarget(for: source) }
    var gfp = target.gfp
    if source.order > 0 { gfp = gfp.subtracting(.reclaim).union(.transHuge) }
    if let zone = frames.zone(of: source.head), zoneTable[zone].index == .movable {
      gfp.insert(.highMem)
    }
    gfp.insert(.comp)
    let home = target.node ?? node(of: source.head)
    var found: PFN?
    if target.leavesNode {
      for node in otherNodes(home) where found == nil {
        found =
          allocatePages(
            order: source.order, gfp: gfp.union(.thisNode), node: node,
            inPinScope: target.inPinScope
          ).pfn
      }
    } else {
      found =
        allocatePages(
          order: source.order, gfp: gfp, node: home, inPinScope: target.inPinScope
        ).pfn
    }
    guard let pfn = found else { return nil }
    let destination = Folio(pfn, order: source.order)
    makeFolio(destination, .none, index: 0, owner: UInt8(ascii: "K"), [.locked])
    return destination
  }

  /// Frees a destination that was not used.
  ///
  /// Kernel: `migrate_folio_undo_dst()`.
  mutating func returnTarget(_ destination: Folio) {
    if compacting != nil {
      returnCompactionTarget(destination)
    } else {
      putReferences(destination, 1)
    }
  }

  /// The other nodes with memory, in the order in which requests of `node` try them.
  func otherNodes(_ node: Int) -> [Int] {
    var nodes: [Int] = []
    for zone in zonelists[node] {
      let other = zoneTable[zone].node
      if other != node, !nodes.contains(other) { nodes.append(other) }
    }
    return nodes
  }

  /// Turns one mapping into a migration entry; false when a pin forbids it (rule P4.5).
  ///
  /// Kernel: `try_to_migrate_one()`, mm/rmap.c: m3 to m5 of rule P10.3.
  package mutating func beginMigrationEntry(_ mapping: Mapping, of folio: Folio) -> Bool {
    var entry = pageTables[mapping.slot]
    // Unmapped since the mappings were looked up.
    guard entry.isPresent, folio.contains(entry.pfn) else { return true }
    let isAnonymous = folios.owner(folio).mapping.isAnonymous
    if isAnonymous && entry.flags.contains(.exclusive) && folios.pins(folio) > 0 { return false }
    if entry.flags.contains(.dirty) { setFlags(folio.head, insert: .dirty) }
    entry.flags = entry.flags.subtracting(.present).union(.migration)
    pageTables[mapping.slot] = entry
    if mapping.level == .pte {
      addPageMapping(entry.pfn, of: folio, -1)
    } else {
      addEntireMapping(folio, -1)
    }
    if frames.head(folio.head).flags.contains(.mlocked),
      spaces[mapping.space].area(mapping.page)?.flags.contains(.locked) == true
    {
      munlockForMigration(folio)
    }
    folios.addReferences(folio, -1)
    return true
  }

  /// Lets a migration entry show a folio again: the old one after a failure, or the new one.
  ///
  /// Kernel: `remove_migration_pte()`, mm/migrate.c: m11 of rule P10.3.
  package mutating func endMigrationEntry(_ mapping: Mapping, from old: Folio, to new: Folio) {
    var entry = pageTables[mapping.slot]
    // Unmapped meanwhile, with the process or without.
    guard entry.isMigration, old.contains(entry.pfn) else { return }
    let page = new.head + (entry.pfn.index - old.head.index)
    entry = PageTableEntry(page, entry.flags.subtracting(.migration).union(.present))
    pageTables[mapping.slot] = entry
    folios.addReferences(new, 1)
    if mapping.level == .pte {
      addPageMapping(page, of: new, 1)
    } else {
      addEntireMapping(new, 1)
    }
    if let area = spaces[mapping.space].area(mapping.page), area.flags.contains(.locked) {
      mlock(new)
    }
  }

  // MARK: Moving

  /// Whether nobody but the migration holds the unmapped folio (rule P4.6).
  package func isReadyToMove(_ folio: Folio) -> Bool {
    folios.references(folio) == expectedReferences(folio) + 1
      || !kernel.protections.comparesReferences
  }

  /// Gives the identity of an unmapped folio to another one: mapping, place in the cache, flags.
  ///
  /// Kernel: `__folio_migrate_mapping()`, `folio_migrate_flags()`: m8 and m9 of rule P10.3.
  package mutating func moveIdentity(_ source: Folio, _ destination: Folio) {
    let (mapping, index) = folios.owner(source)
    var from = frames.head(source.head)
    var to = frames.head(destination.head)
    to.flags.formUnion(from.flags.intersection(.carriedByMigration))
    to.owner = from.owner
    if from.flags.contains(.mlocked) {
      from.flags.remove(.mlocked)
      countMlocked(source, -1)
    }
    frames.setHead(destination.head, to)
    if source.order == 0 {
      folios.frames[destination.head.index].mappings |=
        folios.frames[source.head.index].mappings & FolioTable.referencedBit
    }
    if from.flags.contains(.partiallyMapped) {
      deferredSplits.removeAll { $0 == source.head }
      from.flags.remove(.partiallyMapped)
      setFlags(destination.head, insert: .partiallyMapped)
      deferredSplits.append(destination.head)
    }
    if let file = mapping.fileIndex {
      // The destination's chunk exists: it is the source's.
      _ = replaceInCache(destination, file, page: index)
    }
    folios.setOwner(destination, mapping, index: index)
    if swapSlot(of: source) != nil {
      swap.move(source, to: destination.head)
      folios.addReferences(destination, source.pages)
      folios.addReferences(source, -source.pages)
      countMovedSwapCache(source, destination)
    }
    if mapping.isFile {
      folios.addReferences(destination, source.pages)
      folios.addReferences(source, -source.pages)
      countMovedCache(source, destination, from.flags)
    }
    folios.setOwner(source, .none, index: 0)
    from.flags.subtract([.dirty, .active, .swapBacked, .referenced, .unevictable])
    frames.setHead(source.head, from)
  }

  private mutating func countMovedSwapCache(_ source: Folio, _ destination: Folio) {
    for (folio, sign) in [(source, -1), (destination, 1)] {
      count(.filePages, sign * folio.pages, at: folio.head)
      count(.swapCached, sign * folio.pages, at: folio.head)
    }
  }

  /// Cache counters belong to a node.
  private mutating func countMovedCache(
    _ source: Folio, _ destination: Folio, _ flags: FrameState.Flags
  ) {
    guard nodeCount > 1, !flags.contains(.hugetlb) else { return }
    for (folio, sign) in [(source, -1), (destination, 1)] {
      count(.filePages, sign * folio.pages, at: folio.head)
      if flags.contains(.swapBacked) { count(.shmem, sign * folio.pages, at: folio.head) }
    }
  }
}

extension Machine {
  /// Mappings that only counts tell of: those of processes of a recorded state.
  package func unknownMappings(_ folio: Folio) -> Int {
    let mapping = folios.owner(folio).mapping
    return mapping == .unknownAnonymous || mapping == .unknownFile ? folios.mappings(folio) : 0
  }

  /// Carries such mappings over, which no entry can show.
  package mutating func moveUnknownMappings(from source: Folio, to destination: Folio) {
    let count = folios.mappings(source)
    guard count > 0 else { return }
    addPageMapping(source.head, of: source, -count)
    folios.addReferences(source, -count)
    addPageMapping(destination.head, of: destination, count)
    folios.addReferences(destination, count)
  }

  /// As ``countIsolated(_:_:)``, when the folio's own flags have moved on.
  package mutating func countIsolated(_ folio: Folio, _ isSwapBacked: Bool, _ sign: Int) {
    count(isSwapBacked ? .isolatedAnon : .isolatedFile, sign * folio.pages, at: folio.head)
  }
}

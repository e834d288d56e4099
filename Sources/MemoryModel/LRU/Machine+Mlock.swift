// Locked pages: flagged at once, moved to the unevictable list by a batch of their own.

extension Machine {
  /// Locks a folio that nobody else has seen yet.
  ///
  /// Kernel: `mlock_new_folio()`, mm/mlock.c.
  mutating func mlockNew(_ folio: Folio) {
    countMlocked(folio, 1)
    setFlags(folio.head, insert: [.mlocked, .unevictable], remove: .active)
    queue(folio, .mlock)
  }

  /// Locks a folio that is mapped already.
  ///
  /// Kernel: `mlock_folio()`.
  package mutating func mlock(_ folio: Folio) {
    if frames.head(folio.head).flags.contains(.mlocked) { return }
    countMlocked(folio, 1)
    setFlags(folio.head, insert: .mlocked)
    queue(folio, .mlock)
  }

  /// Unlocks a folio.
  ///
  /// Kernel: `munlock_folio()`, `__munlock_folio()`.
  package mutating func munlock(_ folio: Folio) {
    queue(folio, .mlock, isUnlock: true)
  }

  /// Unlocks a folio that a locked area shows no longer, and empties this CPU's batch.
  ///
  /// Kernel: `munlock_vma_folio()`, `mlock_drain_local()`, as `try_to_migrate_one()` calls them.
  mutating func munlockForMigration(_ folio: Folio) {
    munlock(folio)
    let batch = currentCPU * LRUBatchKind.count + LRUBatchKind.mlock.rawValue
    if lruBatches[batch].count > 0 { flush(batch, .mlock) }
  }

  /// Moves a folio to or from the unevictable list, as its batch entry says.
  ///
  /// The kernel also counts how many areas lock a folio on the unevictable list (`mlock_count`);
  /// here the first unlock unlocks it.
  /// Kernel: `__mlock_folio()`, `__mlock_new_folio()`, `__munlock_folio()`.
  mutating func settleMlock(_ folio: Folio, isUnlock: Bool) {
    var state = frames.head(folio.head)
    if isUnlock {
      let wasLocked = state.flags.contains(.mlocked)
      // Off its list and still marked as unevictable: its next list decides anew.
      let isStranded = !state.isLRU && state.flags.contains(.unevictable)
      if wasLocked { countMlocked(folio, -1, event: isStranded ? .unevictableStranded : nil) }
      state.flags.remove(.mlocked)
      if state.isLRU, state.flags.contains(.unevictable) {
        unlinkLRU(folio, state)
        state.flags.remove(.unevictable)
        linkLRU(folio, state)
        count(.unevictableRescued, folio.pages)
      }
    } else if state.isLRU {
      guard state.flags.contains(.mlocked), !state.flags.contains(.unevictable) else { return }
      unlinkLRU(folio, state)
      state.flags.remove(.active)
      state.flags.insert(.unevictable)
      linkLRU(folio, state)
      count(.unevictableCulled, folio.pages)
    } else {
      // New: on no list and in no other batch. Others off the lists are settled when they return.
      guard state.flags.contains(.unevictable), !state.flags.contains(.isolated),
        !batchesHolding(folio.head).contains(where: { $0.kind == .add })
      else { return }
      state.isLRU = true
      linkLRU(folio, state)
      count(.unevictableCulled, folio.pages)
    }
    frames.setHead(folio.head, state)
  }

  /// NR_MLOCK and its events.
  mutating func countMlocked(_ folio: Folio, _ sign: Int, event: VMEvent? = nil) {
    guard let zone = frames.zone(of: folio.head) else { return }
    countZoneItem(zone, 7, sign * folio.pages)
    count(event ?? (sign > 0 ? .unevictableMlocked : .unevictableMunlocked), folio.pages)
  }
}

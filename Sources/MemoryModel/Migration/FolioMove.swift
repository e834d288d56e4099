// Invariant: the stage says which of m1 to m13 (rule P10.3) comes next; whatever was done before it
// is recorded here, so that a failure can take exactly that back.

/// One folio on its way to another frame.
struct FolioMove: Hashable, Sendable {
  enum Stage: Hashable, Sendable {
    case allocate, lock, clear(Int), compare, copy, freeze, queue, install(Int), unlock
    case free
  }

  let source: Folio
  var destination: Folio?
  /// The entries that are migration entries now.
  var places: [Mapping] = []
  var stage = Stage.allocate

  init(_ source: Folio) { self.source = source }
}

/// What one attempt at a folio came to.
enum MoveResult: Sendable {
  /// More steps of the same folio follow.
  case running
  /// Unmapped; the move phase takes it on.
  case unmapped
  case succeeded
  case again
  case noMemory
  /// A permanent refusal.
  case refused
}

extension FolioMove {
  /// The next step of the unmap phase.
  ///
  /// Kernel: `migrate_folio_unmap()`, mm/migrate.c (rules P4.4, P4.5).
  mutating func unmapStep(
    _ machine: inout Machine, _ target: MigrationTarget, _ mode: MigrateMode
  ) -> MoveResult {
    switch stage {
    case .allocate:
      if machine.references(source) == 1 {
        // Freed meanwhile: only the isolation's reference is left.
        machine.setFlags(source.head, remove: [.active, .unevictable, .isolated])
        machine.countIsolated(source, -1)
        machine.putReferences(source, 1)
        return .succeeded
      }
      guard let folio = machine.allocateTarget(for: source, target) else { return .noMemory }
      destination = folio
      stage = .lock
      return .running
    case .lock:
      if machine.frames.head(source.head).flags.contains(.locked) {
        return giveUp(&machine, isLocked: false, .again)
      }
      machine.setFlags(source.head, insert: .locked)
      if machine.frames.head(source.head).flags.contains(.writeback), mode != .sync {
        return giveUp(&machine, isLocked: true, .refused)
      }
      if machine.mappings(source) == 0 { return finishUnmap() }
      places = machine.mappings(of: source)
      stage = .clear(0)
      return .running
    case .clear(let index):
      guard index < places.count else {
        // A mapping that the model cannot find: a process of a recorded state.
        if machine.mappings(source) == machine.unknownMappings(source) { return finishUnmap() }
        return giveUp(&machine, isLocked: true, .again)
      }
      if !machine.beginMigrationEntry(places[index], of: source) {
        places.removeSubrange(index...)
        return giveUp(&machine, isLocked: true, .again)
      }
      if index + 1 == places.count, machine.mappings(source) == 0 { return finishUnmap() }
      stage = .clear(index + 1)
      return .running
    default:
      return .refused
    }
  }

  /// Goes on with a destination that is allocated already.
  mutating func take(_ folio: Folio, _ machine: inout Machine) {
    guard case .allocate = stage else { return }
    machine.makeFolio(folio, .none, index: 0, owner: UInt8(ascii: "K"), [.locked])
    destination = folio
    stage = .lock
  }

  private mutating func finishUnmap() -> MoveResult {
    stage = .compare
    return .unmapped
  }

  /// Takes back an unmap that failed.
  private mutating func giveUp(
    _ machine: inout Machine, isLocked: Bool, _ result: MoveResult
  ) -> MoveResult {
    undo(&machine, isLocked: isLocked)
    return result
  }

  /// Restores the source as it was, and frees the destination (`migrate_folio_undo_src()`,
  /// `migrate_folio_undo_dst()`).
  mutating func undo(_ machine: inout Machine, isLocked: Bool = true) {
    if !places.isEmpty {
      for place in machine.migrationEntries(of: source, owner: source) {
        machine.endMigrationEntry(place, from: source, to: source)
      }
    }
    if isLocked { machine.setFlags(source.head, remove: .locked) }
    if let destination {
      machine.setFlags(destination.head, remove: .locked)
      machine.returnTarget(destination)
    }
    places = []
    destination = nil
    stage = .allocate
  }

  /// The next step of the move phase.
  ///
  /// Kernel: `migrate_folio_move()`, `move_to_new_folio()` (rule P4.6).
  mutating func moveStep(_ machine: inout Machine) -> MoveResult {
    guard let destination else { return .refused }
    switch stage {
    case .compare:
      if machine.isNeverMoved(source) || machine.isSecret(source) { return .refused }
      guard machine.isReadyToMove(source) else { return .again }
      stage = .copy
    case .copy:
      stage = .freeze
    case .freeze:
      guard machine.isReadyToMove(source) else {
        stage = .compare
        return .again
      }
      // Frozen at 0, nobody can take a reference before m9 is done: one step for others.
      machine.moveIdentity(source, destination)
      stage = .queue
    case .queue:
      machine.addToLRU(destination.head)
      stage = .install(0)
    case .install(let index):
      if index < places.count {
        machine.endMigrationEntry(places[index], from: source, to: destination)
      }
      if index + 1 < places.count {
        stage = .install(index + 1)
      } else {
        // A fork may have copied an entry meanwhile.
        places = machine.migrationEntries(of: source, owner: destination)
        if !places.isEmpty {
          stage = .install(0)
          return .running
        }
        machine.moveUnknownMappings(from: source, to: destination)
        stage = .unlock
      }
    case .unlock:
      machine.setFlags(destination.head, remove: .locked)
      machine.putReferences(destination, 1)
      machine.setFlags(source.head, remove: .locked)
      stage = .free
    case .free:
      machine.setFlags(source.head, remove: .isolated)
      machine.countIsolated(source, destinationIsSwapBacked(machine), -1)
      machine.putReferences(source, 1)
      return .succeeded
    default:
      return .refused
    }
    return .running
  }

  /// The source's own flag went to the destination with its identity.
  private func destinationIsSwapBacked(_ machine: borrowing Machine) -> Bool {
    destination.map { machine.frames.head($0.head).flags.contains(.swapBacked) } ?? true
  }
}

extension FolioMove {
  /// What the next step is about to do, in the kernel's terms.
  func nextStep(_ machine: borrowing Machine) -> Step {
    let name = "\(source.head)"
    return switch stage {
    case .allocate:
      Step("m1", "alloc_migration_target", "allocate a frame for \(name)")
    case .lock: Step("m2", "migrate_folio_unmap", "lock \(name)")
    case .clear(let index):
      Step(
        "m3", "try_to_migrate_one",
        index < places.count
          ? "clear mapping \(index + 1) of \(places.count) of \(name), refuse if it is pinned, "
            + "install a migration entry"
          : "look whether \(name) is mapped elsewhere")
    case .compare:
      Step(
        "m6", "migrate_folio",
        "compare \(machine.references(source)) references of \(name) with the expected "
          + "\(machine.expectedReferences(source) + 1)")
    case .copy: Step("m7", "folio_mc_copy", "copy \(name) to \(destination?.head ?? source.head)")
    case .freeze:
      Step(
        "m8", "__folio_migrate_mapping",
        "freeze the references of \(name) and give its mapping to the new frame")
    case .queue: Step("m10", "folio_add_lru", "queue the new folio for the LRU")
    case .install(let index):
      Step(
        "m11", "remove_migration_pte",
        places.isEmpty
          ? "no mapping is left to show the new folio"
          : "show the new folio at mapping \(index + 1) of \(places.count)")
    case .unlock: Step("m12", "folio_unlock", "unlock both folios")
    case .free: Step("m13", "migrate_folio_done", "free \(name)")
    }
  }
}

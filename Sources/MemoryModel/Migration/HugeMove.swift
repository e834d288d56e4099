// Invariant: from `allocate` on it holds the destination, which is locked and in use; giving up puts
// the mappings back and returns the destination to where it came from, pool or buddy.

/// One hugetlb folio on its way to another frame, in one attempt (rule P4.15).
///
/// Kernel: `unmap_and_move_huge_page()`, mm/migrate.c.
struct HugeMove: Hashable, Sendable {
  enum Stage: Hashable, Sendable {
    case allocate, lock, clear(Int), compare, copy, freeze, install(Int), unlock, free
  }

  enum Result: Sendable { case running, succeeded, again, noMemory }

  let source: Folio
  private(set) var destination: Folio?
  private var places: [Mapping] = []
  private(set) var stage = Stage.allocate

  init(_ source: Folio) { self.source = source }

  mutating func step(_ machine: inout Machine, _ target: MigrationTarget) -> Result {
    switch stage {
    case .allocate:
      if machine.references(source) == 1 {
        // Freed meanwhile: only the isolation's reference is left.
        machine.putBackHugetlb(source)
        return .succeeded
      }
      guard let folio = machine.allocateHugeTarget(for: source, target) else { return .noMemory }
      destination = folio
      stage = .lock
    case .lock:
      // From the fourth pass on the kernel waits for the lock; who holds it here is another
      // migration or a fault, which this one cannot run, so it counts as one more attempt.
      if machine.frames.head(source.head).flags.contains(.locked) {
        returnDestination(&machine)
        return .again
      }
      machine.setFlags(source.head, insert: .locked)
      places = machine.mappings(of: source)
      stage = .clear(0)
    case .clear(let index):
      guard index < places.count else {
        guard machine.mappings(source) == machine.unknownMappings(source) else {
          return giveUp(&machine)
        }
        stage = .compare
        return step(&machine, target)
      }
      guard machine.beginMigrationEntry(places[index], of: source) else {
        places.removeSubrange(index...)
        return giveUp(&machine)
      }
      stage = index + 1 == places.count ? .compare : .clear(index + 1)
    default: return moveStep(&machine)
    }
    return .running
  }

  /// The steps after the unmapping (rule P4.6).
  private mutating func moveStep(_ machine: inout Machine) -> Result {
    guard let destination else { return .again }
    switch stage {
    case .compare:
      guard machine.isReadyToMove(source) else { return giveUp(&machine) }
      stage = .copy
    case .copy: stage = .freeze
    case .freeze:
      guard machine.isReadyToMove(source) else { return giveUp(&machine) }
      // Frozen at 0, nobody can take a reference before m9 is done: one step for others.
      machine.moveIdentity(source, destination)
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
      // Nobody else may isolate it before m13 has put it back.
      machine.setFlags(destination.head, insert: .isolated, remove: .locked)
      machine.moveHugePageState(from: source.head, to: destination.head)
      machine.setFlags(source.head, remove: .locked)
      stage = .free
    case .free:
      machine.putBackHugetlb(source)
      machine.putBackHugetlb(destination)
      return .succeeded
    case .allocate, .lock, .clear: break
    }
    return .running
  }

  /// Shows the source again where it was, and returns the destination.
  private mutating func giveUp(_ machine: inout Machine) -> Result {
    if !places.isEmpty {
      for place in machine.migrationEntries(of: source, owner: source) {
        machine.endMigrationEntry(place, from: source, to: source)
      }
    }
    places = []
    machine.setFlags(source.head, remove: .locked)
    returnDestination(&machine)
    return .again
  }

  private mutating func returnDestination(_ machine: inout Machine) {
    guard let destination else { return }
    machine.setFlags(destination.head, remove: .locked)
    machine.putBackHugetlb(destination)
    self.destination = nil
  }

  func nextStep(_ machine: borrowing Machine) -> Step {
    let name = "\(source.head)"
    return switch stage {
    case .allocate:
      Step("m1", "alloc_hugetlb_folio_nodemask", "take a huge page for \(name), or make one")
    case .lock: Step("m2", "unmap_and_move_huge_page", "lock \(name)")
    case .clear(let index):
      Step(
        "m3", "try_to_migrate_one",
        "clear leaf \(index + 1) of \(places.count) of \(name), refuse if it is pinned, install a "
          + "migration entry")
    case .compare:
      Step(
        "m6", "migrate_folio",
        "compare \(machine.references(source)) references of \(name) with the expected "
          + "\(machine.expectedReferences(source) + 1)")
    case .copy: Step("m7", "folio_mc_copy", "copy \(name) to \(destination?.head ?? source.head)")
    case .freeze: Step("m8", "folio_ref_freeze", "freeze the references of \(name)")
    case .install(let index):
      Step(
        "m11", "remove_migration_pte",
        places.isEmpty
          ? "no mapping is left to show the new page"
          : "show the new page at leaf \(index + 1) of \(places.count)")
    case .unlock:
      Step("m12", "move_hugetlb_state", "swap the temporary flags and unlock both pages")
    case .free: Step("m13", "folio_putback_active_hugetlb", "return \(name) to pool or buddy")
    }
  }
}

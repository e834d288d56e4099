// Invariant: `beforeChange` is asked before the first change after it was set, and then forgotten; so
// watching for changes costs one test for each.

/// A machine at a fixed place, that a search and those whom it asks can both look at in turn.
open class MachineCell {
  private final var storage: Machine
  /// Called once, before the machine is changed next.
  public final var beforeChange: ((borrowing Machine) -> Void)?

  public init(_ machine: consuming Machine) { storage = machine }

  public final var machine: Machine {
    _read { yield storage }
    _modify {
      if let body = beforeChange {
        beforeChange = nil
        body(storage)
      }
      yield &storage
    }
  }

  /// Exchanges two machines, tables and all, without copying anything.
  public final func exchange(with other: MachineCell) { swap(&storage, &other.storage) }
}

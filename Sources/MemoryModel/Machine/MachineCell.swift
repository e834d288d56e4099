// Invariant: `beforeChange` is asked before the first change after it was set, and then forgotten; so
// watching for changes costs one test for each. What is owed is done before anybody reads or changes
// the machine, so nobody sees a call that was cut short.

/// A machine at a fixed place, that a search and those whom it asks can both look at in turn.
open class MachineCell {
  private final var storage: Machine
  /// Called once, before the machine is changed next.
  public final var beforeChange: ((borrowing Machine) -> Void)?
  private final var owed: ((inout Machine) -> Void)?

  public init(_ machine: consuming Machine) { storage = machine }

  public final var machine: Machine {
    _read {
      settle()
      yield storage
    }
    _modify {
      settle()
      if let body = beforeChange {
        beforeChange = nil
        body(storage)
      }
      yield &storage
    }
  }

  /// Leaves work for later that belongs to what was done so far.
  ///
  /// A pin of 300 GiB that was told to stop takes up to 0.3 s to give back what it had: who told it
  /// need not wait for that.
  public final func owe(_ work: @escaping (inout Machine) -> Void) {
    settle()
    owed = work
  }

  /// Does what is owed.
  public final func settle() {
    guard let work = owed else { return }
    owed = nil
    work(&storage)
  }

  /// Exchanges two machines, tables and all, without copying anything.
  public final func exchange(with other: MachineCell) {
    settle()
    other.settle()
    swap(&storage, &other.storage)
  }
}

// Invariant: the record holds what is not given back yet, and stays until nothing is left.

public import MemoryModel

/// Gives the pages of a pin back (rule P3.80).
///
/// Kernel: `unpin_user_pages()`, `unpin_user_pages_dirty_lock()`, mm/gup.c.
public struct UnpinOperation: ExplorableOperation {
  /// What it did, once all pages are given back.
  public private(set) var outcome: OperationCosts?
  private let pin: PinRecord
  private let dirty: Bool
  private var isEmpty = false
  private var costs = OperationCosts()

  static let sliceWords = 1 << 20

  /// How many pages it gives back.
  public var pages: Int { pin.pages }

  public init(pin: PinRecord, dirty: Bool) {
    self.pin = pin
    self.dirty = dirty
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard !isEmpty else {
      machine.removePin(pin.id)
      outcome = costs
      return .finished
    }
    isEmpty = machine.unpinNext(
      pin.id, limit: pace == .slice ? Self.sliceWords : 1,
      batched: machine.kernel.pinning.unpinBatch, dirty: dirty, &costs)
    return .running
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    Step("u1", "gup_put_folio", "give back pages of \(pin.holder)")
  }

  /// A signal does not stop it: it runs to its end.
  public mutating func interrupt(_ machine: inout Machine) { run(&machine) }
}

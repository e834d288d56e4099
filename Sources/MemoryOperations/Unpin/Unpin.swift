public import MemoryModel

// Invariant: the record's words from `position` on are still pinned, those before it are not. A
// signal does not stop it: the kernel's unpinning looks at none.

/// Gives the pages of a pin back (rule P3.80).
///
/// Kernel: `unpin_user_pages()`, `unpin_user_pages_dirty_lock()`, mm/gup.c.
public struct Unpin: ExplorableOperation {
  /// Pages given back.
  public private(set) var outcome: Int?
  public private(set) var costs = OperationCosts()
  private let pin: Int
  private let dirty: Bool
  private var position: Int?

  /// - Parameter pin: The number of the record.
  /// - Parameter dirty: Mark the pages dirty, as a device that wrote to them does.
  public init(pin: Int, dirty: Bool = false) {
    self.pin = pin
    self.dirty = dirty
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    guard let record = machine.pin(pin) else {
      outcome = 0
      return .finished
    }
    let words = machine.pinWords(pin)
    position = machine.unpin(
      (position ?? words.lowerBound)..<words.upperBound,
      record.isGet ? .get : .pin, limit: pace == .step ? 1 : 1 << 20,
      batched: machine.kernel.pinning.unpinBatch, dirty: dirty, perFolio: record.isPerFolio, &costs)
    guard position == words.upperBound else { return .running }
    machine.removePin(pin)
    outcome = record.pages
    return .finished
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    Step("u1", "gup_put_folio", "drop the pins of the next entry of pin #\(pin)")
  }

  public mutating func interrupt(_ machine: inout Machine) { run(&machine) }
}

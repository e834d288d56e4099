// Invariant: `work` captures plain values alone, so that copies of the call do the same.

public import MemoryModel

/// A call that the kernel does in one atomic step, as far as others can see.
public struct AtomicCall: ExplorableOperation {
  public enum Outcome: Hashable, Sendable {
    /// With a number that says what was made: the id of a reference, the frame of a block.
    case done(Int)
    case refused(Refusal)
  }

  public typealias Work = @Sendable (inout Machine) -> Outcome

  public private(set) var outcome: Outcome?
  private let step: Step
  private let work: Work

  /// - Parameter step: What it is about to do.
  public init(_ step: Step, _ work: @escaping Work) {
    self.step = step
    self.work = work
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome == nil { outcome = work(&machine) }
    return .finished
  }

  public func nextStep(_ machine: borrowing Machine) -> Step { step }

  /// One step cannot be interrupted in its middle: it is done, or never begun.
  public mutating func interrupt(_ machine: inout Machine) {
    if outcome == nil {
      outcome = .refused(Refusal(.EINTR, "a fatal signal came before it", rule: "P2.13"))
    }
  }

  public static func == (one: AtomicCall, other: AtomicCall) -> Bool {
    one.outcome == other.outcome && one.step == other.step
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(outcome)
    hasher.combine(step.id)
    hasher.combine(step.text)
  }
}

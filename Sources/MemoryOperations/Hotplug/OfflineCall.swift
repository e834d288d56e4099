// Invariant: with an outcome, nothing of the call is left in the machine.

public import MemoryModel

/// Taking a memory block offline until a signal comes after some rounds, or a refusal in front of it.
public struct OfflineCall: ExplorableOperation {
  private var work: MemoryOffline?
  private let limit: Int
  public private(set) var outcome: MemoryOffline.Outcome?

  /// - Parameter found: What ``Machine/memoryOffline(at:)`` returned.
  public init(_ found: (call: MemoryOffline?, refusal: Refusal?), rounds: Int) {
    work = found.call
    limit = rounds
    if found.call == nil { outcome = MemoryOffline.Outcome(refusal: found.refusal) }
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    guard outcome == nil, var work else { return .finished }
    self.work = nil
    if work.rounds >= limit { work.hasSignal = true }
    let progress = work.advance(&machine, pace)
    outcome = work.outcome
    self.work = work
    return outcome == nil ? progress : .finished
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    work?.nextStep(machine) ?? Step("o9", "offline_pages", "return")
  }

  public mutating func interrupt(_ machine: inout Machine) {
    guard outcome == nil, work != nil else { return }
    work?.hasSignal = true
    while outcome == nil { _ = advance(&machine, .slice) }
  }
}

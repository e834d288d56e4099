public import MemoryModel
public enum FaultAccess: Sendable { case read, write, unshare }
public struct FaultOutcome: Sendable { public var refusal: Refusal? }
public struct Fault: Operation {
  public var outcome: FaultOutcome?
  public init(space: Int, page: Int, _ access: FaultAccess, inPinScope: Bool) {}
  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    outcome = FaultOutcome(refusal: Refusal(.EFAULT, "no faults yet", rule: "P2.10"))
    return .finished
  }
  public func nextStep(_ machine: borrowing Machine) -> Step { Step("x", "x", "x") }
  public mutating func interrupt(_ machine: inout Machine) {}
}
extension Machine {
  mutating func faultAbsent(
    _ space: Int, _ pages: Range<Int>, _ access: FaultAccess, inPinScope: Bool
  ) -> (Int, Refusal?) { (0, nil) }
}

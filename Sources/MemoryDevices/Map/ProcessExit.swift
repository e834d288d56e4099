// Invariant: memory goes first, then device after device, as a process ends.

public import MemoryModel
internal import MemoryOperations

/// The end of a process: its memory is unmapped, and then its descriptors are closed, the devices among
/// them (rules P2.23, P7.7).
///
/// Kernel: `do_exit()`: `exit_mm()`, then `exit_files()`.
public struct ProcessExit: ExplorableOperation {
  public private(set) var outcome: Bool?
  public var summary: CallSummary? { outcome.map { _ in CallSummary("ok", key: 0) } }
  private let space: Int
  private var unmapping: UnmapOperation?
  private var closing: DeviceUnmap?

  public init(space: Int) {
    self.space = space
    unmapping = UnmapOperation(space: space, pages: nil)
  }

  public mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Progress {
    if outcome != nil { return .finished }
    if let progress = unmapping?.advance(&machine, pace) {
      guard progress == .finished else { return progress }
      unmapping = nil
    } else if let progress = closing?.advance(&machine, pace) {
      guard progress == .finished else { return progress }
      closing = nil
    }
    guard
      let next = machine.devices.attachments.first(where: { $0.space == space && $0.isOpen })
    else {
      outcome = true
      return .finished
    }
    closing = DeviceUnmap(closing: next.id)
    return .running
  }

  public func holdings(_ machine: borrowing Machine) -> Holdings {
    var held = unmapping?.holdings(machine) ?? closing?.holdings(machine) ?? Holdings()
    if outcome == nil { held.addEnd(of: space) }
    return held
  }

  public func nextStep(_ machine: borrowing Machine) -> Step {
    unmapping?.nextStep(machine) ?? closing?.nextStep(machine)
      ?? Step("e5", "do_exit", "return")
  }

  /// A signal does not stop it: it runs to its end.
  public mutating func interrupt(_ machine: inout Machine) { run(&machine) }
}

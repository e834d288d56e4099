import MemoryOperations

@testable import MemoryModel

/// A call that empties a range of frames.
enum RangeCall {
  case cma(CMAAllocation)
  case contiguous(ContiguousAllocation)
  case offline(MemoryOffline)

  var isFinished: Bool {
    switch self {
    case .cma(let call): call.outcome != nil
    case .contiguous(let call): call.outcome != nil
    case .offline(let call): call.outcome != nil
    }
  }

  /// Why it failed; nil as long as it has not.
  var refusal: Refusal? {
    switch self {
    case .cma(let call):
      if case .refused(let refusal) = call.outcome?.result { refusal } else { nil }
    case .contiguous(let call): call.outcome?.refusal
    case .offline(let call): call.outcome?.refusal
    }
  }

  var migrated: Int {
    switch self {
    case .cma(let call): call.outcome?.migratedPages ?? 0
    case .contiguous(let call): call.outcome?.migratedPages ?? 0
    case .offline(let call): call.outcome?.migratedPages ?? 0
    }
  }

  var reclaimed: Int {
    switch self {
    case .cma(let call): call.outcome?.reclaimedPages ?? 0
    case .contiguous(let call): call.outcome?.reclaimedPages ?? 0
    case .offline: 0
    }
  }

  /// Rounds of a call that goes on until a signal comes.
  var rounds: Int { if case .offline(let call) = self { call.rounds } else { 0 } }

  mutating func setSignal() {
    if case .offline(var call) = self {
      call.hasSignal = true
      self = .offline(call)
    }
  }

  /// - Returns: Whether it waits for somebody.
  @discardableResult
  mutating func advance(_ machine: inout Machine, _ pace: Pace) -> Bool {
    let progress: Progress
    switch self {
    case .cma(var call):
      progress = call.advance(&machine, pace)
      self = .cma(call)
    case .contiguous(var call):
      progress = call.advance(&machine, pace)
      self = .contiguous(call)
    case .offline(var call):
      progress = call.advance(&machine, pace)
      self = .offline(call)
    }
    if case .waiting = progress { return true }
    return false
  }

  /// Runs to the end; a signal comes to an offline that is in vain.
  mutating func run(_ machine: inout Machine, rounds limit: Int) {
    while !isFinished {
      if rounds >= limit { setSignal() }
      if advance(&machine, .slice) { return interrupt(&machine) }
    }
  }

  mutating func interrupt(_ machine: inout Machine) {
    switch self {
    case .cma(var call):
      call.interrupt(&machine)
      self = .cma(call)
    case .contiguous(var call):
      call.interrupt(&machine)
      self = .contiguous(call)
    case .offline(var call):
      call.interrupt(&machine)
      self = .offline(call)
    }
  }

  func nextStep(_ machine: borrowing Machine) -> Step {
    switch self {
    case .cma(let call): call.nextStep(machine)
    case .contiguous(let call): call.nextStep(machine)
    case .offline(let call): call.nextStep(machine)
    }
  }
}
